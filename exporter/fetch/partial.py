"""The file that a transfer writes, until it is whole: what is kept with it, and what keeps it from being written."""

import contextlib
import errno
import gzip
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from exporter.errors import CacheError, FetchError
from exporter.fetch.sources import shown
from exporter.files.hashing import CHUNK

#: What every gzip file begins with.
GZIP = b"\x1f\x8b"
#: What to do where a source fails.
HINT = "pass --checkpoint with a copy you have, name another source with --mirror, or try again"


@dataclass(frozen=True)
class Received:
    """A file that came in whole: its hash in hexadecimal and its size in bytes."""

    sha256: str
    size: int


def forget(partial: Path) -> None:
    """Removes a partial file and what is kept with it."""
    for path in (partial, facts_file(partial)):
        path.unlink(missing_ok=True)


def facts_file(partial: Path) -> Path:
    """Where what must be known of a partial file to go on with it is kept."""
    return partial.with_name(partial.name + ".json")


@contextlib.contextmanager
def disk_errors(partial: Path) -> Iterator[None]:
    """Within it, an OSError is one of the disk that ``partial`` is on, and raised as a CacheError."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            partial.unlink(missing_ok=True)  # it would keep the disk full for everyone
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


def written(
    source: IO[bytes] | gzip.GzipFile, target: Path, transferred: Callable[[int], None] = lambda _: None
) -> Received:
    """Writes all that ``source`` gives to the file ``target``; tells how many bytes there are so far."""
    digest, size = hashlib.sha256(), 0
    with open(target, "wb") as file:
        while chunk := source.read(CHUNK):
            file.write(chunk)
            digest.update(chunk)
            size += len(chunk)
            transferred(size)
    return Received(digest.hexdigest(), size)


def require_gzip(source: str, partial: Path, content_type: str = "") -> None:
    """Recognizes an error page, or whatever else is no archive, before anybody tries to unpack it."""
    with open(partial, "rb") as file:
        start = file.read(40)
    if not start.startswith(GZIP):
        what = f"{content_type}, " if content_type else ""
        partial.unlink()
        raise FetchError(
            f"{shown(source)} has no .tar.gz archive but {what}{start[:24]!r}: is a login page or proxy in between?\n"
            f"{HINT[0].upper()}{HINT[1:]}"
        )


def without_encoding(partial: Path) -> Received | None:
    """Undoes ``Content-Encoding: gzip`` where it was put around the archive; some servers call the archive itself that.

    None where the bytes are the archive as they are.
    """
    with gzip.open(partial) as content:
        try:
            if content.peek(2)[:2] != GZIP:
                return None
            decoded = partial.with_name(partial.name + ".decoded")
            received = written(content, decoded)
        except (EOFError, gzip.BadGzipFile):
            return None
    os.replace(decoded, partial)
    facts_file(partial).unlink()  # its length is no longer that of the partial file
    return received
