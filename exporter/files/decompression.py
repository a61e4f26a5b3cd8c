"""Compressed files read piece by piece: bounded in memory, and refused where they grow beyond reason."""

import bz2
import lzma
from collections.abc import Callable
from typing import Protocol

from isal import igzip_lib

from exporter.files.hashing import CHUNK

#: Weights hardly compress, zeros by a factor of a thousand: what grows by more than this is made to fill a disk, unless
#: it stays small, in bytes.
_MAX_FACTOR, _SMALL = 200, 256 * 2**20
#: The most memory that a compressed file may ask for, in bytes; ``xz -9`` needs 65 MiB.
_MAX_MEMORY = 128 * 2**20


class Readable(Protocol):
    """What has bytes, one after the other."""

    def read(self, size: int, /) -> bytes:
        """Some bytes, at most ``size``; none at the end."""


class DamagedError(Exception):
    """An archive that is not what its first bytes promise; the message says why."""


def require_sane(unpacked: int, packed: int) -> None:
    """Raises DamagedError where ``packed`` bytes hold too many others to be weights."""
    if unpacked > max(_SMALL, _MAX_FACTOR * packed):
        raise DamagedError(f"it unpacks to more than {_MAX_FACTOR} times its size")


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    @property
    def needs_input(self) -> bool: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


_DECOMPRESSORS: dict[str, Callable[[], _Decompressor]] = {
    # Takes less than half the time of zlib, which is a third of what it takes to build a large network.
    ".tar.gz": lambda: igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP),
    ".tar.bz2": bz2.BZ2Decompressor,
    ".tar.xz": lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, _MAX_MEMORY),
}


class Decompressed:
    """What a compressed file holds, of one stream or several, one after the other; zeros may follow.

    Its checksums are checked: reading it to its end shows whether it is whole.
    """

    def __init__(self, file: Readable, kind: str):
        self._file, self._new = file, _DECOMPRESSORS[kind]
        self._decompressor = self._new()
        self._consumed = self._produced = 0

    def read(self, size: int) -> bytes:
        """The next bytes, at most ``size``; none at the end.

        Raises:
            DamagedError: it is damaged, cut short, needs too much memory, or grows without end.
        """
        try:
            piece = self._next(size)
        except (igzip_lib.error, lzma.LZMAError, MemoryError, ValueError) as error:  # type: ignore[misc]  # in its stub
            raise DamagedError(str(error) or "it needs too much memory") from error
        except OSError as error:
            if error.errno is not None:
                raise
            raise DamagedError(str(error)) from error  # bzip2's
        self._produced += len(piece)
        require_sane(self._produced, self._consumed)
        return piece

    def _next(self, size: int) -> bytes:
        while True:
            data = b""
            if self._decompressor.eof:
                data = self._following(self._decompressor.unused_data)
                if not data:
                    return b""
                self._decompressor = self._new()
            elif self._decompressor.needs_input:
                data = self._more()
                if not data:
                    # What is left inside comes out without more; where nothing does, the end is missing.
                    piece = self._decompressor.decompress(b"", size)
                    if not piece and not self._decompressor.eof:
                        raise DamagedError("it is cut short")
                    return piece
            if piece := self._decompressor.decompress(data, size):
                return piece

    def _following(self, unused: bytes) -> bytes:
        """What comes after the end of a stream, without the zeros that fill a block."""
        while not (unused := unused.lstrip(b"\0")):
            if not (unused := self._more()):
                return b""
        return unused

    def _more(self) -> bytes:
        data = self._file.read(CHUNK)
        self._consumed += len(data)
        return data
