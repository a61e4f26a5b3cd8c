"""Opens and hashes the files of a release for a server, while the release may be replaced at any time."""

import contextlib
import functools
import hashlib
import os
import stat
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from exporter.files.hashing import CHUNK
from exporter.hosting.routes import ListedFile, Listing, listing
from exporter.release.manifest import MANIFEST_FILE, read_manifest

#: Nanoseconds that times of files do not tell apart: the kernel's tick is 10 ms at most. A file that is written all the
#: time is not waited for for ever.
_MOMENT = 20_000_000
_TRIES = 5


class UnavailableError(Exception):
    """A file is not what the manifest says; the message is for the operator of the server."""


@dataclass
class OpenFile:
    """An open file, its path in the release, its size in bytes, and its sha256 in hexadecimal."""

    path: str
    file: BinaryIO
    size: int
    sha256: str
    _identity: tuple[int, ...]

    def content(self) -> bytes:
        """All of it, as it was hashed.

        Raises:
            UnavailableError: it is written to.
        """
        content = os.pread(self.file.fileno(), self.size, 0)
        if hashlib.sha256(content).hexdigest() != self.sha256:
            raise UnavailableError(f"{self.path}: was changed while it was read")
        return content

    def has_changed(self) -> bool:
        """Whether it was written to since it was hashed; what is read afterwards belongs to the hash until it was."""
        descriptor = self.file.fileno()
        identity = _settled_identity(descriptor)
        if identity != self._identity:
            # It was removed, renamed, or given other rights; or written to, and its time set back.
            if identity[-1] != self.size or _hashed(descriptor) != self.sha256:
                return True
            self._identity = identity
        return False


class ReleasedFiles:
    """The files of a release in a folder; safe for use by many threads.

    The sha256 of a file is its ETag. A file is hashed when it is first requested and again when its inode, size or
    times have changed; if the manifest has another hash, it is not served. Comparing size and time alone would not be
    enough: the weights of all checkpoints of a model have the same size, and when a release is replaced, its manifest
    and its files do not change at the same moment.

    Raises:
        ReleaseError: there is no release in the folder, or its manifest is damaged.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self._lock = threading.Lock()
        #: The listing, and the identity of the manifest that it was read from.
        self._listing: tuple[tuple[int, ...], Listing] | None = None
        self._hashing: dict[str, threading.Lock] = {}
        #: For each path, the identity of the file and its sha256.
        self._hashes: dict[str, tuple[tuple[int, ...], str]] = {}
        self.listing()

    def listing(self) -> Listing:
        """What the release contains, according to its present manifest.

        Raises:
            ReleaseError: the manifest is missing or damaged.
        """
        path = self._folder / MANIFEST_FILE
        with self._lock:
            try:
                identity = _settled_identity(path)  # before reading: what is written meanwhile is read the next time
            except OSError:
                identity = ()
            if self._listing is None or self._listing[0] != identity:
                self._listing = None
                self._listing = identity, listing(read_manifest(self._folder).values())
            return self._listing[1]

    @contextlib.contextmanager
    def open(self, listed: ListedFile) -> Iterator[OpenFile]:
        """Opens a file of the release and checks its hash against the manifest's.

        Raises:
            FileNotFoundError: there is no such file.
            UnavailableError: it is not a regular file, cannot be read, or its hash is not that of the manifest.
        """
        with contextlib.ExitStack() as stack:
            try:
                descriptor = self._descriptor(listed.path)
                file = stack.enter_context(os.fdopen(descriptor, "rb"))
                status = os.fstat(descriptor)
                if not stat.S_ISREG(status.st_mode):
                    raise UnavailableError(f"{listed.path}: is not a file")
                identity, sha256 = self._hash(listed.path, descriptor)
            except FileNotFoundError:
                raise
            except OSError as error:
                raise UnavailableError(f"{listed.path}: cannot be read: {error.strerror}") from error
            if listed.sha256 not in (None, sha256):
                raise UnavailableError(f"{listed.path}: has sha256 {sha256}, expected {listed.sha256} by the manifest")
            opened = OpenFile(listed.path, file, identity[-1], sha256, identity)
            if opened.has_changed():
                raise UnavailableError(f"{listed.path}: was changed while it was read")
            yield opened

    def _descriptor(self, path: str) -> int:
        """Opens a path folder by folder, so that no symbolic link on the way is followed."""
        *folders, name = path.split("/")
        parent = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for part in folders:
                child = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
                os.close(parent)
                parent = child
            # Without O_NONBLOCK, opening a named pipe would block the thread for good.
            return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=parent)
        finally:
            os.close(parent)

    def _hash(self, path: str, descriptor: int) -> tuple[tuple[int, ...], str]:
        """The identity of a file before it was hashed, and its sha256."""
        with self._lock:
            hashing = self._hashing.setdefault(path, threading.Lock())
        with hashing:  # when many clients request a file at once, one thread hashes it
            identity = _settled_identity(descriptor)
            known = self._hashes.get(path)
            if known is None or known[0] != identity:
                known = identity, _hashed(descriptor)
                self._hashes[path] = known
            return known


def _hashed(descriptor: int) -> str:
    digest, offset = hashlib.sha256(), 0
    while chunk := os.pread(descriptor, CHUNK, offset):
        digest.update(chunk)
        offset += len(chunk)
    return digest.hexdigest()


def _settled_identity(file: int | Path) -> tuple[int, ...]:
    """Changes whenever a file is replaced or written to, even if its modification time is set back afterwards.

    The kernel's clock of files stands still for some milliseconds: a file that was written in this moment could be
    written once more and keep its times. So the moment is waited out.
    """
    state = file.stat if isinstance(file, Path) else functools.partial(os.fstat, file)
    status = state()
    for _ in range(_TRIES):
        if not 0 <= time.time_ns() - status.st_ctime_ns < _MOMENT:
            break
        time.sleep(_MOMENT / 1e9)
        status = state()
    return status.st_dev, status.st_ino, status.st_ctime_ns, status.st_mtime_ns, status.st_size
