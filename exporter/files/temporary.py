"""Folders for temporary files: removed after use, and by a later command where their process was killed."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from exporter.errors import NasexportError
from exporter.files import staging

#: Folders are called ``.nasexport.XXXXXXXX.partial``.
_NAME = "nasexport"


@contextlib.contextmanager
def folder(within: Path | str | None = None) -> Iterator[Path]:
    """A new folder that nobody else may look into, removed with all that is in it after the ``with`` block.

    It is locked for as long as its process lives. What killed processes of the same user left in the same place is
    removed first.

    Args:
        within: where to make it, by default where the system keeps temporary files.

    Raises:
        NasexportError: it cannot be made.
    """
    with contextlib.ExitStack() as stack:
        try:
            place = Path(within or tempfile.gettempdir())
            made = stack.enter_context(staging.folder_beside(place / _NAME, mode=0o700))
        except OSError as error:
            where = within or "any of the folders for temporary files"
            raise NasexportError(
                f"cannot make a folder in {where}: {error.strerror or error}; TMPDIR names another place"
            ) from error
        yield made
