"""Finds in the cache what is wanted of it, its bytes checked before anybody uses them."""

from pathlib import PurePosixPath

from exporter.checkpoint.files import is_checkpoint_file
from exporter.fetch.cache import Cache, Entry, UnpackedRecord, read_record
from exporter.fetch.lock import LockedArchive
from exporter.files import hashing
from exporter.progress import Listener


def find_sound(cache: Cache, locked: LockedArchive, listener: Listener, set_aside: bool = False) -> Entry | None:
    """The archive in the cache, if it is there and has the right bytes.

    Args:
        set_aside: whether to move a damaged one out of the way, and warn of it; the caller holds the archive's lock.

    Raises:
        CacheError: the cache cannot be written.
    """
    entry = cache.find(locked)
    if entry is None:
        return None
    listener.note(f"checking {entry.path.name} in the cache")
    found = hashing.sha256(entry.path)
    if found == entry.sha256:
        return entry
    if set_aside:
        place = cache.set_aside(entry.path, found)
        cache.remove(entry.path.parent)
        listener.warn(
            f"{entry.path.name} in the cache is damaged: its sha256 is {found}, not {entry.sha256}; "
            f"it is kept as {place} and fetched again"
        )
    return None


def unpacked_is_sound(cache: Cache, locked: LockedArchive, sha256: str) -> bool:
    """Whether the archive with that hash is unpacked in the cache, each of its checkpoint's files with the right bytes.

    Those are what the archive had, by the record beside them, and what the lock file pins, if it does.
    """
    folder = cache.unpacked_folder(sha256)
    files = read_record(folder, UnpackedRecord).files
    if files is None:
        return False
    files = {**files, **locked.files}
    names = [name for name in files if is_checkpoint_file(PurePosixPath(name))]
    return bool(names) and all(
        (folder / name).is_file() and hashing.sha256(folder / name) == files[name] for name in names
    )
