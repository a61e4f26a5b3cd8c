"""The file that a transfer writes until it is whole, and what is kept beside it so that it can be continued."""

import base64
import contextlib
import errno
import gzip
import hashlib
import shutil
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Protocol

import msgspec

from exporter.errors import WRONG, CacheError, FetchError
from exporter.fetch.addresses import without_password
from exporter.files import staging
from exporter.files.hashing import CHUNK
from exporter.validation import MOST_JSON, read

#: What every gzip file begins with.
GZIP = b"\x1f\x8b"
#: What to do where an address fails.
HINT = "pass --checkpoint with a copy you have, name another server or folder with --mirror, or try again"


#: The same as a sentence of its own.
NEXT = HINT[0].upper() + HINT[1:]


class Readable(Protocol):
    """What bytes can be read from."""

    def read(self, size: int, /) -> bytes: ...


class TooLargeError(Exception):
    """Content has more bytes than it may."""


@dataclass(frozen=True)
class Received:
    """A file that was received in whole: its hash in hexadecimal and its size in bytes."""

    sha256: str
    size: int


@dataclass
class Facts:
    """What must be known of a partial file to continue it, as the server said it when the transfer began.

    ``validator`` is for ``If-Range``, ``total`` is in bytes, ``encoded`` tells of ``Content-Encoding: gzip``, and
    ``stated`` are hashes in base 64.
    """

    address: str = ""
    validator: str | None = None
    total: int | None = None
    encoded: bool = False
    stated: dict[str, str] = field(default_factory=dict)


class Hashes:
    """The hashes of all bytes so far."""

    def __init__(self, stated: bool):
        """``stated``: whether those are wanted too that a server may state; they take longer than the sha256."""
        self.count = 0
        self.sha256 = hashlib.sha256()
        self._others: dict[str, Any] = {}
        if stated:
            import google_crc32c  # only needed here

            self._others = {"md5": hashlib.md5(usedforsecurity=False), "crc32c": google_crc32c.Checksum()}

    def update(self, chunk: bytes) -> None:
        self.count += len(chunk)
        self.sha256.update(chunk)
        for other in self._others.values():
            other.update(chunk)

    def contradiction(self, stated: dict[str, str]) -> str | None:
        """How the bytes differ from what the server states of them; None where they do not."""
        for name, other in self._others.items():
            found = base64.b64encode(other.digest()).decode()
            if name in stated and stated[name] != found:
                return f"states {name} {stated[name]},\nbut what it sent has {found}"
        return None


class PartialFile:
    """What was received so far of the file at one address.

    Args:
        address: what an earlier process left is only continued if it came from there, and its facts are beside it.
        stated: see `Hashes`.
    """

    def __init__(self, path: Path, address: str, *, stated: bool):
        self.path, self._address, self._stated = path, address, stated
        self.facts = self._read_facts()
        self._hashes = Hashes(stated)

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def _read_facts(self) -> Facts:
        try:
            facts = msgspec.json.decode(read(_facts_file(self.path), MOST_JSON, CacheError), type=Facts)
        except (OSError, ValueError, RecursionError, CacheError):
            return Facts()
        return facts if facts.address == self._address else Facts()

    def discard(self) -> None:
        """Removes the file and its facts."""
        discard(self.path)
        self.facts = Facts()

    def begin(self, facts: Facts) -> None:
        """Records the facts of a new transfer, before its first byte; there must be no file."""
        self._hashes = Hashes(self._stated)
        self.facts = facts
        _facts_file(self.path).write_bytes(msgspec.json.encode(facts))

    def hashes(self) -> Hashes:
        """The hashes of all that is there; what an earlier process wrote is read for them."""
        if self._hashes.count != self.size:
            self._hashes = Hashes(self._stated)
            with open(self.path, "rb") as file:
                while chunk := file.read(CHUNK):
                    self._hashes.update(chunk)
        return self._hashes

    @contextlib.contextmanager
    def appending(self) -> Iterator["Appending"]:
        """The file, open to append to."""
        hashes = self.hashes()
        with open(self.path, "ab") as file:
            yield Appending(file, hashes)


class Appending:
    """A partial file while it is written: all that is appended is hashed. Until `flush`, its end may be in memory."""

    def __init__(self, file: IO[bytes], hashes: Hashes):
        self._file, self._hashes = file, hashes
        self.flush = file.flush

    @property
    def size(self) -> int:
        return self._hashes.count

    def write(self, chunk: bytes) -> None:
        self._file.write(chunk)
        self._hashes.update(chunk)


def discard(partial: Path) -> None:
    """Removes a partial file and what is kept beside it."""
    for path in (partial, _facts_file(partial)):
        path.unlink(missing_ok=True)


def _facts_file(partial: Path) -> Path:
    return partial.with_name(partial.name + ".json")


@contextlib.contextmanager
def disk_errors(partial: Path) -> Iterator[None]:
    """Within it, an OSError is one of the disk that ``partial`` is on, and raised as a CacheError."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            discard(partial)  # it would keep the disk full for everyone
            raise CacheError(
                f"the disk is full ({error.strerror}) while writing to {partial.parent}:\n"
                f"make room, or name another folder with --cache-dir"
            ) from error
        raise CacheError(f"cannot write {partial}: {error.strerror or error}") from error


def require_space(folder: Path, needed: int) -> None:
    """Raises CacheError where the disk of ``folder`` has fewer than ``needed`` bytes left."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise CacheError(
            f"{needed:,} bytes are to come, but the disk of {folder} has {free:,} left:\n"
            f"make room, or name another folder with --cache-dir"
        )


def copy_and_hash(
    content: Readable,
    target: Path,
    transferred: Callable[[int], None] = lambda _: None,
    most: int | None = None,
) -> Received:
    """Writes all of ``content`` to the file ``target``; ``transferred`` is told how many bytes there are so far.

    Raises:
        TooLargeError: it has more than ``most`` bytes.
    """
    digest, size = hashlib.sha256(), 0
    with open(target, "wb") as file:
        while chunk := content.read(CHUNK):
            file.write(chunk)
            digest.update(chunk)
            size += len(chunk)
            transferred(size)
            if most is not None and size > most:
                raise TooLargeError
    return Received(digest.hexdigest(), size)


def require_gzip(address: str, partial: Path, content_type: str = "") -> None:
    """Recognizes an error page, or whatever else is no archive, before anybody tries to unpack it."""
    with open(partial, "rb") as file:
        start = file.read(40)
    if not start.startswith(GZIP):
        what = f"{content_type}, " if content_type else ""
        partial.unlink()
        raise FetchError(
            f"{without_password(address)} has no .tar.gz archive but {what}{start[:24]!r}: "
            f"is a login page or proxy in between?\n{NEXT}",
            status=WRONG,
        )


def undo_content_encoding(partial: Path, most: int) -> Received | None:
    """Unpacks what was sent with ``Content-Encoding: gzip``; some servers say so of an archive that is sent as it is.

    None where the bytes are the archive as they are.

    Raises:
        TooLargeError: it unpacks to more than ``most`` bytes; nothing of them is left.
    """
    try:
        with gzip.open(partial) as content:
            if content.peek(2)[:2] != GZIP:
                return None
            with staging.replacing(partial) as decoded:
                received = copy_and_hash(content, decoded, most=most)
    except (EOFError, gzip.BadGzipFile, zlib.error):
        return None
    _facts_file(partial).unlink()  # its length is no longer that of the partial file
    return received
