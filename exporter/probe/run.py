"""The probe job: loads an artifact of any format and writes down what it gives."""

import pkgutil

import tensorflow as tf

from exporter.artifact.folder import require_artifact
from exporter.checkpoint.synthetic import VERIFICATION_IMAGES
from exporter.files.arrays import save
from exporter.models import formats
from exporter.probe.jobs import ProbeRequest, ProbeResult
from exporter.probe.output import ProbeOutput
from exporter.progress import Say

formats.preload("probe")


def probe(request: ProbeRequest, say: Say) -> ProbeResult:
    """The job `exporter.probe.jobs.PROBE`: loads an artifact with ``hub.load`` and writes what it gives.

    For the arrays of a TF1 Hub module see `exporter.probe.hub_module`. Those of a TF2 SavedModel: ``output`` on
    `VERIFICATION_IMAGES` and ``output_single``, that of the function that was called, on the first of them alone;
    ``end_point/NAME`` of those found in the graph; ``signature/NAME/OUTPUT``, ``signature_inputs``;
    ``regularization_loss``, ``l2/…`` (see `exporter.probe.gradients.pulled`); ``names``, ``trainable`` and ``digests``
    of
    ``obj.variables`` in order, ``stored`` (how many values the file has); ``after_inference`` digests; ``draws/…`` of
    its random decisions (see `exporter.probe.drop_path.arrays`); and, where those keep everything:
    ``training/output``, of the
    moving statistics ``before/NAME``, ``moved/NAME`` (one step with `TRAINING_MOMENTUM`), ``moved_by_default/NAME``
    (one more step), and ``gradients/names`` of the variables that a gradient reaches. ``gradients/stops`` are the
    operations that stop one.

    Where a previous probe has the same values of variables, what follows from what it has in common with this one is
    linked. A SavedModel of the same `network_key` is loaded, called and asked for its signatures, and no more.

    The result lists the findings of the gate, and has the ``network``: for SavedModels its key.
    """
    path, output = request.path, request.output
    say("loading the artifact")
    images = VERIFICATION_IMAGES.at(request.image_size)
    previous = {probed.output: probed.network for probed in request.previous}
    spec = require_artifact(path)
    probed: ProbeOutput = pkgutil.resolve_name(spec.probe)(path, images, say, output.parent, previous)
    save(output, probed.arrays)
    return ProbeResult(tuple(probed.findings), tf.__version__, probed.network)
