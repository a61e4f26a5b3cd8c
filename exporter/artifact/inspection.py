"""The worker job that describes an artifact of any format and any writer from its files, without loading it."""

import dataclasses
import pkgutil
from typing import Any

from exporter.artifact import folder as artifact
from exporter.artifact.jobs import Inspection, InspectRequest
from exporter.progress import Say


def describe(request: InspectRequest, say: Say) -> Inspection:
    """The job `exporter.artifact.jobs.INSPECT`: format, tag sets, signatures, variables, oldest reader, source.

    Raises:
        ArtifactError: it is no artifact, or a damaged one.
    """
    folder = request.path
    spec = artifact.require_artifact(folder)
    say("reading the artifact")
    found: Inspection = pkgutil.resolve_name(spec.inspect)(folder)
    metadata = artifact.read_metadata(folder) or {}
    return dataclasses.replace(
        found,
        handle=metadata.get("handle"),
        image_size=_image_size(metadata) or found.image_size,
        written_by=metadata.get("tool"),
        source=metadata.get("source"),
        options=metadata.get("options"),
        verified=None if not metadata else metadata.get("verification") is not None,
    )


def _image_size(metadata: dict[str, Any]) -> int | None:
    """Height and width of the images, as ``nasexport.json`` says."""
    model = metadata.get("model")
    size = model.get("image_size") if isinstance(model, dict) else None
    return size if isinstance(size, int) else None
