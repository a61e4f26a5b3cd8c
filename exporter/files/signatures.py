"""What a file is by its content, whatever it is called."""

import tarfile
from pathlib import Path
from typing import IO, Literal

ArchiveKind = Literal["tar", ".tar.gz", ".tar.bz2", ".tar.xz", "zip"]

_START = 512
_ARCHIVES: dict[bytes, ArchiveKind] = {
    b"\x1f\x8b": ".tar.gz",
    b"BZh": ".tar.bz2",
    b"\xfd7zXZ\x00": ".tar.xz",
    b"PK\x03\x04": "zip",
    b"PK\x05\x06": "zip",
}
#: What is not read here, and is told by its name.
_OTHERS = {
    b"7z\xbc\xaf\x27\x1c": "a 7-Zip archive",
    b"Rar!\x1a\x07": "a RAR archive",
    b"\x28\xb5\x2f\xfd": "compressed with Zstandard",
    b"\x04\x22\x4d\x18": "compressed with LZ4",
    b"\x1f\x9d": "compressed with compress",
    b"LZIP": "compressed with lzip",
    b"\x89HDF\r\n\x1a\n": "an HDF5 file, as of Keras",
    b"version https://git-lfs": "a pointer of Git LFS in place of the file",
    b"\x80\x02": "a pickle of Python's",
    b"\x80\x04": "a pickle of Python's",
    b"<": "a page or XML",
    b"%PDF": "a PDF file",
}


def archive_kind(file: IO[bytes]) -> ArchiveKind | None:
    """What kind of archive an open file is, from its first bytes, which are read; None for any other file."""
    file.seek(0)
    start = file.read(_START)
    for magic, kind in _ARCHIVES.items():
        if start.startswith(magic):
            return kind
    return "tar" if begins_tar(start) else None


def begins_tar(start: bytes) -> bool:
    """Whether 512 bytes are the header of a member in a tar file."""
    try:
        tarfile.TarInfo.frombuf(start[:_START], "utf-8", "surrogateescape")
    except (tarfile.TarError, ValueError):
        return False
    return True


def described(path: Path) -> str:
    """What a file is, in words: "an HDF5 file, as of Keras", or its first bytes.

    Raises:
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        kind = archive_kind(file)
        file.seek(0)
        start = file.read(64)
    if kind:
        return "a tar file" if kind == "tar" else f"a {kind} archive" if kind == "zip" else f"compressed, as a {kind}"
    for magic, name in _OTHERS.items():
        if start.lstrip().startswith(magic):
            return name
    return f"something that begins with {start[:16]!r}" if start else "empty"
