"""The files of a release that may be replaced at any time: opened for each use, and known by their bytes."""

import contextlib
import hashlib
import os
import stat
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from exporter.files.hashing import CHUNK
from exporter.hosting.routes import Listed, Listing, listing
from exporter.release.manifest import MANIFEST_FILE, read_manifest


class UnavailableError(Exception):
    """A file that is not what the manifest says; the message is for whoever runs the server."""


@dataclass(frozen=True)
class OpenFile:
    """A file, its size in bytes, and its sha256 in hexadecimal."""

    file: BinaryIO
    size: int
    sha256: str
    _written: tuple[int, int]

    def has_changed(self) -> bool:
        """Whether it was written to since it was hashed."""
        return _written(os.fstat(self.file.fileno())) != self._written


class ReleasedFiles:
    """A release in a folder, for many threads.

    A file is served under the sha256 of its bytes. Each is hashed when it is first asked for, and again when its
    inode, size or times differ; where the manifest has another hash, it is not served. Size and time alone would not
    do: the weights of any checkpoint of a model have the same size, and the manifest and the files of a release that
    is replaced do not change at the same moment.

    Raises:
        ReleaseError: there is no release in the folder, or its manifest is damaged.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self._guard = threading.Lock()
        self._listed: tuple[tuple[int, ...], Listing] | None = None
        self._hashing: dict[str, threading.Lock] = {}
        self._hashes: dict[str, tuple[tuple[int, ...], str]] = {}
        self.listing()

    def listing(self) -> Listing:
        """What the release has, by its manifest as it is now.

        Raises:
            ReleaseError: it is gone, or damaged.
        """
        path = self._folder / MANIFEST_FILE
        with self._guard:
            try:
                seen = _identity(path.stat())  # before it is read: what is written meanwhile is read the next time
            except OSError:
                seen = ()
            if self._listed is None or self._listed[0] != seen:
                self._listed = None
                self._listed = seen, listing(read_manifest(self._folder).values())
            return self._listed[1]

    @contextlib.contextmanager
    def opened(self, listed: Listed) -> Iterator[OpenFile]:
        """A file of the release, whose bytes are those that it is listed with.

        Raises:
            FileNotFoundError: it is not there.
            UnavailableError: it is no file, cannot be read, or has other bytes than the manifest says.
        """
        with contextlib.ExitStack() as stack:
            try:
                descriptor = self._descriptor(listed.path)
                file = stack.enter_context(open(descriptor, "rb"))
                status = os.fstat(descriptor)
                if not stat.S_ISREG(status.st_mode):
                    raise UnavailableError(f"{listed.path}: is not a file")
                sha256 = self._sha256(listed.path, descriptor)
            except FileNotFoundError:
                raise
            except OSError as error:
                raise UnavailableError(f"{listed.path}: cannot be read: {error.strerror}") from error
            if listed.sha256 not in (None, sha256):
                raise UnavailableError(f"{listed.path}: has sha256 {sha256}, expected {listed.sha256} by the manifest")
            found = OpenFile(file, status.st_size, sha256, _written(status))
            if found.has_changed():
                raise UnavailableError(f"{listed.path}: was changed while it was read")
            yield found

    def _descriptor(self, path: str) -> int:
        """Opens a path from folder to folder, so that no link on the way is followed, whoever puts it there."""
        *folders, name = path.split("/")
        within = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for part in folders:
                inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=within)
                os.close(within)
                within = inner
            # Without O_NONBLOCK, a named pipe would hold the thread for good.
            return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=within)
        finally:
            os.close(within)

    def _sha256(self, path: str, descriptor: int) -> str:
        with self._guard:
            hashing = self._hashing.setdefault(path, threading.Lock())
        with hashing:  # many clients at once: one of them hashes
            identity = _identity(os.fstat(descriptor))
            known = self._hashes.get(path)
            if known is None or known[0] != identity:
                known = identity, _hashed(lambda offset: os.pread(descriptor, CHUNK, offset))
                self._hashes[path] = known
            return known[1]


def _hashed(read: Callable[[int], bytes]) -> str:
    digest, offset = hashlib.sha256(), 0
    while chunk := read(offset):
        digest.update(chunk)
        offset += len(chunk)
    return digest.hexdigest()


def _identity(status: os.stat_result) -> tuple[int, ...]:
    """Differs whenever a file was replaced or written to, also where its old time was given back to it."""
    return status.st_dev, status.st_ino, status.st_ctime_ns, *_written(status)


def _written(status: os.stat_result) -> tuple[int, int]:
    """Differs when a file was written to; unlike `_identity` not when it was removed while it is open."""
    return status.st_size, status.st_mtime_ns
