"""The probe job: loads an artifact of any format, runs it, and writes down what it gives."""

import pkgutil

from exporter.artifact import trust
from exporter.artifact.folder import require_readable
from exporter.checkpoint.synthetic import VERIFICATION_IMAGES
from exporter.files.arrays import ArrayWriter
from exporter.files.plain_path import plain
from exporter.probe.jobs import ProbeRequest, ProbeSummary
from exporter.probe.observations import ProbedFile
from exporter.probe.writer import ProbeWriter
from exporter.progress import Say


def probe(request: ProbeRequest, say: Say) -> ProbeSummary:
    """The jobs of `exporter.probe.jobs`: loads an artifact as its users do, and writes what it gives.

    `exporter.probe.result.ProbeResult` reads the folder ``request.output``, and says what is in it.

    Where a previous probe has the same values of variables, what follows from what it has in common with this one is
    linked. A SavedModel of the same `exporter.probe.reuse.network_key` is loaded, called and asked for its signatures,
    and no more.

    Raises:
        ArtifactError: it is damaged, could do more than compute, or cannot be used as its format promises.
    """
    if not request.trust:
        trust.require(request.path)
    say("loading the artifact")
    images = VERIFICATION_IMAGES.at(request.image_size)
    previous = {probed.output: probed.network for probed in request.previous}
    probe_format = pkgutil.resolve_name(require_readable(request.path, running=True).probe)
    with plain(request.path) as path, ArrayWriter(request.output) as arrays:
        scratch = request.output.parent
        probed: ProbedFile = probe_format(path, images, ProbeWriter(arrays), previous, say, scratch)
    return ProbeSummary(probed.problems, probed.network)
