"""The cache of archives, by the hash of their content, and what is unpacked from them.

Below its folder:

- ``archives/SHA256/NAME.tar.gz``: archives that were checked; ``record.json`` beside each tells where it came from.
- ``checkpoints/SHA256/``: what was unpacked of the archive with that hash; ``record.json`` has each file's own hash.
- ``names/NAME``: the hash of the archive of that name, for those that are not pinned.
- ``partial/``: transfers that were broken off, to be continued. ``refused/``: what was not the right file.
- ``locks/``: held by the process that fetches an archive.

Folders are made beside their place and renamed, so that whatever has its final name is whole.
"""

import contextlib
import errno
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporter.checkpoint.source import is_checkpoint_file
from exporter.errors import CacheError
from exporter.fetch.lock import LockedArchive
from exporter.files.hashing import sha256
from exporter.progress import Listener

RECORD = "record.json"
_WAIT_SECONDS = 0.2


@dataclass(frozen=True)
class Entry:
    """An archive in the cache; ``record`` has ``url`` and ``size``, and ``inventory`` where that was checked."""

    name: str
    sha256: str
    path: Path
    record: dict[str, Any]

    @property
    def size(self) -> int:
        return self.path.stat().st_size


class Cache:
    """The cache in a folder, which need not exist."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._archives, self._checkpoints = folder / "archives", folder / "checkpoints"
        self._names, self._partial = folder / "names", folder / "partial"
        self._refused, self._locks = folder / "refused", folder / "locks"

    def find(self, locked: LockedArchive) -> Entry | None:
        """The archive that ``locked`` pins, or else the one of that name that was fetched last; not checked."""
        sha256 = locked.sha256
        if sha256 is None:
            try:
                sha256 = (self._names / locked.name).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError):
                return None
        path = self._archives / sha256 / locked.file_name
        return Entry(locked.name, sha256, path, read_record(path.parent)) if path.is_file() else None

    def entries(self) -> list[Entry]:
        """Every archive, by name."""
        paths = self._archives.glob("*/*.tar.gz") if self._archives.is_dir() else ()
        found = [
            Entry(path.name.removesuffix(".tar.gz"), path.parent.name, path, read_record(path.parent)) for path in paths
        ]
        return sorted(found, key=lambda entry: (entry.name, entry.sha256))

    def add(self, locked: LockedArchive, file: Path, sha256: str, record: dict[str, Any]) -> Entry:
        """Takes a checked ``file`` in (it is moved), and makes it the one of its name."""
        place = self._archives / sha256
        with self._writing(), self.staged(place) as folder:
            os.replace(file, folder / locked.file_name)
            (folder / RECORD).write_text(json.dumps(record, indent=2), encoding="utf-8")
        self.name(locked.name, sha256)
        return Entry(locked.name, sha256, place / locked.file_name, record)

    def name(self, name: str, sha256: str) -> None:
        """Makes the archive of that hash the one of that name."""
        with self._writing():
            self._names.mkdir(exist_ok=True)
            temporary = self._names / f".{name}.{os.getpid()}"
            temporary.write_text(sha256 + "\n", encoding="utf-8")
            os.replace(temporary, self._names / name)

    def unpacked(self, sha256: str) -> Path:
        """Where the files of that archive are unpacked to; it may not exist."""
        return self._checkpoints / sha256

    def partial(self, name: str) -> Path:
        """Where the bytes of a transfer go that ``name`` stands for."""
        with self._writing():
            self._partial.mkdir(exist_ok=True)
        return self._partial / name

    def refuse(self, file: Path, sha256: str) -> Path:
        """Moves a file aside that is not the right one, for a look; its new place."""
        with self._writing():
            self._refused.mkdir(exist_ok=True)
            place = self._refused / f"{file.name.removesuffix('.part')}-{sha256[:12]}.refused"
            os.replace(file, place)
        return place

    @contextlib.contextmanager
    def staged(self, place: Path) -> Iterator[Path]:
        """A new folder that becomes ``place`` at the end of the block, in the stead of what is there."""
        place.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{place.name[:12]}-", dir=place.parent))
        try:
            yield folder
            shutil.rmtree(place, ignore_errors=True)
            os.replace(folder, place)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    @contextlib.contextmanager
    def locked(self, name: str, listener: Listener) -> Iterator[None]:
        """Holds the right to fetch the archive of that name; waits, and says so, while another process has it.

        Raises:
            CacheError: the cache cannot be written.
        """
        import filelock

        with self._writing():
            self._locks.mkdir(exist_ok=True)
            lock = filelock.FileLock(self._locks / f"{name}.lock")
            try:
                lock.acquire(timeout=0)
            except filelock.Timeout:
                listener.note(f"waiting for another process that fetches {name}")
                lock.acquire(poll_interval=_WAIT_SECONDS)
        try:
            yield
        finally:
            lock.release()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            yield
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise CacheError(
                    f"the disk is full ({error.strerror}) while writing to the cache {self.folder}:\n"
                    f"make room, or name another folder with --cache-dir"
                ) from error
            raise CacheError(
                f"cannot write to the cache {self.folder}: {error.strerror or error}; "
                f"--cache-dir or NASEXPORT_CACHE_DIR names another"
            ) from error

    def leftovers(self) -> list[Path]:
        """What is neither a checked archive nor unpacked from one: broken transfers, refused files, staging folders."""
        found = [path for folder in (self._partial, self._refused) if folder.is_dir() for path in folder.iterdir()]
        for folder in (self._archives, self._checkpoints, self._names):
            found += list(folder.glob(".*")) if folder.is_dir() else []
        return sorted(found)

    def unpacked_folders(self) -> list[Path]:
        """Every folder of unpacked files."""
        if not self._checkpoints.is_dir():
            return []
        return sorted(path for path in self._checkpoints.iterdir() if not path.name.startswith("."))

    def remove(self, path: Path) -> None:
        """Removes a file or folder of the cache, in a way that never leaves part of it under its name."""
        with self._writing():
            if path.is_dir():
                gone = path.with_name(f".{path.name[:12]}-removed-{os.getpid()}")
                os.replace(path, gone)
                shutil.rmtree(gone)
            else:
                path.unlink(missing_ok=True)

    def verify(self, listener: Listener) -> list[dict[str, Any]]:
        """Hashes every archive and every unpacked file; what is damaged goes where nobody takes it for sound.

        Returns:
            For each archive and each unpacked folder its ``path``, whether it is ``sound``, and its ``fault``.
        """
        rows = []
        for entry in self.entries():
            listener.step(entry.path.name)
            found = sha256(entry.path)
            rows.append(_row(entry.path, None if found == entry.sha256 else f"its sha256 is {found}"))
            if found != entry.sha256:
                with contextlib.suppress(CacheError):
                    self.refuse(entry.path, found)
                    self.remove(entry.path.parent)
        for folder in self.unpacked_folders():
            fault = self._fault_of_unpacked(folder)
            rows.append(_row(folder, fault))
            if fault:
                with contextlib.suppress(CacheError):
                    self.remove(folder)
        return rows

    def _fault_of_unpacked(self, folder: Path) -> str | None:
        files = read_record(folder).get("files")
        if not isinstance(files, dict):
            return f"it has no {RECORD}"
        for name, digest in files.items():
            if is_checkpoint_file(Path(name).name):
                found = sha256(folder / name) if (folder / name).is_file() else "that of no file"
                if found != digest:
                    return f"the sha256 of {name} is {found}"
        return None

    def prune(self, keep: Callable[[Entry], bool], unpacked: bool, dry_run: bool = False) -> list[tuple[Path, int]]:
        """Removes leftovers, archives that ``keep`` does not want, and what was unpacked of them.

        Archives that another process is fetching are left alone, with their transfers.

        Args:
            unpacked: whether to remove all that is unpacked; it comes back when it is needed.

        Returns:
            What was removed, or would be, with its size in bytes.
        """
        busy = self._busy()
        kept = {entry.sha256 for entry in self.entries() if keep(entry)}
        gone = [path for path in self.leftovers() if not any(path.name.startswith(name) for name in busy)]
        gone += [entry.path.parent for entry in self.entries() if entry.sha256 not in kept and entry.name not in busy]
        gone += [folder for folder in self.unpacked_folders() if unpacked or folder.name not in kept]
        if busy:
            # A staging folder does not tell whose it is.
            gone = [path for path in gone if not (path.name.startswith(".") or path.parent == self._checkpoints)]
        sizes = [(path, size_below(path)) for path in gone]
        for path in () if dry_run else gone:
            self.remove(path)
        return sizes

    def _busy(self) -> set[str]:
        """Names of the archives that some process is fetching."""
        import filelock

        busy = set()
        for path in self._locks.glob("*.lock") if self._locks.is_dir() else ():
            try:
                with filelock.FileLock(path, timeout=0):
                    pass
            except (filelock.Timeout, OSError):
                busy.add(path.name.removesuffix(".lock"))
        return busy


def _row(path: Path, fault: str | None) -> dict[str, Any]:
    return {"path": str(path), "sound": fault is None, "fault": fault}


def size_below(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    files = path.rglob("*") if path.is_dir() else (path,)
    return sum(file.stat().st_size for file in files if file.is_file())


def read_record(folder: Path) -> dict[str, Any]:
    """The record beside an archive or unpacked files; empty where it is damaged, as all can be found out anew."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}
