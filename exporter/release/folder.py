"""The folder of a release while one process works on it."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import filelock

from exporter.errors import ReleaseError

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
    lock = filelock.FileLock(release / _LOCK)
    try:
        release.mkdir(parents=True, exist_ok=True)
        lock.acquire(blocking=False)
    except filelock.Timeout as error:
        raise ReleaseError(
            f"another nasexport is at work on {release}: wait for it, or choose another --output"
        ) from error
    except OSError as error:
        raise ReleaseError(f"cannot write in {release}: {error.strerror}") from error
    try:
        shutil.rmtree(release / PARTIAL, ignore_errors=True)
        (release / PARTIAL).mkdir()
        yield
    finally:
        shutil.rmtree(release / PARTIAL, ignore_errors=True)
        (release / _LOCK).unlink(missing_ok=True)
        lock.release()
