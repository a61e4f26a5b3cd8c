"""An artifact that is at its destination already, held against the one that would be written there.

An artifact has the same bytes whenever it is written: the one that is there is the right one if its files are those of
a new one. Only for the verification, which takes longest, its word is taken.
"""

import filecmp
from collections.abc import Iterator
from pathlib import Path

import exporter
from exporter.artifact.metadata import METADATA_FILE, Metadata, encoded, read_metadata
from exporter.artifact.options import ArtifactOptions
from exporter.checkpoint.source import Source
from exporter.errors import NOT_DONE, ArtifactError
from exporter.models.config import ModelConfig


class Existing:
    """The artifact at ``path``; ``metadata`` is what it says of itself.

    Raises:
        ArtifactError: what is there is no artifact of nasexport.
    """

    def __init__(self, path: Path):
        self.path = path
        try:
            found = read_metadata(path)
        except ArtifactError as error:
            raise self._refusal(f"its {METADATA_FILE} cannot be read") from error
        if found is None:
            raise self._refusal(f"it has no {METADATA_FILE}")
        self.metadata = found

    def require_made_for(self, config: ModelConfig, options: ArtifactOptions, verified: bool) -> None:
        """Refuses one that was built of another network, with other options, or without a verification.

        Raises:
            ArtifactError: it is another one; the message says in what.
        """
        found = self.metadata
        if found.tool.nasexport != exporter.__version__:
            raise self._refusal(f"nasexport {found.tool.nasexport} wrote it, and this is {exporter.__version__}")
        if found.model != config:
            raise self._refusal(f"it was built from another configuration of {found.model.name}")
        for name in options.__struct_fields__:
            its, wanted = getattr(found.options, name), getattr(options, name)
            if its != wanted:
                raise self._refusal(f"its {name.replace('_', ' ')} is {its}, not {wanted}")
        if verified and not found.verification:
            raise self._refusal("it was built with --no-verify")
        if failed := [check.name for check in found.verification or () if not check.passed]:
            raise self._refusal(f"its verification failed: {', '.join(failed[:3])}")

    def require_made_from(self, source: Source) -> None:
        """Refuses one that was made from another checkpoint.

        Raises:
            ArtifactError: it was.
        """
        its = self.metadata.source
        if its.files != source.files:
            raise self._refusal("it was built from another checkpoint")
        if (its.archive, its.archive_sha256) != (source.archive, source.archive_sha256):
            before, now = (name or "unpacked files" for name in (its.archive, source.archive))
            raise self._refusal(f"its checkpoint came from {before}, not from {now}")

    def require_same(self, other: Path, metadata: Metadata) -> None:
        """Refuses one that does not have ``metadata`` and the files of ``other``, a folder without metadata.

        Raises:
            ArtifactError: it does not; the message names what differs.
        """
        found = self.metadata
        fields = [name for name in found.__struct_fields__ if getattr(found, name) != getattr(metadata, name)]
        if fields:
            raise self._refusal(f"its {METADATA_FILE} has another {', another '.join(fields)}")
        try:
            names = sorted({*_names(self.path), *_names(other)} - {METADATA_FILE})
            differing = [name for name in names if not _same(self.path / name, other / name)]
            own = self.path / METADATA_FILE
            if own.is_symlink() or own.read_bytes() != encoded(metadata):
                differing.append(METADATA_FILE)
        except OSError as error:
            raise self._refusal(f"{error.filename} cannot be read: {error.strerror}") from error
        if differing:
            more = f" and {len(differing) - 3} more" if len(differing) > 3 else ""
            raise self._refusal(f"another content of {', '.join(differing[:3])}{more}")

    def _refusal(self, problem: str) -> ArtifactError:
        return ArtifactError(
            f"{self.path} exists already, and is not what would be written ({problem}):\n"
            "pass --overwrite to replace it, or choose another --output",
            status=NOT_DONE,
        )


def _names(folder: Path) -> Iterator[str]:
    """Everything below a folder, by its path there."""
    return (path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def _same(a: Path, b: Path) -> bool:
    """Whether both are folders, or files with the same bytes; a link is neither."""
    if a.is_symlink() or b.is_symlink():
        return False
    if a.is_file() and b.is_file():
        return filecmp.cmp(a, b, shallow=False)
    return a.is_dir() and b.is_dir()
