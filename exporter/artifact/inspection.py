"""The worker job that describes an artifact of any format and any writer from its files, without loading it."""

import dataclasses
import pkgutil

from exporter.artifact import folder as artifact
from exporter.artifact.jobs import Inspection, InspectRequest
from exporter.artifact.metadata import read_metadata
from exporter.progress import Say
from exporter.validation import to_plain


def describe(request: InspectRequest, say: Say) -> Inspection:
    """The job `exporter.artifact.jobs.INSPECT`: format, tag sets, signatures, variables, oldest reader, source.

    Raises:
        ArtifactError: it is no artifact, or a damaged one.
    """
    folder = request.path
    spec = artifact.require_readable(folder)
    say("reading the artifact")
    found: Inspection = pkgutil.resolve_name(spec.inspect)(folder)
    metadata = read_metadata(folder)
    if metadata is None:
        return found
    return dataclasses.replace(
        found,
        handle=metadata.handle,
        image_size=metadata.model.image_size,
        written_by=to_plain(metadata.tool),
        source=to_plain(metadata.source),
        options=to_plain(metadata.options),
        verified=metadata.verification is not None,
    )
