"""Turns the images of a data set into feature vectors in files; a run that was stopped can be continued."""

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from exporter.errors import EvaluationError
from exporter.evaluation.classifier import Extractor
from exporter.evaluation.dataset import DataSet
from exporter.evaluation.embedding_output import Output
from exporter.evaluation.embedding_record import (
    INDEX_FILE,
    PARTS,
    SCHEMA,
    IndexLine,
    damaged,
    record,
    require_own,
    unknown,
)
from exporter.evaluation.engine import Engine, OneProcess, Work
from exporter.evaluation.jobs import EMBED, JOIN, Chunk, EmbeddedChunk, JoinRequest
from exporter.evaluation.ledger import Ledger
from exporter.evaluation.pace import Pace
from exporter.files import staging
from exporter.processes import run as worker
from exporter.progress import SILENT, Listener, Say
from exporter.terminal import counted
from exporter.validation import MOST_JSON, read

_LEDGER_FILE = "ledger.jsonl"


class Embedding:
    """A run that is unfinished or finished; `exporter.evaluation.embedding_run.opened` gives one."""

    def __init__(
        self, extractor: Extractor, dataset: DataSet, output: Output, batch_size: int, identity: dict[str, Any]
    ):
        self._extractor, self._dataset, self.output, self._batch_size = extractor, dataset, output, batch_size
        self._identity = identity
        self._ledger = Ledger(
            output.parts / _LEDGER_FILE, EmbeddedChunk, SCHEMA, identity, len(dataset.items), "embedding"
        )
        #: The record of a run that was finished before; None while it is not.
        self.found: dict[str, Any] | None = None

    @property
    def place(self) -> str:
        """Where the vectors are in the end, as users may see it."""
        return self.output.named

    @property
    def record_place(self) -> str:
        """Where the record is in the end."""
        return str(self.output.record)

    @property
    def total(self) -> int:
        return self._ledger.total

    @property
    def done(self) -> int:
        """The number of images that were processed, in whatever order."""
        return self._ledger.done

    def recount(self) -> None:
        """Counts again what is done: a stop may have come before the last line was noted."""
        if self._ledger.path.exists():
            self._ledger.load()

    def load(self) -> None:
        """Finds out how far it is.

        Raises:
            EvaluationError: what is there is of another artifact or data set, is damaged, or is no output of `embed`.
        """
        record = self.output.record
        there = self.output.path.exists() if self.output.joined else (self.output.path / INDEX_FILE).exists()
        if record.exists() and there:
            content = read(record, MOST_JSON, damaged(str(record)))
            self.found = require_own(content, str(record), self.output.named, self._identity)
            return
        if self._ledger.path.exists():
            self._ledger.load()
        elif self.output.path.is_file() or (self.output.path.is_dir() and any(self.output.path.iterdir())):
            raise unknown(str(self.output.path))

    def restart(self) -> None:
        """Removes what is there of the output; whatever else lies in its folder stays.

        Raises:
            EvaluationError: it cannot be removed.
        """
        try:
            self.output.record.unlink(missing_ok=True)
            if self.output.joined:
                self.output.path.unlink(missing_ok=True)
                shutil.rmtree(self.output.parts, ignore_errors=True)
            else:
                for name in (_LEDGER_FILE, INDEX_FILE):
                    (self.output.path / name).unlink(missing_ok=True)
                for part in self.output.path.glob(PARTS):
                    part.unlink()
        except OSError as error:
            raise EvaluationError(f"cannot replace {self.output.path}: {error.strerror}") from error

    def run(self, skip_broken: bool = False, say: Say = lambda _: None, engine: Engine = OneProcess()) -> None:
        """Computes the remaining vectors. After each chunk a line of the ledger is written and ``say`` is called.

        Raises:
            ImageError: an image cannot be read, and ``skip_broken`` is not set.
            EvaluationError: an image is missing, or the ledger cannot be written.
            ArtifactError, ConfigError: the artifact gives no feature vectors.
        """
        pace = Pace(self.total)

        def count(chunk: EmbeddedChunk) -> None:
            self._ledger.append(chunk)
            say(f"{self.done:,} of {counted(self.total, 'image')}{pace.text(self.done, engine.workers)}")

        chunks = (
            Chunk(start, self._dataset.images(start, count)) for start, count in self._ledger.todo(self._batch_size)
        )
        try:
            self.output.parts.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EvaluationError(f"cannot make the folder {self.output.parts}: {error.strerror}") from error
        self._ledger.begin(str(self._extractor.path), self._dataset.named)
        work = Work((self._extractor.to_load(),), skip_broken, self.output.parts)
        try:
            engine.compute(EMBED, work, chunks, count, say)
        finally:
            self._ledger.close()

    def finish(self, listener: Listener = SILENT, *, debug: bool = False) -> dict[str, Any]:
        """Puts the output in its place, and the record beside it, which is returned.

        Raises:
            EvaluationError: no image could be read, a part is not what it was, or something cannot be written.
        """
        parts = self.output.parts
        rows = width = 0
        broken: list[dict[str, str]] = []
        devices: dict[str, None] = {}
        with _writing(self.output.path):
            with staging.replacing(parts / INDEX_FILE) as path, open(path, "w", encoding="ascii") as index:
                for entry in self._ledger.entries():
                    broken += [
                        {"path": self._dataset.items[entry.start + one.place].name, "problem": one.problem}
                        for one in entry.broken
                    ]
                    if entry.device:
                        devices[entry.device] = None
                    if entry.part and entry.sha256:
                        line = self._line(entry, entry.part, entry.sha256)
                        index.write(json.dumps(msgspec.to_builtins(line)) + "\n")
                        rows += len(line.paths)
                        width = width or entry.width
                        if entry.width != width:
                            raise EvaluationError(f"{parts / entry.part} has {entry.width} numbers, others {width}")
            if not rows:
                raise EvaluationError(f"none of {counted(self.total, 'image')} in {self._dataset.named} could be read")
            if self.output.joined:
                listener.step("writing the vectors to one file")
                with staging.replacing(self.output.path) as path:
                    kind = self.output.path.suffix.lower().lstrip(".")
                    request = JoinRequest(parts, kind, path, width, json.dumps(self._identity, sort_keys=True))
                    worker.run(JOIN, request, debug=debug)
            facts = record(self._extractor, self._dataset, self._batch_size, rows, width, broken, list(devices))
            found = {"schema": SCHEMA, "identity": self._identity, **facts}
            staging.write(self.output.record, (json.dumps(found, indent=1) + "\n").encode())
        self._remove_state()
        self.found = found
        return found

    def tidy(self) -> None:
        """Removes what is of no more use after the end; what cannot be removed stays."""
        self._remove_state()

    def _remove_state(self) -> None:
        if self.output.joined:
            shutil.rmtree(self.output.parts, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                self._ledger.path.unlink(missing_ok=True)

    def _line(self, entry: EmbeddedChunk, part: str, sha256: str) -> IndexLine:
        """What the index says of a part: for each row the image's path, and its label where any has one."""
        lost = {one.place for one in entry.broken}
        items = [self._dataset.items[entry.start + place] for place in range(entry.count) if place not in lost]
        names = entry.names or (None,) * len(items)
        paths = tuple(name or item.name for name, item in zip(names, items, strict=True))
        labels = entry.labels or tuple(item.label for item in items)
        return IndexLine(part, sha256, tuple(map(_text, paths)), labels if any(x is not None for x in labels) else None)


def _text(path: str) -> str:
    """A path as tables have it, whose text is UTF-8: other bytes are written out."""
    return path.encode("utf-8", "backslashreplace").decode()


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EvaluationError(f"cannot write {path}: {error.strerror}") from error
