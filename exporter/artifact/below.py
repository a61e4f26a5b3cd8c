"""The artifacts below a folder, such as the one that ``build`` or ``release`` wrote."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporter.artifact.folder import format_of
from exporter.artifact.metadata import Metadata, read_metadata
from exporter.errors import ArtifactError
from exporter.files import tree
from exporter.models.formats import Format

#: Handles have five parts; a folder of checkouts and backups is not gone through to its end.
_DEEPEST = 10


@dataclass(frozen=True)
class Found:
    """An artifact: its path below the folder, with slashes, its format and size in bytes.

    ``metadata`` is what it says of itself, None for one of others; ``problem`` what is wrong with that.
    """

    path: str
    format: Format
    bytes: int
    metadata: Metadata | None
    problem: str = ""

    @property
    def verified(self) -> bool | None:
        """Whether it was when it was built; None where it does not say."""
        return None if self.metadata is None else self.metadata.verification is not None

    def to_dict(self) -> dict[str, Any]:
        metadata = self.metadata
        return {
            "path": self.path,
            "format": self.format,
            "bytes": self.bytes,
            "handle": metadata.handle if metadata else None,
            "model": metadata.model.name if metadata else None,
            "task": metadata.task if metadata else None,
            "version": metadata.version if metadata else None,
            "verified": self.verified,
            "synthetic": metadata.source.synthetic if metadata else None,
            "problem": self.problem or None,
        }


def artifacts_below(folder: Path) -> list[Found]:
    """Every artifact below a folder, in the order of their paths; hidden folders and links are passed over.

    Raises:
        ArtifactError: a folder cannot be read.
    """
    try:
        return [_described(folder, path) for path in folders_below(folder)]
    except OSError as error:
        raise ArtifactError(f"cannot read {error.filename or folder}: {error.strerror}") from error


def folders_below(folder: Path) -> Iterator[str]:
    """The paths of the folders of artifacts below a folder, with slashes, without reading any.

    Raises:
        OSError: a folder cannot be read.
    """

    def fail(error: OSError) -> None:
        raise error

    for parent, names, _ in os.walk(folder, onerror=fail):
        path = Path(parent).relative_to(folder)
        if path.parts and format_of(Path(parent)) is not None:
            names.clear()  # there is no artifact in another
            yield path.as_posix()
        names[:] = sorted(name for name in names if not name.startswith(".")) if len(path.parts) < _DEEPEST else []


def _described(folder: Path, path: str) -> Found:
    artifact = folder / path
    spec = format_of(artifact)
    assert spec is not None
    try:
        metadata, problem = read_metadata(artifact), ""
    except ArtifactError as error:
        metadata, problem = None, " ".join(str(error).split())
    found = metadata.format if metadata else spec.name
    return Found(path, found, tree.size(artifact), metadata, problem)
