"""Locks the folder of a release while a process works on it."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from exporter.errors import ReleaseError
from exporter.files import staging

#: Where artifacts are built. It is on the file system of the release, so that each can be moved by renaming it.
PARTIAL = ".partial"

_LOCK = ".release.lock"


@contextlib.contextmanager
def held(release: Path) -> Iterator[None]:
    """Creates the folder of a release if needed, and locks it for this process.

    What a killed process left in `PARTIAL` is removed.

    Raises:
        ReleaseError: another process holds the lock, or the folder cannot be written.
    """
    taken = f"another nasexport is at work on {release}: wait for it, or choose another --output"
    with staging.held(release / _LOCK, ReleaseError, taken):
        try:
            shutil.rmtree(release / PARTIAL, ignore_errors=True)
            (release / PARTIAL).mkdir()
            yield
        finally:
            shutil.rmtree(release / PARTIAL, ignore_errors=True)
