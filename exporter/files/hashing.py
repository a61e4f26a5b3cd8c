"""Files by their hashes, and how much of one is in memory while it is copied or hashed."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

#: In bytes. Blocks of a megabyte are slower: malloc returns each to the system, and its pages are zeroed once more.
CHUNK = 2**16


def sha256(path: Path) -> str:
    """The file's sha256 in hexadecimal."""
    with open(path, "rb") as file:
        digest = hashlib.sha256()
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


@dataclass(frozen=True)
class File:
    """One file of a release: its path there, with slashes, its size in bytes, and its sha256 in hexadecimal."""

    path: str
    size: int
    sha256: str
