"""Files and folders that take their place whole or not at all, and locks.

Each is written beside its place and renamed. Whoever is cut off at any moment, even by a kill, leaves the old content
or the new one; what else is left has a name that begins with a dot, and is removed by the next that writes there.
"""

import contextlib
import errno
import glob
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from exporter import interruption
from exporter.errors import NOT_DONE, NasexportError

_POLL_SECONDS = 0.2
#: The name of a file or folder until it is renamed to what it is for.
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}\.partial")


@contextlib.contextmanager
def replacing(path: Path, *, follow_link: bool = False) -> Iterator[Path]:
    """An empty file to write, which replaces ``path`` when the ``with`` block ends well and is removed otherwise.

    Several processes may write the same path at once: the last to end decides, and nothing is mixed.

    Args:
        path: the file to write. Its folder must exist.
        follow_link: whether to replace the file that a symbolic link points to, instead of the link.

    Raises:
        OSError: it cannot be written, or something that is not a file has its name.
    """
    target = _replaceable(path, follow_link)
    with _temporary(target) as temporary:
        yield temporary
        os.replace(temporary, target)


def write(path: Path, content: bytes, *, follow_link: bool = False) -> None:
    """Writes a file whole; see `replacing`."""
    with replacing(path, follow_link=follow_link) as temporary:
        temporary.write_bytes(content)


def require_writable(path: Path, *, follow_link: bool = False) -> None:
    """Raises OSError where `replacing` would: nothing but making a file proves that one can be made."""
    with _temporary(_replaceable(path, follow_link)):
        pass


def _replaceable(path: Path, follow_link: bool) -> Path:
    target = Path(os.path.realpath(path)) if follow_link else path
    if target.exists() and not (target.is_file() or target.is_symlink()):
        raise FileExistsError(errno.EEXIST, "it is there, and no file", str(path))
    return target


@contextlib.contextmanager
def folder_beside(target: Path, mode: int = 0o777) -> Iterator[Path]:
    """A new folder beside ``target``, for what is then renamed to where it belongs; removed after the block.

    Raises:
        OSError: it cannot be made.
    """
    with _temporary(target, lambda path: path.mkdir(mode)) as folder:
        yield folder


def _make_file(path: Path) -> None:
    os.close(os.open(path, os.O_CREAT | os.O_EXCL, 0o666))


@contextlib.contextmanager
def _temporary(target: Path, make: Callable[[Path], None] = _make_file) -> Iterator[Path]:
    """A new file or folder beside ``target``, locked as long as its process lives: others know whether it is in use."""
    sweep_beside(target)
    temporary: Path | None = None
    descriptor = -1

    def discard() -> None:
        if temporary:
            _discard(temporary)  # not there where it has taken its place
        if descriptor >= 0:
            os.close(descriptor)

    # Whoever is stopped at any moment leaves nothing.
    with interruption.afterwards(discard):
        with interruption.deferred():
            while descriptor < 0:
                temporary = target.with_name(f".{target.name}.{os.urandom(4).hex()}.partial")
                try:
                    make(temporary)
                except OSError as error:
                    temporary = None
                    raise OSError(error.errno, error.strerror, str(target)) from error
                descriptor = _locked(temporary)
        assert temporary
        yield temporary


def _locked(temporary: Path) -> int:
    """Opens and locks what was just made; -1 where another process took it for abandoned, and removed it, before."""
    with contextlib.suppress(FileNotFoundError):
        descriptor = os.open(temporary, os.O_RDONLY)
        _lock(descriptor, wait=True)
        if temporary.exists():
            return descriptor
        os.close(descriptor)
    return -1


def sweep(folder: Path) -> None:
    """Removes what killed processes of this user left in ``folder`` of their attempts to write files there."""
    with contextlib.suppress(OSError):
        _remove_abandoned([path for path in folder.iterdir() if _TEMPORARY.fullmatch(path.name)])


def sweep_beside(target: Path) -> None:
    """Removes what killed processes of this user left of their attempts to write ``target``."""
    _remove_abandoned(_beside(target, "partial"))


def _remove_abandoned(paths: Iterable[Path]) -> None:
    for path in paths:
        with contextlib.suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                if os.fstat(descriptor).st_uid == os.geteuid() and _lock(descriptor, wait=False):
                    _discard(path)
            finally:
                os.close(descriptor)


def _beside(target: Path, state: str) -> list[Path]:
    """The hidden files and folders beside ``target`` that were made for it, each with a random part in its name."""
    # One that cannot be looked into holds nothing that could be removed.
    with contextlib.suppress(OSError):
        return list(target.parent.glob(f".{glob.escape(target.name)}.*.{state}"))
    return []


