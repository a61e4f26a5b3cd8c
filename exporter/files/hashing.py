"""How much of a file is in memory while it is copied or hashed."""

import hashlib
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
