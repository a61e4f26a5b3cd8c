"""Unpacks the checkpoint of a published archive, its files held against those that the lock file pins."""

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path

from exporter.checkpoint.files import is_clutter
from exporter.checkpoint.names import MARKER
from exporter.checkpoint.source import CHECKPOINT
from exporter.errors import WRONG, CacheError, CheckpointError, FetchError
from exporter.fetch.cache import Cache, Entry, UnpackedRecord, write_record
from exporter.fetch.cache_lookup import unpacked_is_sound
from exporter.fetch.lock import LockedArchive
from exporter.files import archive, temporary
from exporter.progress import Listener


@contextlib.contextmanager
def unpacked(
    cache: Cache, locked: LockedArchive, entry: Entry, listener: Listener, scratch: Path | None = None
) -> Iterator[Path]:
    """The folder of an archive's checkpoint: in the cache, or for the time of the block where that can only be read.

    Args:
        scratch: where to unpack outside of the cache, by default where temporary files go.

    Raises:
        FetchError, CheckpointError: as `unpack` does.
    """
    if _is_unpacked_in_cache(cache, locked, entry, listener):
        yield cache.unpacked_folder(entry.sha256)
        return
    with temporary.folder(scratch) as folder:
        unpack(entry.path, folder, locked, entry.sha256)
        yield folder


def _is_unpacked_in_cache(cache: Cache, locked: LockedArchive, entry: Entry, listener: Listener) -> bool:
    """Unpacks the archive in the cache where it is not; False where the cache can only be read."""
    if unpacked_is_sound(cache, locked, entry.sha256):
        return True
    try:
        with cache.locked(locked.name, listener):
            if not unpacked_is_sound(cache, locked, entry.sha256):
                listener.note(f"unpacking {entry.path.name}")
                unpack_into_cache(cache, locked, entry.path, entry.sha256)
    except CacheError:
        return False
    return True


def unpack_into_cache(cache: Cache, locked: LockedArchive, file: Path, sha256: str) -> None:
    """Unpacks the archive ``file`` with that hash into the cache, with the hashes of its files in the record.

    Raises:
        CacheError: the cache cannot be written.
        FetchError, CheckpointError: as `unpack` does.
    """
    try:
        with cache.new_folder(cache.unpacked_folder(sha256)) as folder:
            files = unpack(file, folder, locked, sha256)
            write_record(folder, UnpackedRecord(files))
    except OSError as error:
        raise CacheError(f"cannot unpack {file.name} into the cache: {error.strerror}") from error


def is_marked_synthetic(file: Path) -> bool | None:
    """Whether an archive holds a synthetic checkpoint of nasexport's, told by the name in its index that marks one.

    None where it has no index that could be read: what is wrong with it is told when it is unpacked.
    """
    indices = dataclasses.replace(CHECKPOINT, wants=lambda path: path.suffix == ".index" and not is_clutter(path))
    with temporary.folder() as folder:
        try:
            archive.unpack(file, folder, indices)
        except (CheckpointError, CacheError):
            return None
        return any(MARKER.encode() in index.read_bytes() for index in folder.rglob("*.index"))


def unpack(file: Path, folder: Path, locked: LockedArchive, sha256: str) -> dict[str, str]:
    """Unpacks the checkpoint of an archive into a folder.

    Args:
        sha256: that of the archive, as it was found before.

    Returns:
        The sha256 of each file in the archive, by its path there.

    Raises:
        FetchError: its bytes are not those that were hashed before, or its files not those that are pinned.
        CheckpointError, CacheError: as `exporter.files.archive.unpack` does.
    """
    unpacked = archive.unpack(file, folder, CHECKPOINT)
    if unpacked.sha256 != sha256:
        raise FetchError(
            f"{file} was changed while it was read: it had sha256 {sha256},\nbut {unpacked.sha256} when it was unpacked"
        )
    files = unpacked.files
    pinned = locked.files
    for name in sorted({*pinned, *files} if pinned else ()):
        if files.get(name) != pinned.get(name):
            raise FetchError(
                f"{file.name}: {name} has sha256 {files.get(name, 'none, as it is not there')},\n"
                f"but {locked.lock_file} says {pinned.get(name, 'nothing of such a file')}",
                status=WRONG,
            )
    return files
