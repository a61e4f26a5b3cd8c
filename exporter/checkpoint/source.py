"""From what a user points at to a checkpoint on disk, and what can be said of where it came from."""

import contextlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from exporter.checkpoint.files import (
    are_all,
    checkpoints_below,
    data_files_of,
    files_of,
    index_of,
    is_checkpoint_file,
    is_clutter,
    is_table,
    parts_called_for,
    prefix_of,
)
from exporter.checkpoint.state_file import named_checkpoint
from exporter.errors import NOT_DONE, CacheError, CheckpointError
from exporter.files import archive, hashing, signatures, temporary
from exporter.files.archive import Contents
from exporter.validation import shown as quoted

_EXPECTED = "expected a checkpoint prefix (model.ckpt), one of its files, a folder that holds one, or a .tar.gz"

#: What an archive is unpacked for here.
CHECKPOINT = Contents(
    noun="checkpoint",
    expected="a model.ckpt.index and its data file",
    wants=is_checkpoint_file,
    invalid=CheckpointError,
    disk_error=CacheError,
)


@dataclass(frozen=True)
class Source:
    """A checkpoint on disk.

    ``prefix`` is what TensorFlow calls its path: the files' common path before ``.index`` and ``.data-…``. ``archive``
    is the file name of the archive it came out of and ``archive_sha256`` that file's hash, both None for a
    checkpoint that lay on disk as such. ``files`` maps each file's name to its sha256.
    """

    prefix: Path
    archive: str | None = None
    archive_sha256: str | None = None
    files: dict[str, str] = field(default_factory=dict)

    def provenance(self) -> dict[str, Any]:
        """What an artifact says of its source: names and hashes, never a path."""
        facts = asdict(self)
        del facts["prefix"]
        return facts


@contextlib.contextmanager
def opened(path: Path, scratch: Path | None = None, *, copied: bool = False) -> Iterator[Source]:
    """The checkpoint that ``path`` means, unpacked for the time of the ``with`` block where it is an archive.

    The hashes of an archive and its files are those of the bytes that are unpacked.

    Args:
        path: a checkpoint prefix, one of its files (``.index``, ``.data-00000-of-00001``, ``checkpoint``), a folder
            that holds one, or an archive, by whatever name: see `exporter.files.archive.unpack`.
        scratch: where to unpack, by default where temporary files go.
        copied: whether to copy the files of one that is no archive, too, so that the hashes are those of bytes that
            nobody changes afterwards.

    Raises:
        CheckpointError: there is no checkpoint, or not a whole one. One that is raised in the block has ``path`` in its
            message.
    """
    with contextlib.ExitStack() as stack:
        with _readable(path):
            if not _is_archive(path) and not copied:
                source = described(find_prefix(path))
            else:
                folder = stack.enter_context(temporary.folder(scratch))
                source = _unpacked(path, folder) if _is_archive(path) else _copied(find_prefix(path), folder)
        with named(path):
            yield source


@contextlib.contextmanager
def named(path: Path) -> Iterator[None]:
    """Within it, a CheckpointError has ``path`` in its message: who reads knows the files alone, and the user that."""
    try:
        yield
    except CheckpointError as error:
        text = str(error)
        if str(path) in text:
            raise
        raise CheckpointError(f"{path}: {text.removeprefix(f'{path.name}: ')}") from error


def _unpacked(path: Path, folder: Path) -> Source:
    unpacked = archive.unpack(path, folder, CHECKPOINT)
    prefix = find_prefix(folder, shown_as=path)
    files = {file.name: unpacked.files[file.relative_to(folder).as_posix()] for file in files_of(prefix)}
    return Source(prefix, path.name, unpacked.sha256, files)


def _copied(prefix: Path, folder: Path) -> Source:
    files = {file.name: hashing.copied(file, folder / file.name) for file in files_of(prefix)}
    return Source(folder / prefix.name, files=files)


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CheckpointError(f"cannot read {error.filename or path}: {error.strerror or error}") from error


def _is_archive(path: Path) -> bool:
    """Whether a path means an archive, by its content; what only has the name of one is refused as one later."""
    if not path.is_file() or path.name == "checkpoint" or prefix_of(path) != path or is_table(path):
        return False
    with open(path, "rb") as file:
        return signatures.archive_kind(file) is not None or archive.is_archive(path)


