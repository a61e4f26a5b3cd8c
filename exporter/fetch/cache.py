"""The cache of archives, by the hash of their content, and what is unpacked from them.

Below its folder:

- ``archives/SHA256/NAME.tar.gz``: archives that were checked; ``record.json`` beside each tells where it came from.
- ``checkpoints/SHA256/``: what was unpacked of the archive with that hash; ``record.json`` has each file's own hash.
- ``names/NAME``: the hash of the archive of that name, for those that are not pinned.
- ``remote/KEY/``: copies of what lies in stores, see `exporter.fetch.remote`. ``outputs/KEY/``: what ``embed`` has
  computed of an output that goes into a store.
- ``partial/``: transfers that were interrupted, to be continued. ``refused/``: archives that were damaged or wrong.
- ``locks/``: held by the process that fetches or writes what they are called after.

Folders are made beside their place and renamed, so that whatever has its final name is whole. `cache_maintenance` has
what ``nasexport cache`` does.
"""

import contextlib
import errno
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from exporter.checkpoint.jobs import Inventory
from exporter.errors import CacheError
from exporter.fetch.lock import LockedArchive
from exporter.files import staging
from exporter.files.hashing import Sha256
from exporter.progress import SILENT, Listener
from exporter.validation import MOST_JSON, read, to_plain

RECORD = "record.json"
#: In the folder of a copy, held by the process that copies.
COPYING = "lock"
_SHA256 = re.compile(r"[0-9a-f]{64}")


class ArchiveRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where an archive came from, and its size in bytes; what it holds, where that was checked.

    ``synthetic`` tells whether its weights are made up; None where nobody has looked.
    """

    url: str | None = None
    size: int | None = None
    inventory: Inventory | None = None
    synthetic: bool | None = None


class UnpackedRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """The sha256 of each file that was unpacked, by its path; None where that is not known."""

    files: dict[str, Sha256] | None = None


T = TypeVar("T", ArchiveRecord, UnpackedRecord)


@dataclass(frozen=True)
class Entry:
    """An archive in the cache."""

    name: str
    sha256: str
    path: Path
    record: ArchiveRecord

    @property
    def size(self) -> int:
        return self.path.stat().st_size

    @property
    def synthetic(self) -> bool:
        """Whether its weights are known to be made up."""
        record = self.record
        return bool(record.synthetic or (record.inventory and record.inventory.synthetic is not None))


class Cache:
    """The cache in a folder, which need not exist."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.archives, self.checkpoints, self.names = folder / "archives", folder / "checkpoints", folder / "names"
        self.partial, self.refused, self.locks = folder / "partial", folder / "refused", folder / "locks"
        self.copies, self.outputs = folder / "remote", folder / "outputs"

    def find(self, locked: LockedArchive) -> Entry | None:
        """The archive with the pinned hash, or else the one of that name that was fetched last; its bytes unchecked."""
        sha256 = locked.sha256
        if sha256 is None:
            try:
                with open(self.names / locked.name, "rb") as file:
                    sha256 = file.read(100).decode("ascii").strip()
            except (OSError, UnicodeDecodeError):
                return None
            if not _SHA256.fullmatch(sha256):  # it becomes part of a path
                return None
        path = self.archives / sha256 / locked.file_name
        return Entry(locked.name, sha256, path, read_record(path.parent, ArchiveRecord)) if path.is_file() else None

    def entries(self) -> list[Entry]:
        """Every archive, by name."""
        paths = self.archives.glob("*/*.tar.gz") if self.archives.is_dir() else ()
        found = [
            Entry(path.name.removesuffix(".tar.gz"), path.parent.name, path, read_record(path.parent, ArchiveRecord))
            for path in paths
        ]
        return sorted(found, key=lambda entry: (entry.name, entry.sha256))

    def unpacked_folder(self, sha256: str) -> Path:
        """Where the files of that archive are unpacked to; it may not exist."""
        return self.checkpoints / sha256

    def partial_file(self, name: str) -> Path:
        """Where a transfer writes what it receives; ``name`` tells transfers apart."""
        with self._writing():
            self.partial.mkdir(exist_ok=True)
        return self.partial / name

    def add(self, locked: LockedArchive, file: Path, sha256: str, record: ArchiveRecord) -> Entry:
        """Moves a checked ``file`` into the cache, and makes it the current archive of its name."""
        place = self.archives / sha256
        with self._writing(), self.new_folder(place) as folder:
            os.replace(file, folder / locked.file_name)
            write_record(folder, record)
        with self._writing():
            self.names.mkdir(exist_ok=True)
            staging.write(self.names / locked.name, f"{sha256}\n".encode())
        return Entry(locked.name, sha256, place / locked.file_name, record)

    def set_aside(self, file: Path, sha256: str) -> Path:
        """Moves a damaged or wrong archive out of the way, for the user to look at; its new place."""
        with self._writing():
            self.refused.mkdir(exist_ok=True)
            place = self.refused / f"{file.name.removesuffix('.part')}-{sha256[:12]}.refused"
            os.replace(file, place)
        return place

    @contextlib.contextmanager
    def new_folder(self, place: Path) -> Iterator[Path]:
        """A new folder that replaces ``place``, which is named after a hash, when the ``with`` block ends well.

        Raises:
            CacheError: the cache cannot be written.
            OSError: the folder cannot be.
        """
        # Two archives may have the same content, and each a process that fetches it.
        with self.locked(place.name, SILENT):
            place.parent.mkdir(exist_ok=True)
            with staging.replacing_folder(place) as folder:
                folder.mkdir()
                yield folder

    def sweep(self) -> None:
        """Removes what killed processes left of small files; all else that they left is made use of, or listed."""
        for folder in (self.names, self.partial):
            staging.sweep(folder)

    def remove(self, path: Path) -> None:
        """Removes a file or folder of the cache, in a way that never leaves part of it under its name."""
        with self._writing():
            staging.remove(path)

    @contextlib.contextmanager
    def locked(self, name: str, listener: Listener) -> Iterator[None]:
        """Holds the lock of that name, usually an archive's; waits, and says so, while another process has it.

        Raises:
            CacheError: the cache cannot be written.
        """
        with contextlib.ExitStack() as stack:
            with self._writing():
                self.locks.mkdir(exist_ok=True)
                note = f"waiting for another process that fetches {name}"
                stack.enter_context(staging.in_turn(self.locks / f"{name}.lock", lambda: listener.note(note)))
            yield

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Makes the cache's folder; within it, an OSError is raised as a CacheError that says what to do."""
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


def write_record(folder: Path, record: ArchiveRecord | UnpackedRecord) -> None:
    """Writes the record of what is in ``folder``.

    Raises:
        OSError: it cannot be written.
    """
    (folder / RECORD).write_text(json.dumps(to_plain(record), indent=2), encoding="utf-8")


def read_record(folder: Path, kind: type[T]) -> T:
    """The record beside an archive or unpacked files; empty where it is damaged, as all can be found out anew."""
    try:
        return msgspec.json.decode(read(folder / RECORD, MOST_JSON, CacheError), type=kind)
    except (OSError, ValueError, RecursionError, CacheError):
        return kind()
