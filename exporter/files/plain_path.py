"""Paths that TensorFlow takes for what they are: where it restores variables, some characters make a pattern of one."""

import atexit
import contextlib
from collections.abc import Iterator
from pathlib import Path

from exporter.errors import NasexportError
from exporter.files import temporary

_PATTERN = frozenset("*?[]{}\\")


def is_plain(path: Path | str) -> bool:
    """Whether a path has none of those characters, and is UTF-8."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return not _PATTERN & set(str(path))


@contextlib.contextmanager
def plain(folder: Path) -> Iterator[Path]:
    """A path of ``folder`` that TensorFlow takes for what it is, for the time of the ``with`` block.

    Errors that are raised in it have the path of ``folder`` itself.

    Raises:
        NasexportError: there is none, as no link can be made.
    """
    if is_plain(folder):
        yield folder
        return
    with temporary.folder() as made:
        link = made / "artifact"
        link.symlink_to(folder.absolute(), target_is_directory=True)
        try:
            yield link
        except NasexportError as error:
            raise type(error)(str(error).replace(str(link), str(folder))) from error


def lasting(folder: Path) -> Path:
    """The same for as long as the process lives, for readers that open files when they are asked for something."""
    held = contextlib.ExitStack()
    found = held.enter_context(plain(folder))
    atexit.register(held.close)
    return found
