"""Opens what a data set is made of, by its path: the one place that does, for pictures, shards and lists."""

import os
import stat
from pathlib import Path
from typing import BinaryIO


class NoFileError(OSError):
    """A device, a pipe or a folder is where a file should be: reading it may never end."""


def opened(path: Path) -> BinaryIO:
    """A file, open for reading.

    Raises:
        OSError: it cannot be opened; a `NoFileError`, without a number, where it is no file.
        ValueError: its name has a NUL.
    """
    # Looked at first: to open a pipe is to wait for its other end.
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise NoFileError("is a device or a pipe")
    return open(path, "rb")


def size_of(file: BinaryIO) -> int:
    """The size of an open file in bytes."""
    place = file.tell()
    try:
        return file.seek(0, os.SEEK_END)
    finally:
        file.seek(place)
