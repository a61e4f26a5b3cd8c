"""A file that is to be sent to where others load it from, as it is known before."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from exporter.errors import NasexportError


@dataclass(frozen=True)
class Item:
    """A file to send: its path at the target, its size in bytes, its sha256 in hexadecimal, and where it lies."""

    path: str
    size: int
    sha256: str
    file: Path

    def digest(self, algorithm: str, start: bytes = b"", piece: int | None = None) -> list[bytes]:
        """Other hashes of its bytes, as stores have them: of all of it, or of each piece of so many bytes.

        Args:
            algorithm: a name that hashlib knows.
            start: what is hashed before the first byte.

        Raises:
            NasexportError: the file cannot be read.
        """
        found = []
        try:
            with open(self.file, "rb") as file:
                while True:
                    begun = file.tell()
                    digest = hashlib.new(algorithm, start, usedforsecurity=False)
                    left = piece if piece is not None else self.size
                    while left > 0 and (chunk := file.read(min(2**20, left))):
                        digest.update(chunk)
                        left -= len(chunk)
                    found.append(digest.digest())
                    # One that was cut off meanwhile has no more bytes, however many it should have.
                    if piece is None or file.tell() >= self.size or file.tell() == begun:
                        return found
        except OSError as error:
            raise NasexportError(f"cannot read {self.file}: {error.strerror}") from error
