"""An artifact as a folder, also where it is a ``.tar.gz`` as the hub served them, or the one file of its model."""

import contextlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from exporter.artifact import folder as artifact
from exporter.artifact.metadata import METADATA_FILE
from exporter.errors import ArtifactError, NasexportError
from exporter.files import archive, signatures, temporary
from exporter.models import formats


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Path]:
    """The folder of the artifact that ``path`` means, unpacked for the time of the ``with`` block where it is packed.

    Args:
        path: the artifact's folder, or a ``.tar.gz`` or other archive of it, by whatever name: the hub served them
            without one. Its members lie at the root of the archive, or below one folder there. Or else the file of
            a model, of a format that needs no other, by its suffix: ``nasnet.onnx``.

    Raises:
        ArtifactError: the archive is damaged, hostile, or holds no artifact. What the folder is stays unlooked at.
    """
    if not path.is_file():
        yield path
        return
    for spec in _formats_of(path):
        name = spec.files[0]
        with temporary.folder() as folder, _told_by(path, folder), _told_by(path, folder / name):
            (folder / name).symlink_to(path.absolute())
            if spec.completed:
                pkgutil.resolve_name(spec.completed)(path, folder)
            yield folder
        return
    _require_archive(path)
    with temporary.folder() as folder:
        archive.unpack(path, folder, ARTIFACT)
        root = _root(path, folder)
        with _told_by(path, root):
            yield root


def lone_file(path: Path) -> tuple[str, ...]:
    """What the file of a model is called in the folder of an artifact, where ``path`` is one alone; else nothing."""
    return tuple(spec.files[0] for spec in _formats_of(path)) if path.is_file() else ()


def _formats_of(path: Path) -> tuple[formats.FormatSpec, ...]:
    return tuple(spec for spec in formats.of_one_file() if path.suffix == Path(spec.files[0]).suffix)


@contextlib.contextmanager
def _told_by(path: Path, place: Path) -> Iterator[None]:
    """Within it, what is wrong with ``place`` is told by the path that the user knows."""
    try:
        yield
    except NasexportError as error:
        raise type(error)(str(error).replace(str(place), str(path))) from error


def _require_archive(path: Path) -> None:
    try:
        with open(path, "rb") as file:
            kind = signatures.archive_kind(file)
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {error.strerror}") from error
    if kind is None and not archive.is_archive(path):
        raise ArtifactError(f"{path} is a file, and no .tar.gz: expected the folder of an artifact, or a .tar.gz of it")


def _belongs(path: PurePosixPath) -> bool:
    return _belongs_to_root(path.parts) or _belongs_to_root(path.parts[1:])


def _belongs_to_root(parts: tuple[str, ...]) -> bool:
    if len(parts) == 1:
        return parts[0] == METADATA_FILE or parts[0] in formats.file_names()
    return len(parts) > 1 and parts[0] in formats.folder_names()


#: What an archive of an artifact is unpacked for.
ARTIFACT = archive.Contents(
    noun="artifact",
    expected=f"a {formats.model_files()}, at its root or in the one folder there,",
    wants=_belongs,
    invalid=ArtifactError,
    disk_error=ArtifactError,
)


def _root(path: Path, folder: Path) -> Path:
    """Where in the unpacked ``folder`` the artifact lies."""
    if artifact.format_of(folder):
        return folder
    roots = sorted(below for below in folder.iterdir() if below.is_dir() and artifact.format_of(below))
    if len(roots) > 1:
        names = ", ".join(root.name for root in roots[:4])
        raise ArtifactError(f"{path} holds {len(roots)} artifacts ({names}): unpack it, and name the one that is meant")
    if not roots:
        raise ArtifactError(f"{path} holds no artifact: expected {ARTIFACT.expected} in it")
    return roots[0]
