"""Hashes of files, and the size of the blocks in which files are copied and hashed."""

import hashlib
from pathlib import Path
from typing import Annotated

import msgspec

from exporter.validation import at_least

#: In bytes. Blocks of a megabyte are slower: malloc returns each to the system, and its pages are zeroed once more.
CHUNK = 2**16

#: A path that leads out of no folder: relative, without ``..``, backslashes and drives.
_INSIDE = r"^(?!/)(?!.*(^|/)\.\.(/|$))[^\\:]+$"
#: A hash as files of ours write it.
Sha256 = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z", description="64 hexadecimal digits")]


def sha256(path: Path) -> str:
    """The file's sha256 in hexadecimal."""
    with open(path, "rb") as file:
        digest = hashlib.sha256()
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def copied(path: Path, target: Path) -> str:
    """The sha256 of a file, in hexadecimal, whose bytes are written to ``target`` as they are hashed."""
    digest = hashlib.sha256()
    with open(path, "rb") as file, open(target, "xb") as copy:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            copy.write(chunk)
    return digest.hexdigest()


class File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of a release: its path there, with slashes, its size in bytes, and its sha256 in hexadecimal."""

    path: Annotated[str, msgspec.Meta(pattern=_INSIDE, description="a path below the release, with slashes")]
    size: Annotated[int, at_least(0)]
    sha256: Sha256
