"""The worker job that describes an artifact of any format and any writer from its files, without loading it."""

import pkgutil
from pathlib import Path
from typing import Any

from exporter.artifact import folder as artifact
from exporter.processes.run import Say


def describe(request: dict[str, Any], report: Say) -> dict[str, Any]:
    """Describes ``request["path"]``: format, tag sets, signatures, variables, oldest reader, source.

    Raises:
        ArtifactError: it is no artifact, or a damaged one.
    """
    folder = Path(request["path"])
    spec = artifact.require_artifact(folder)
    report("reading the artifact")
    found = pkgutil.resolve_name(spec.inspect)(folder)
    metadata = artifact.read_metadata(folder) or {}
    return {
        "path": str(folder),
        "format": found["format"],
        "handle": metadata.get("handle"),
        "tag_sets": found["tag_sets"],
        "signatures": found["signatures"],
        "functions": found["functions"],
        "image_size": _image_size(metadata) or found["image_size"],
        "variables": found["variables"],
        "bytes": sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()),
        "oldest_tensorflow": found["oldest_tensorflow"],
        "findings": found["findings"],
        "written_by": metadata.get("tool"),
        "tensorflow_version": found["tensorflow_version"],
        "source": metadata.get("source"),
        "options": metadata.get("options"),
        "verified": None if not metadata else metadata.get("verification") is not None,
    }


def _image_size(metadata: dict[str, Any]) -> int | None:
    """Height and width of the images, as ``nasexport.json`` says."""
    model = metadata.get("model")
    size = model.get("image_size") if isinstance(model, dict) else None
    return size if isinstance(size, int) else None
