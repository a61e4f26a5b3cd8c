"""From what a user points at to a checkpoint on disk, and what can be said of where it came from."""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from exporter.errors import NOT_DONE, CacheError, CheckpointError
from exporter.files import archive, temporary
from exporter.files.archive import Contents
from exporter.files.hashing import sha256

_DATA_FILE = re.compile(r"(?P<prefix>.+)\.data-\d{5}-of-(?P<shards>\d{5})")
_STATE_ENTRY = re.compile(r'^\s*model_checkpoint_path:\s*"(?P<path>[^"]*)"', re.MULTILINE)


def is_checkpoint_file(name: str) -> bool:
    """Whether a file name is one that a checkpoint consists of: ``*.index``, ``*.data-*-of-*`` or ``checkpoint``."""
    return name == "checkpoint" or name.endswith(".index") or ".data-" in name


#: What an archive is unpacked for here.
CHECKPOINT = Contents(
    noun="checkpoint",
    expected="a model.ckpt.index and its data file",
    wants=lambda path: is_checkpoint_file(path.name),
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
def opened(path: Path, scratch: Path | None = None) -> Iterator[Source]:
    """The checkpoint that ``path`` means, unpacked for the time of the ``with`` block where it is an archive.

    Args:
        path: a checkpoint prefix, one of its files (``.index``, ``.data-00000-of-00001``, ``checkpoint``), a folder
            that holds one, or a ``.tar.gz``.
        scratch: where to unpack, by default where temporary files go.

    Raises:
        CheckpointError: there is no checkpoint, or not a whole one.
    """
    if not (archive.is_archive(path) and path.is_file()):
        yield described(find_prefix(path))
        return
    with temporary.folder(scratch) as folder:
        archive.unpack(path, folder, CHECKPOINT)
        yield described(find_prefix(folder, shown_as=path), path.name, sha256(path))


def find_prefix(path: Path, shown_as: Path | None = None) -> Path:
    """The checkpoint prefix that ``path`` means; see `opened` for what it may be, archives aside.

    Raises:
        CheckpointError: there is none, several, or one without all of its files.
    """
    shown = shown_as or path
    if path.is_dir():
        prefix = _prefix_in_folder(path, shown)
    elif path.name == "checkpoint" and path.is_file():
        prefix = _prefix_of_state(path)
    elif match := _DATA_FILE.fullmatch(path.name):
        prefix = path.with_name(match["prefix"])
    else:
        prefix = path.with_name(path.name.removesuffix(".index"))
    index = _index(prefix)
    data = _data_files(prefix)
    if not index.is_file():
        if data:
            raise CheckpointError(f"{shown} has a data file but no {index.name} beside it: a checkpoint needs both")
        raise CheckpointError(_nothing_there(path), status=None if path.exists() else NOT_DONE)
    if not data:
        raise CheckpointError(
            f"{shown} has {index.name} but no data file ({prefix.name}.data-00000-of-00001) beside it"
        )
    shards = {match["shards"] for file in data if (match := _DATA_FILE.fullmatch(file.name))}
    if len(shards) != 1 or len(data) != int(next(iter(shards))):
        raise CheckpointError(f"{shown} has {len(data)} data files, not the number that their names call for")
    return prefix


def _nothing_there(path: Path) -> str:
    expected = "expected a checkpoint prefix (model.ckpt), one of its files, a folder that holds one, or a .tar.gz"
    if path.is_file():
        return f"{path} is a file, but not one of a checkpoint: {expected}"
    return f"there is no checkpoint at {path}: {expected}"


def _prefix_in_folder(folder: Path, shown: Path) -> Path:
    indices = sorted(folder.rglob("*.index"))
    if len(indices) == 1:
        return _without_suffix(indices[0])
    states = [state for state in folder.rglob("checkpoint") if state.is_file()]
    if len(indices) > 1 and len(states) == 1:
        return _prefix_of_state(states[0])
    if indices:
        names = ", ".join(str(_without_suffix(index).relative_to(folder)) for index in indices[:4])
        raise CheckpointError(f"{shown} holds {len(indices)} checkpoints ({names}): name the one that is meant")
    data = sorted(folder.rglob("*.data-?????-of-?????"))
    if data:
        raise CheckpointError(f"{shown} holds {data[0].name} but no .index file: a checkpoint needs both")
    raise CheckpointError(f"{shown} is a folder without a checkpoint: expected a model.ckpt.index and its data file")


def _prefix_of_state(state: Path) -> Path:
    """The latest checkpoint that a ``checkpoint`` file names; its folder may have moved since it was written."""
    try:
        match = _STATE_ENTRY.search(state.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        match = None
    if not match:
        raise CheckpointError(f'{state} names no checkpoint: expected a line model_checkpoint_path: "…"')
    named = Path(match["path"])
    candidates = [state.parent / named, state.parent / named.name]
    for prefix in candidates:
        if _index(prefix).is_file() or _data_files(prefix):
            return prefix
    raise CheckpointError(f"{state} names the checkpoint {match['path']}, which is neither there nor beside it")


def described(prefix: Path, archive_name: str | None = None, archive_sha256: str | None = None) -> Source:
    """The checkpoint at ``prefix`` with its files' hashes, and the archive that it came out of, if any."""
    files = {file.name: sha256(file) for file in (_index(prefix), *_data_files(prefix))}
    return Source(prefix, archive_name, archive_sha256, files)


def _index(prefix: Path) -> Path:
    return prefix.with_name(prefix.name + ".index")


def _without_suffix(index: Path) -> Path:
    return index.with_name(index.name.removesuffix(".index"))


def _data_files(prefix: Path) -> list[Path]:
    if not prefix.parent.is_dir():
        return []
    matches = ((file, _DATA_FILE.fullmatch(file.name)) for file in sorted(prefix.parent.iterdir()))
    return [file for file, match in matches if match and match["prefix"] == prefix.name]