def find_prefix(path: Path, shown_as: Path | None = None) -> Path:
    """The checkpoint prefix that ``path`` means; see `opened` for what it may be, archives aside.

    Args:
        shown_as: the archive that the folder ``path`` was unpacked from, whose name messages have.

    Raises:
        CheckpointError: there is none, several, or one without all of its files.
    """
    shown = shown_as or path
    if path.is_dir():
        prefix = _prefix_in_folder(path, shown, inside=path if shown_as else None)
    elif path.name == "checkpoint" and path.is_file() and not is_table(path):
        prefix = named_checkpoint(path, str(path))
    else:
        prefix = prefix_of(path)
    data = data_files_of(prefix)
    if not index_of(prefix).is_file():
        if data:
            raise CheckpointError(
                f"{shown} has a data file but no {index_of(prefix).name} beside it: a checkpoint needs both"
            )
        if not (prefix.is_file() and is_table(prefix)):
            raise CheckpointError(_nothing_there(path), status=None if path.exists() else NOT_DONE)
        _require_undivided(prefix, shown)
        return prefix
    if not data:
        raise CheckpointError(
            f"{shown} has {index_of(prefix).name} but no data file ({prefix.name}.data-00000-of-00001) beside it"
        )
    if not are_all(data):
        raise CheckpointError(f"{shown} has {len(data)} data files, not the number that their names call for")
    return prefix


def _nothing_there(path: Path) -> str:
    if path.is_file():
        return f"{path} is a file, but not one of a checkpoint: it is {signatures.described(path)};\n{_EXPECTED}"
    found = checkpoints_below(path.parent) if path.parent.is_dir() else []
    near = [prefix for prefix in found if prefix.name.startswith(path.name) and prefix.parent == path.parent]
    hint = f" (there is {_name(Path(near[0].name))})" if near else ""
    return f"there is no checkpoint at {path}{hint}: {_EXPECTED}"


def _prefix_in_folder(folder: Path, shown: Path, inside: Path | None) -> Path:
    found = checkpoints_below(folder)
    if len(found) == 1:
        return found[0]
    for file in found:
        _require_undivided(file, shown)
    files = [file for file in sorted(folder.rglob("*")) if file.is_file() and not is_clutter(file.relative_to(folder))]
    states = [file for file in files if file.name == "checkpoint" and file not in found]
    if len(found) > 1 and len(states) == 1:
        return named_checkpoint(states[0], f"{shown}: {_name(states[0].relative_to(folder))}", inside)
    if found:
        names = ", ".join(_name(prefix.relative_to(folder)) for prefix in found[:4])
        raise CheckpointError(f"{shown} holds {len(found)} checkpoints ({names}): name the one that is meant")
    if indices := [file for file in files if file.name.endswith(".index")]:
        index = indices[0].relative_to(folder)
        wanted = f"{_name(Path(index.stem))}.data-00000-of-00001"
        raise CheckpointError(f"{shown} has {_name(index)} but no data file ({wanted}) beside it")
    if data := [file for file in files if prefix_of(file) != file]:
        raise CheckpointError(f"{shown} holds {_name(Path(data[0].name))} but no .index file: a checkpoint needs both")
    raise CheckpointError(f"{shown} is a folder without a checkpoint: expected a model.ckpt.index and its data file")


def _require_undivided(file: Path, shown: Path) -> None:
    """Raises CheckpointError for one of several files that a checkpoint of the format before 2016 was saved in."""
    if (parts := parts_called_for(file)) > 1:
        named = str(shown) if shown.name == file.name else f"{shown}: {_name(Path(file.name))}"
        raise CheckpointError(
            f"{named} is one of {parts} files of a checkpoint in the format before 2016 (V1),\n"
            f"which is read from a single file only: restore it with TensorFlow, and save it anew"
        )


def _name(path: Path) -> str:
    """A name that was found, for a message."""
    return quoted(str(path))[1:-1]


def described(prefix: Path, archive_name: str | None = None, archive_sha256: str | None = None) -> Source:
    """The checkpoint at ``prefix`` with its files' hashes, and the archive that it came out of, if any."""
    return Source(prefix, archive_name, archive_sha256, {file.name: hashing.sha256(file) for file in files_of(prefix)})
