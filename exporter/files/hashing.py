"""Hashes of files, and the size of the blocks in which files are copied and hashed."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec

#: In bytes. Blocks of a megabyte are slower: malloc returns each to the system, and its pages are zeroed once more.
CHUNK = 2**16

#: A hash as files of ours write it.
Sha256 = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z", description="64 hexadecimal digits")]


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
