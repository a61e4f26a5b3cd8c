"""Turns the images of a data set into feature vectors in files; a run that was stopped can be continued."""

import contextlib
import importlib.util
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from exporter.artifact import folder
from exporter.errors import NOT_DONE, EvaluationError, MachineError
from exporter.evaluation.classifier import Extractor
from exporter.evaluation.dataset import DataSet
from exporter.evaluation.embedding_record import INDEX_FILE, RECORD_FILE, IndexLine, record
from exporter.evaluation.engine import Engine, OneProcess, Work
from exporter.evaluation.jobs import EMBED, JOIN, Chunk, EmbeddedChunk, JoinRequest
from exporter.evaluation.ledger import Ledger
from exporter.evaluation.pace import Pace
from exporter.files import staging
from exporter.processes import run as worker
from exporter.progress import Say
from exporter.validation import MOST_JSON, convert, parse_json, read

#: Incremented with every change of what is written, or of how images are preprocessed.
SCHEMA = 1
_LEDGER_FILE = "ledger.jsonl"
#: Files that the vectors are joined to, by their suffix, with the package that writes one and its extra.
_JOINED = {".parquet": ("pyarrow", "parquet"), ".tfrecord": None, ".tfrecords": None}


@dataclass(frozen=True)
class Output:
    """Where the vectors go: a file of one of the kinds in `_JOINED`, or a folder for parts with an index."""

    path: Path

    @property
    def joined(self) -> bool:
        return self.path.suffix.lower() in _JOINED

    @property
    def parts(self) -> Path:
        """The folder for the parts, and for the ledger while it runs."""
        return self.path.with_name(f"{self.path.name}.parts") if self.joined else self.path

    @property
    def record(self) -> Path:
        """What says what is in it, once it is finished."""
        return self.path.with_name(f"{self.path.name}.json") if self.joined else self.path / RECORD_FILE

    def require(self) -> None:
        """Refuses an output that cannot be written here, before anything is computed.

        Raises:
            MachineError: the package that writes it is not installed.
            EvaluationError: something else is in its place.
        """
        package = _JOINED.get(self.path.suffix.lower())
        if package and importlib.util.find_spec(package[0]) is None:
            raise MachineError(
                f"{self.path} needs {package[0]}: pip install 'nasexport[{package[1]}]',\n"
                f"or name a folder (--output {self.path.with_suffix('')}), for files of NumPy's with an index"
            )
        if self.joined and self.path.is_dir():
            raise EvaluationError(f"{self.path} is a folder: name a file, or a folder of another name", status=NOT_DONE)
        if not self.joined and self.path.exists() and not self.path.is_dir():
            expected = f"expected a folder, or a name that ends in {', '.join(_JOINED)}"
            raise EvaluationError(f"{self.path} is a file: {expected}", status=NOT_DONE)


class _Record(msgspec.Struct, frozen=True):
    """The start of a record: what identifies the run that wrote it."""

    schema: int
    identity: dict[str, Any]


class Embedding:
    """A run that is unfinished or finished; `opened` returns one."""

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
    def total(self) -> int:
        return self._ledger.total

    @property
    def done(self) -> int:
        """The number of images that were processed, in whatever order."""
        return self._ledger.done

    def load(self) -> None:
        """Finds out how far it is.

        Raises:
            EvaluationError: what is there is of another artifact or data set, is damaged, or is no output of `embed`.
        """
        record = self.output.record
        there = self.output.path.exists() if self.output.joined else (self.output.path / INDEX_FILE).exists()
        if record.exists() and there:
            self.found = self._recorded(record)
            return
        if self._ledger.path.exists():
            self._ledger.load()
        elif self.output.path.is_file() or (self.output.path.is_dir() and any(self.output.path.iterdir())):
            raise EvaluationError(
                f"{self.output.path} is there, and nothing says what is in it: pass --restart to replace it, or "
                f"another --output",
                status=NOT_DONE,
            )

    def _recorded(self, path: Path) -> dict[str, Any]:
        def damaged(problem: str) -> EvaluationError:
            return EvaluationError(
                f"{path} is damaged or is not the record of an embedding: {problem}\npass --restart to replace it"
            )

        values = parse_json(read(path, MOST_JSON, damaged), damaged)
        found = convert(values, _Record, damaged)
        if found.schema != SCHEMA or found.identity != self._identity:
            keys = [key for key, value in self._identity.items() if found.identity.get(key) != value]
            raise EvaluationError(
                f"{self.output.path} belongs to another embedding (other {', '.join(keys) or 'schema'}): pass "
                f"--restart to replace it, or another --output"
            )
        return dict(values)

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
                for part in self.output.path.glob("part-*.npy"):
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
            say(f"{self.done:,} of {self.total:,} images{pace.text(self.done, engine.workers)}")

        chunks = (
            Chunk(start, self._dataset.images(start, count)) for start, count in self._ledger.todo(self._batch_size)
        )
        try:
            self.output.parts.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EvaluationError(f"cannot make the folder {self.output.parts}: {error.strerror}") from error
        self._ledger.begin(str(self._extractor.path), str(self._dataset.named))
        work = Work((self._extractor.to_load(),), skip_broken, self.output.parts)
        try:
            engine.compute(EMBED, work, chunks, count, say)
        finally:
            self._ledger.close()

    def finish(self, say: Say = lambda _: None, *, debug: bool = False) -> dict[str, Any]:
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
                raise EvaluationError(f"none of the {self.total:,} images in {self._dataset.named} could be read")
            if self.output.joined:
                say("writing the vectors to one file")
                with staging.replacing(self.output.path) as path:
                    kind = self.output.path.suffix.lower().lstrip(".")
                    request = JoinRequest(parts, kind, path, width, json.dumps(self._identity, sort_keys=True))
                    worker.run(JOIN, request, debug=debug)
            facts = record(self._extractor, self._dataset, self._batch_size, rows, width, broken, list(devices))
            found = {"schema": SCHEMA, "identity": self._identity, **facts}
            staging.write(self.output.record, (json.dumps(found, indent=1) + "\n").encode())
        self.found = found
        self.tidy()
        return found

    def tidy(self) -> None:
        """Removes what is of no more use after the end; what cannot be removed stays."""
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


@contextlib.contextmanager
def opened(
    extractor: Extractor, dataset: DataSet, output: Path, batch_size: int, restart: bool = False
) -> Iterator[Embedding]:
    """The run that fills an output, continued from what is there.

    Args:
        restart: remove what is there first.

    Raises:
        MachineError: the package that writes it is not installed.
        EvaluationError: what is there is of another run, is damaged, cannot be used, or is in use.
    """
    place = Output(output)
    place.require()
    named = extractor.config.name if extractor.config else None
    identity = {
        "artifact": folder.content(extractor.path),
        "images": dataset.digest(),
        "model": named,
        "batch_size": batch_size,
        "decoder": extractor.decoder,
    }
    embedding = Embedding(extractor, dataset, place, batch_size, identity)
    taken = f"another nasexport is writing {output}: wait for it"
    with staging.held(output.with_name(f".{output.name}.lock"), EvaluationError, taken):
        if restart:
            embedding.restart()
        embedding.load()
        yield embedding