def _discard(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def _filelock() -> ModuleType:
    """The library of locks, imported where it is needed: that takes longer than the command needs to print its help."""
    # It makes files when it is imported.
    with interruption.deferred():
        import filelock
    return filelock


def _lock(descriptor: int, wait: bool) -> bool:
    """Locks an open file until it is closed; False where another process has it, or the file system knows no locks."""
    filelock = _filelock()
    try:
        return filelock.lock_descriptor(descriptor, blocking=wait)
    except OSError:
        return False


@contextlib.contextmanager
def replacing_folder(target: Path) -> Iterator[Path]:
    """The path of a folder to make, which replaces ``target`` when the block ends well and is removed otherwise.

    One process at a time may do this: the caller holds a lock. What a killed one left is put right first.

    Args:
        target: where the folder goes; a folder may be there. Its parent must exist.

    Raises:
        OSError: a folder cannot be renamed.
    """
    staging, replaced, _ = _states(target)
    try:
        finish_replacement(target)
        shutil.rmtree(staging, ignore_errors=True)
        for half_removed in _beside(target, "removed"):
            shutil.rmtree(half_removed, ignore_errors=True)
        yield staging
        if target.exists():
            os.rename(target, replaced)
        os.rename(staging, target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        finish_replacement(target)


def _states(target: Path) -> tuple[Path, Path, Path]:
    """The names of the new folder, of the old one, and of the old one that is being removed."""
    partial, replaced, discarded = (
        target.with_name(f".{target.name}.{state}") for state in ("partial", "replaced", "discarded")
    )
    return partial, replaced, discarded


def finish_replacement(target: Path) -> None:
    """Ends a `replacing_folder` that was cut off: the old folder goes back where no new one came, or is removed.

    Raises:
        OSError: a folder cannot be renamed or removed.
    """
    _, replaced, discarded = _states(target)
    if discarded.exists():
        shutil.rmtree(discarded)
    if not replaced.exists():
        return
    if target.exists():
        # Renamed first: what is half removed must never be taken for the old folder.
        os.rename(replaced, discarded)
        shutil.rmtree(discarded)
    else:
        os.rename(replaced, target)


def remove(path: Path) -> None:
    """Removes a file or a folder; never is only a part of a folder left under its name.

    Raises:
        OSError: it cannot be removed, or a folder is not there.
    """
    if path.is_dir() and not path.is_symlink():
        gone = path.with_name(f".{path.name}.{os.urandom(4).hex()}.removed")
        os.rename(path, gone)
        shutil.rmtree(gone)
    else:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def held(lock_file: Path, error: type[NasexportError], taken: str) -> Iterator[None]:
    """Holds a lock, made with the folders above it and removed afterwards; whoever finds it taken does not wait.

    Raises:
        NasexportError: ``error``, with the text ``taken`` where another process has the lock, or with another one where
            it cannot be made.
    """

    def remove() -> None:
        # One that cannot be removed stays, and is taken by the next.
        with contextlib.suppress(OSError):
            lock_file.unlink()

    with _lock_on(lock_file, remove) as is_ours:
        try:
            lock_file.parent.mkdir(parents=True, exist_ok=True)
            free = is_ours()
        except OSError as reason:
            raise error(f"cannot write in {lock_file.parent}: {reason.strerror}") from reason
        if not free:
            raise error(taken, status=NOT_DONE)
        yield


@contextlib.contextmanager
def in_turn(lock_file: Path, waiting: Callable[[], object], *, keep: bool = True) -> Iterator[None]:
    """Holds a lock that several processes want one after the other. Its folder must exist.

    Args:
        waiting: called once where another process has the lock, before waiting for it.
        keep: whether its file stays; otherwise it is removed by each that held it.

    Raises:
        OSError: the lock cannot be made.
    """

    def remove() -> None:
        if not keep:
            lock_file.unlink(missing_ok=True)

    with _lock_on(lock_file, remove) as is_ours:
        if not is_ours():
            waiting()
            while not is_ours():
                time.sleep(_POLL_SECONDS)
        yield


@contextlib.contextmanager
def _lock_on(lock_file: Path, remove: Callable[[], object]) -> Iterator[Callable[[], bool]]:
    """A function that tries to take a lock and says whether it is ours; it is released after the block.

    No signal cuts off what filelock does: where one did, this process could start no other any more.

    Args:
        remove: called while it is still held: filelock notices when it has locked a file that is gone.
    """
    filelock = _filelock()
    lock: Any = None

    def is_ours() -> bool:
        nonlocal lock
        with interruption.deferred(), contextlib.suppress(filelock.Timeout):
            lock = lock or filelock.FileLock(lock_file)
            lock.acquire(blocking=False)
        return bool(lock.is_locked)

    def release() -> None:
        nonlocal lock
        if lock and lock.is_locked:
            remove()
            lock.release()
        lock = None

    with interruption.afterwards(release):
        yield is_ours


def is_held(lock_file: Path) -> bool:
    """Whether some process has that lock, or it cannot be known."""
    filelock = _filelock()
    try:
        with interruption.deferred(), filelock.FileLock(lock_file, blocking=False):
            return False
    except (filelock.Timeout, OSError):
        return True
