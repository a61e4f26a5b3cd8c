"""The folder of a release while one process works on it."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from exporter.errors import ReleaseError
from exporter.files import staging

#: Where artifacts lie until they are whole; on the release's own file system, so that moving them is renaming them.
PARTIAL = ".partial"

_LOCK = ".release.lock"


@contextlib.contextmanager
def held(release: Path) -> Iterator[None]:
    """The folder of a release, made where it is not there, for one process alone.

    What a killed one left behind is cleared away.

    Raises:
        ReleaseError: another process has it, or it cannot be written.
    """
    taken = f"another nasexport is at work on {release}: wait for it, or choose another --output"
    with staging.held(release / _LOCK, ReleaseError, taken):
        try:
            shutil.rmtree(release / PARTIAL, ignore_errors=True)
            (release / PARTIAL).mkdir()
            yield
        finally:
            shutil.rmtree(release / PARTIAL, ignore_errors=True)
