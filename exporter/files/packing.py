"""Packs a folder into a ``.tar.gz``: the same bytes for the same files, on every machine."""

import gzip
import hashlib
import struct
import tarfile
from pathlib import Path
from typing import IO, Any

from isal import isal_zlib

from exporter.files.hashing import CHUNK, File

#: The time of every member of a released archive, the first that zip files know, too. GNU tar warns of earlier ones.
_RELEASE_TIME = 315532800
#: A block of deflate's that is stored as it is has a length of 16 bits.
_BLOCK = 65535


def pack_release(folder: Path, target: Path, folder_name: str, archive_name: str) -> tuple[tuple[File, ...], File]:
    """Writes ``target`` as the hub served archives: not compressed, the files of ``folder`` at the root of the archive.

    Returns:
        The files of the folder, below ``folder_name``, and the archive, under ``archive_name``; both are hashed on the
        way.

    Raises:
        OSError: it cannot be written.
    """
    with open(target, "wb") as file:
        return _pack_release(folder, file, folder_name, archive_name)


def packed_release(folder: Path, folder_name: str, archive_name: str) -> tuple[tuple[File, ...], File]:
    """What `pack_release` returns for a folder, without writing anything.

    Raises:
        OSError: a file cannot be read.
    """
    return _pack_release(folder, _Nowhere(), folder_name, archive_name)


class _Nowhere:
    """Takes whatever is written, and keeps nothing."""

    def write(self, content: bytes) -> int:
        return len(content)


def _pack_release(folder: Path, file: Any, folder_name: str, archive_name: str) -> tuple[tuple[File, ...], File]:
    stored = _StoredGzip(file)
    files = _write_tar(folder, stored, _RELEASE_TIME)
    stored.close()
    named = tuple(File(f"{folder_name}/{each.path}", each.size, each.sha256) for each in files)
    return named, File(archive_name, stored.written, stored.digest.hexdigest())


def pack_compressed(folder: Path, target: Path) -> None:
    """Writes ``target`` with the files of ``folder`` at the root of the archive, compressed a little.

    The bytes depend on the version of zlib.

    Raises:
        OSError: it cannot be written.
    """
    with (
        open(target, "wb") as file,
        # Random weights do not compress: the lowest level costs nothing in size.
        gzip.GzipFile(filename="", mode="wb", fileobj=file, compresslevel=1, mtime=0) as zipped,
    ):
        _write_tar(folder, zipped, time=0)


def _write_tar(folder: Path, stream: Any, time: int) -> list[File]:
    """Writes all below ``folder`` as a tar file; order, owner and mode of its members are always the same.

    Args:
        stream: what has a method ``write`` for bytes.
        time: of every member, in seconds since 1970.

    Returns:
        Each file with its path in ``folder``.
    """
    files = []
    with tarfile.open(
        fileobj=stream,
        mode="w|",
        bufsize=CHUNK,
        format=tarfile.USTAR_FORMAT,
        copybufsize=CHUNK,  # type: ignore[call-overload]
    ) as members:
        for path in sorted(folder.rglob("*")):
            member = tarfile.TarInfo(path.relative_to(folder).as_posix())
            member.mtime = time
            if path.is_dir():
                member.type, member.mode = tarfile.DIRTYPE, 0o755
                members.addfile(member)
                continue
            member.size, member.mode = path.stat().st_size, 0o644
            with open(path, "rb") as content:
                hashed = _Hashing(content)
                members.addfile(member, hashed)
            files.append(File(member.name, member.size, hashed.digest.hexdigest()))
    return files


class _Hashing:
    """A file that is hashed as it is read."""

    def __init__(self, file: IO[bytes]):
        self._file, self.digest = file, hashlib.sha256()

    def read(self, size: int) -> bytes:
        content = self._file.read(size)
        self.digest.update(content)
        return content


class _StoredGzip:
    """A gzip file of stored blocks (RFC 1951, 3.2.4; RFC 1952), hashed as it is written.

    What a compressor writes depends on its version, and it would take a tenth off weights, in four times the time.
    """

    def __init__(self, file: Any):
        self._file, self.digest, self.written = file, hashlib.sha256(), 0
        self._waiting, self._size, self._checksum = b"", 0, 0
        self._put(b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff")  # no name, no time, unknown system

    def _put(self, content: Any) -> None:
        self._file.write(content)
        self.digest.update(content)
        self.written += len(content)

    def write(self, content: bytes) -> int:
        self._checksum = isal_zlib.crc32(content, self._checksum)
        self._size += len(content)
        view = memoryview(self._waiting + content)
        whole = len(view) - len(view) % _BLOCK
        blocks = (view[start : start + _BLOCK] for start in range(0, whole, _BLOCK))
        self._put(b"".join(part for block in blocks for part in (_header(block, last=False), block)))
        self._waiting = bytes(view[whole:])
        return len(content)

    def close(self) -> None:
        self._put(_header(self._waiting, last=True) + self._waiting)
        self._put(struct.pack("<II", self._checksum, self._size % 2**32))


def _header(block: Any, last: bool) -> bytes:
    return struct.pack("<BHH", last, len(block), len(block) ^ 0xFFFF)
