"""Transfers an archive from a server or a folder to a partial file, and continues what was interrupted."""

import contextlib
import os
from pathlib import Path
from typing import IO, Any

from exporter.errors import FetchError
from exporter.fetch.addresses import local_path, protocol_of_store
from exporter.fetch.download import Download
from exporter.fetch.partial import HINT, Received, copy_and_hash, disk_errors, require_gzip, require_space
from exporter.progress import SILENT, Listener

#: Bytes that are asked of a store at a time.
_BLOCK = 2**23


def receive(
    address: str,
    partial: Path,
    *,
    size: int | None = None,
    sha256: str | None = None,
    timeout: float = 60.0,
    retries: int = 5,
    listener: Listener = SILENT,
) -> Received:
    """Brings the file at ``address`` to ``partial``, continuing what an earlier call left there.

    Args:
        address: an http or https URL, a file URL, a path, or an address that fsspec knows.
        partial: the file to write. What came is left in it when the server fails; it is removed when the disk is full.
        size, sha256: of the file, where they are known beforehand. They save transfers that cannot end well; the
            caller must compare them with those of what came. Without a sha256, the hashes that the server states
            (``x-goog-hash``) are checked.
        timeout, retries: see `exporter.settings.Settings`.

    Raises:
        FetchError: the file is not there, or the server fails for too long, or sends other bytes than it states.
        CacheError: ``partial`` cannot be written.
    """
    path = local_path(address)
    with disk_errors(partial):
        if path is not None:
            return _copy(path, partial, listener)
        if protocol_of_store(address) is not None:
            return _copy_from_store(address, partial, listener)
        return Download(address, partial, size, sha256, timeout, retries, listener).run()


def _copy(path: Path, partial: Path, listener: Listener) -> Received:
    if path.exists() and not path.is_file():
        raise FetchError(f"{path} is not a file: {HINT}")
    try:
        file: IO[bytes] = open(path, "rb")  # noqa: SIM115 - its errors are not the cache's
        total = os.fstat(file.fileno()).st_size
    except OSError as error:
        raise FetchError(f"cannot read {path}: {error.strerror}") from error
    with file:
        require_space(partial.parent, total)
        received = copy_and_hash(file, partial, lambda done: listener.transferred(done, max(total, done)))
    require_gzip(str(path), partial)
    return received


def _copy_from_store(address: str, partial: Path, listener: Listener) -> Received:
    """Copies a file that fsspec reaches; its libraries try again by themselves."""
    from exporter.fetch.stores import failures, store

    place = store(address, FetchError)
    with failures(place.shown, FetchError, "cannot fetch"):
        total = int(place.files.info(place.path)["size"])
        file = _Told(place.files.open(place.path, "rb", block_size=_BLOCK), place.shown)
    with contextlib.closing(file):
        require_space(partial.parent, total)
        received = copy_and_hash(file, partial, lambda done: listener.transferred(done, max(total, done)))
    if received.size != total:
        raise FetchError(f"{place.shown} gives {received.size:,} bytes of {total:,}: {HINT}")
    require_gzip(place.shown, partial)
    return received


class _Told:
    """A file of a store; what it raises is not taken for an error of the disk that is written."""

    def __init__(self, file: Any, shown: str):
        self._file, self._shown = file, shown
        self.close = file.close

    def read(self, size: int) -> bytes:
        from exporter.fetch.stores import failures

        with failures(self._shown, FetchError, "cannot fetch"):
            content: bytes = self._file.read(size)
            return content
