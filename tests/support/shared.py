"""What takes long to make is made once: for all processes of a run, and for later runs of the same code.

A `Store` is a folder of entries. An entry is made under a lock, beside its place, and renamed when it is whole, so that
an interrupted run leaves nothing half. `kept` is the store in the user's cache folder, below a key of everything that
goes into its entries: another line of code, another version of a package, and all are made anew.

No test may change an entry, nor write into its folders for a moment: `Store.changed` names those that were, and one
that a process has used stays as it is until that process has ended.
"""

import contextlib
import fcntl
import functools
import hashlib
import importlib.metadata
import json
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import filelock
import platformdirs

CHECKOUT = Path(__file__).resolve().parents[2]
#: Names another folder than the platform's for what later runs can use.
VARIABLE = "NASEXPORT_TEST_CACHE"
#: How many keys' entries stay, and for how long after their last use, in seconds.
KEPT, LONGEST = 4, 14 * 86_400

#: What every entry may depend on.
_CODE = ("exporter/**/*", "configs/**/*", "checkpoints.lock", "tests/support/shared.py", "tests/support/command.py")


class Store:
    """Entries by name, each a folder that is there as a whole or not at all."""

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._used: dict[str, Path] = {}

    def made(self, name: str, make: Callable[[Path], object], *sources: Path | str) -> Path:
        """The folder of an entry, which ``make`` fills if it is not there.

        Args:
            make: is given an empty folder; what it writes may not depend on where that is.
            sources: files that the entry depends on besides what the store does: what makes it, for example.
        """
        place = self.folder / (f"{name}-{_digest(map(Path, sources))[:12]}" if sources else name)
        if name in self._used:
            return place
        listing = place.with_name(f"{place.name}.json")
        with filelock.FileLock(f"{place}.lock"), contextlib.ExitStack() as failing:
            # It is held, shared, for as long as this process lives.
            in_use = os.open(f"{place}.in-use", os.O_CREAT | os.O_RDWR)
            failing.callback(os.close, in_use)
            if not (listing.exists() and json.loads(listing.read_bytes()) == _listing(place)):
                try:
                    fcntl.flock(in_use, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError as error:
                    raise RuntimeError(
                        f"a test changed {place}, which other processes read: it must copy it"
                    ) from error
                for old in (place, *self.folder.glob(f".{place.name}.*")):
                    shutil.rmtree(old, ignore_errors=True)
                listing.unlink(missing_ok=True)
                staged = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=self.folder))
                make(staged)
                staged.rename(place)
                # Written last, in one step: without it an entry does not count.
                part = listing.with_suffix(".part")
                part.write_text(json.dumps(_listing(place)), encoding="utf-8")
                part.replace(listing)
            fcntl.flock(in_use, fcntl.LOCK_SH)
            failing.pop_all()
        self._used[name] = place
        return place

    def arrays(self, name: str, make: Callable[[], Mapping[str, Any]], *sources: Path | str) -> dict[str, Any]:
        """Arrays by name, which ``make`` computes if they are not there."""
        import numpy as np

        path = self.made(name, lambda folder: np.savez(folder / "arrays.npz", **make()), *sources) / "arrays.npz"
        with np.load(path) as file:
            return {key: file[key] for key in file.files}

    def changed(self) -> list[str]:
        """Entries that this process used and that are not as they were made; they are made again by the next run."""
        return [
            name
            for name, place in self._used.items()
            if _listing(place) != json.loads(place.with_name(f"{place.name}.json").read_bytes())
        ]


def cache() -> Path:
    """The folder of all that outlives a run."""
    named = os.environ.get(VARIABLE)
    return Path(named).absolute() if named else platformdirs.user_cache_path("nasexport-tests")


@functools.cache
def kept() -> Store:
    """The store of this code, which later runs find; those of older code are removed after a while."""
    made = cache() / "made"
    own = made / _key()
    own.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(made / "old.lock"):
        # It is held for as long as this process lives.
        in_use = os.open(own / "in use", os.O_CREAT | os.O_RDWR)
        fcntl.flock(in_use, fcntl.LOCK_SH)
        os.utime(own)
        by_use = sorted((path for path in made.iterdir() if path.is_dir()), key=lambda path: -path.stat().st_mtime)
        for place, path in enumerate(by_use):
            if place >= KEPT or time.time() - path.stat().st_mtime > LONGEST:
                _remove_unused(path)
    return Store(own)


def _remove_unused(folder: Path) -> None:
    with open(folder / "in use", "a") as in_use, contextlib.suppress(BlockingIOError):
        fcntl.flock(in_use, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)


def _key() -> str:
    files = (path for pattern in _CODE for path in CHECKOUT.glob(pattern) if "__pycache__" not in path.parts)
    versions = sorted({f"{each.name}=={each.version}" for each in importlib.metadata.distributions()})
    text = "\n".join([_digest(files), platform.machine(), platform.python_version(), *versions])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _digest(files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in sorted({path.resolve() for path in files}):
        if path.is_file():
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            digest.update(f"{path.relative_to(CHECKOUT)} {content}\n".encode())
    return digest.hexdigest()


def _listing(place: Path) -> dict[str, list[int]]:
    """Size and time of each file, which any change moves, and the time at which a name in a folder last changed."""
    found = {}
    for path in (place, *sorted(place.rglob("*"))):
        facts = path.lstat()
        of_file = path.is_symlink() or not path.is_dir()
        found[path.relative_to(place).as_posix()] = [*([facts.st_size] if of_file else []), facts.st_mtime_ns]
    return found
