"""Feature vectors in a store that fsspec reaches: what lies there, and a finished output sent there, its record last.

From before the first vector is computed until the record is there, a small file says whose the output is going to be.
So a store that cannot be written is known at once, and a run that was stopped finds that what lies there is its own.
"""

import contextlib
import fnmatch
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from exporter.errors import NOT_DONE, EvaluationError
from exporter.evaluation.embedding_output import JOINED
from exporter.evaluation.embedding_record import INDEX_FILE, PARTS, RECORD_FILE, SCHEMA, require_own, unknown
from exporter.fetch.cache import Cache
from exporter.fetch.sendable import Item
from exporter.fetch.sending import Sender, partial
from exporter.fetch.store_kinds import Info, kind_of
from exporter.fetch.stores import Store, failures, store
from exporter.files import temporary
from exporter.files.hashing import sha256
from exporter.progress import Listener
from exporter.settings import Settings
from exporter.validation import MOST_JSON

#: Files that are sent at the same time: most parts are small, and each waits for an answer.
_AT_ONCE = 8
_UNFINISHED = ".unfinished"


@dataclass(frozen=True)
class Place:
    """The address of an output, and the folder of the cache in which it is computed, an absolute path."""

    store: Store
    folder: Path

    @property
    def name(self) -> str:
        return PurePosixPath(self.store.path).name

    @property
    def joined(self) -> bool:
        """Whether it is one file."""
        return PurePosixPath(self.name).suffix.lower() in JOINED


def place(address: str, settings: Settings) -> Place:
    """The place that an address means, in a store that answers.

    Raises:
        ConfigError: it is no address.
        EvaluationError: the store cannot be had, refuses access, or has no such bucket.
    """
    found = store(address, EvaluationError)
    found = replace(found, shown=found.shown.rstrip("/"))
    with failures(found.shown, EvaluationError, "cannot write to"):
        if kind_of(found.protocol).buckets:
            found.files.info(found.container)  # a bucket that is not there holds nothing, as an empty one
    key = hashlib.sha256(found.shown.encode(errors="surrogateescape")).hexdigest()[:16]
    return Place(found, Cache(settings.cache.absolute()).outputs / key)


