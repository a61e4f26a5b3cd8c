"""Unpacks the checkpoint of a published archive, its files held against those that the lock file pins."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from exporter.checkpoint.source import CHECKPOINT
from exporter.errors import WRONG, CacheError, FetchError
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
        unpack(entry.path, folder, locked)
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
            files = unpack(file, folder, locked)
            write_record(folder, UnpackedRecord(files))
    except OSError as error:
        raise CacheError(f"cannot unpack {file.name} into the cache: {error.strerror}") from error


def unpack(file: Path, folder: Path, locked: LockedArchive) -> dict[str, str]:
    """Unpacks the checkpoint of an archive into a folder.

    Returns:
        The sha256 of each file in the archive, by its path there.

    Raises:
        FetchError: its files are not those that are pinned.
        CheckpointError, CacheError: as `exporter.files.archive.unpack` does.
    """
    files = archive.unpack(file, folder, CHECKPOINT)
    pinned = locked.files
    for name in sorted({*pinned, *files} if pinned else ()):
        if files.get(name) != pinned.get(name):
            raise FetchError(
                f"{file.name}: {name} has sha256 {files.get(name, 'none, as it is not there')},\n"
                f"but {locked.lock_file} says {pinned.get(name, 'nothing of such a file')}",
                status=WRONG,
            )
    return files