class StoredOutput:
    """What lies at a place, and is put there, of the run with an identity."""

    def __init__(self, place: Place, identity: dict[str, Any]):
        self.shown = place.store.shown
        self.joined, self._identity = place.joined, identity
        #: What all names are below: of one file, the folder that it is in.
        self._base = replace(place.store, path=place.store.path.rpartition("/")[0]) if self.joined else place.store
        self._path = place.store.path
        self._files = place.store.files
        #: The names of the file that is last but for the record, of the record, and of the file that says whose it is.
        self._main, self._record, self._unfinished = (
            (place.name, f"{place.name}.json", f".{place.name}{_UNFINISHED}")
            if self.joined
            else (INDEX_FILE, RECORD_FILE, _UNFINISHED)
        )
        self._sender = Sender(self._base, EvaluationError, _changed, "cannot write to")

    @property
    def record(self) -> str:
        """The address of the record."""
        return f"{self.shown}.json" if self.joined else f"{self.shown}/{RECORD_FILE}"

    def finished(self) -> dict[str, Any] | None:
        """The record of the finished output that is there; None where there is none.

        Raises:
            EvaluationError: the store fails, or the record is of another run, or is none.
        """
        if not (self._kind(self._main) == self._kind(self._record) == "file"):
            return None
        try:
            return self._own(self._record, self.record)
        except EvaluationError:
            if self._kind(self._unfinished) != "file":
                raise
        # This run's own, which was ended while the record was sent: some stores keep half of it.
        self._own(self._unfinished, self.shown)
        return None

    def require_place(self) -> None:
        """Refuses a file where a folder is meant, and the other way round.

        Raises:
            EvaluationError: the store fails, or that.
        """
        with self._reading():
            there = self._kind_of(self._path)
        if self.joined and there == "directory":
            problem = "is a folder: name a file, or a folder of another name"
        elif not self.joined and there == "file":
            problem = f"is a file: expected a folder, or a name that ends in {', '.join(JOINED)}"
        else:
            return
        raise EvaluationError(f"{self.shown} {problem}", status=NOT_DONE)

    def require_usable(self) -> None:
        """Refuses what lies there if it is not of this run; it is not finished.

        Raises:
            EvaluationError: the store fails, or that.
        """
        if self._kind(self._unfinished) == "file":
            self._own(self._unfinished, self.shown)
            return
        there = self._listed().keys() - ({self._record} if self.joined else {partial(self._unfinished)})
        if there:
            raise unknown(self.shown)

    def begin(self) -> None:
        """Says there whose it is going to be, which shows that it can be written.

        Raises:
            EvaluationError: it cannot be written.
        """
        content = json.dumps({"schema": SCHEMA, "identity": self._identity}, indent=1) + "\n"
        with temporary.folder() as folder:
            file = folder / "unfinished.json"
            file.write_text(content, encoding="ascii")
            self._sender.send(_item(self._unfinished, file), "application/json")
        self._remove([self._record])  # one that was left without its vectors says nothing of those that come

    def send(self, output: Path, record: Path, listener: Listener) -> None:
        """Sends what is not there yet: the parts, side by side, and the index, or the one file; then the record.

        Args:
            output: the finished output on this machine, and ``record`` its record.

        Raises:
            EvaluationError: the store fails, or gives other bytes than those that were sent.
        """
        parts = [] if self.joined else [_item(path.name, path) for path in sorted(output.glob(PARTS))]
        main = _item(self._main, output if self.joined else output / INDEX_FILE)
        stages = [parts, [main], [_item(self._record, record)]]
        total = sum(item.size for stage in stages for item in stage)
        listener.step(f"sending {total:,} bytes to {self.shown}")
        there = {name: info for name, info in self._listed().items() if info.get("type") == "file"}
        done = 0
        for stage in stages:
            for item in self._sent(stage, there):
                done += item.size
                listener.transferred(done, total)

    def _sent(self, items: Sequence[Item], there: dict[str, Info]) -> Iterator[Item]:
        def send(item: Item) -> Item:
            if not (item.path in there and self._sender.has(item, there[item.path])):
                media_type = "application/json" if item.path.endswith(".json") else "application/octet-stream"
                self._sender.send(item, media_type)
            return item

        if len(items) == 1:  # it may be large, and a stop need not wait for a thread
            yield send(items[0])
            return
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            try:
                yield from threads.map(send, items)
            finally:
                threads.shutdown(cancel_futures=True)

    def clear(self) -> None:
        """Removes what `embed` writes, the record first.

        Raises:
            EvaluationError: it cannot be removed.
        """
        parts = [] if self.joined else fnmatch.filter(self._listed(), PARTS)
        unfinished = [] if self.joined else fnmatch.filter(self._listed(), partial(PARTS))
        names = (self._record, self._main, *parts, self._unfinished)
        self._remove([*names, *map(partial, (self._record, self._main, self._unfinished)), *unfinished])

    def end(self) -> None:
        """Removes the file that says whose it is, where it can be removed: the record says that now."""
        with contextlib.suppress(EvaluationError):
            self._remove([self._unfinished])

    def _remove(self, names: Iterable[str]) -> None:
        for name in names:
            with failures(self.shown, EvaluationError, "cannot remove what is in"):
                if self._kind(name) == "file":
                    self._files.rm_file(self._base.below(name))

    def _own(self, name: str, shown: str) -> dict[str, Any]:
        """What the record, or the file that says whose it is, says; it must be this run's."""
        with self._reading(), self._files.open(self._base.below(name), "rb") as file:
            content = file.read(MOST_JSON + 1)
        return require_own(content, shown, self.shown, self._identity)

    def _kind(self, name: str) -> str | None:
        with self._reading():
            return self._kind_of(self._base.below(name))

    def _kind_of(self, path: str) -> str | None:
        """Whether a "file" or a "directory" is at a path; None where nothing is."""
        try:
            return str(self._files.info(path)["type"])
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _listed(self) -> dict[str, Info]:
        """What lies there, by name: beside the one file only what is asked for, as there may be much else."""
        with self._reading():
            if self.joined:
                names = (self._main, self._record)
                return {name: self._files.info(self._base.below(name)) for name in names if self._kind(name) == "file"}
            try:
                infos = self._files.ls(self._path, detail=True)
            except (FileNotFoundError, NotADirectoryError):
                return {}
            # Some stores list a folder that was made in itself.
            return {PurePosixPath(str(info["name"])).name: info for info in infos if not self._is_itself(info)}

    def _is_itself(self, info: Info) -> bool:
        return str(info["name"]).strip("/") == self._path.strip("/")

    def _reading(self) -> contextlib.AbstractContextManager[None]:
        return failures(self.shown, EvaluationError, "cannot read")


def _item(name: str, path: Path) -> Item:
    try:
        return Item(name, path.stat().st_size, sha256(path), path)
    except OSError as error:
        raise EvaluationError(f"cannot read {path}: {error.strerror}") from error


def _changed(item: Item) -> EvaluationError:
    return EvaluationError(f"{item.file} was changed while it was sent: pass --restart to compute it anew")
