"""The state of a long run over a data set: a ledger of finished chunks, one line of JSON each.

The driver alone writes it, a line as soon as a chunk is finished, in whatever order. So a run that is stopped or killed
loses the chunks that it was at, and nothing else. The first line says what run it is of: another artifact or data set
is refused. A last line without its end was cut off in the writing, and counts for nothing.
"""

import json
import os
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Annotated, Any, Generic, Protocol, TypeVar

import msgspec

from exporter.errors import EvaluationError
from exporter.files import staging
from exporter.terminal import printable
from exporter.validation import MOST_JSON, at_least, convert, parse_json, to_plain


class Entry(Protocol):
    """What every line has: the chunk of ``count`` images from the image number ``start`` on is finished."""

    @property
    def start(self) -> int: ...

    @property
    def count(self) -> int: ...


E = TypeVar("E", bound=Entry)


class _Start(msgspec.Struct, frozen=True):
    """The start of a ledger's first line: the version of its schema, and what identifies the run."""

    schema: int
    identity: dict[str, Any]


class _Header(_Start, frozen=True, kw_only=True):
    """A ledger's first line. ``artifact`` and ``folder`` are only for people who read it."""

    artifact: str
    folder: str
    total: Annotated[int, at_least(0)]


class Ledger(Generic[E]):
    """The finished chunks of a run over ``total`` images."""

    def __init__(self, path: Path, entry: type[E], schema: int, identity: dict[str, Any], total: int, what: str):
        """Reads nothing yet.

        Args:
            entry: the type of its lines.
            schema: the version of what is written, and of what is counted.
            identity: what the run depends on, and must be equal to be continued.
            what: what messages call the run: "evaluation".
        """
        self.path, self.total = path, total
        self._schema, self._identity, self._what = schema, identity, what
        self._decoder, self._entry = msgspec.json.Decoder(entry), entry
        self._file: IO[bytes] | None = None
        self._clear()

    def _clear(self) -> None:
        self._starts, self._counts, self._places = array("Q"), array("Q"), array("Q")
        self._size = 0
        self.done = 0

    @property
    def finished(self) -> bool:
        return self.done == self.total

    def load(self, take: Callable[[E], object] = lambda _: None) -> None:
        """Reads the file, and calls ``take`` with what each line says, in their order; without a file there are none.

        Raises:
            EvaluationError: it is damaged, cannot be read, or is of another run.
        """
        self._clear()
        try:
            with open(self.path, "rb") as file:
                self._require_own(self._line(file))
                self._size = file.tell()
                while line := self._line(file):
                    if not line.endswith(b"\n"):
                        break
                    entry = self._read(line, len(self._starts) + 2)
                    self._note(entry, len(line))
                    take(entry)
        except FileNotFoundError:
            return
        except OSError as error:
            raise EvaluationError(f"cannot read {self.path}: {error.strerror}") from error
        self._require_apart()

    def _line(self, file: IO[bytes]) -> bytes:
        line = file.readline(MOST_JSON + 1)
        if len(line) > MOST_JSON:
            raise self._damaged(f"it has more than {MOST_JSON:,} bytes in a line, which no such file has")
        return line

    def _require_own(self, line: bytes) -> None:
        values = self._older(line) or parse_json(line, self._damaged)
        header = convert(values, _Start, self._damaged)
        if header.schema < self._schema and "position" in values:
            raise EvaluationError(
                f"{self.path} was written by an older nasexport, which kept {self._what}s in another way: pass "
                f"--restart to replace it"
            )
        if header.schema != self._schema or header.identity != self._identity:
            differs = ", ".join(key for key, value in self._identity.items() if header.identity.get(key) != value)
            raise EvaluationError(
                f"{self.path} belongs to another {self._what} (other {differs or 'schema'}): pass --restart to "
                f"replace it, or another {'--state' if self._what == 'evaluation' else '--output'}"
            )
        total = convert(values, _Header, self._damaged).total
        if total != self.total:
            raise self._damaged(f"total is {total}, expected {self.total}")

    def _older(self, line: bytes) -> dict[str, Any] | None:
        """What a state of before there were ledgers says, which was one object in several lines."""
        if line.rstrip() != b"{":
            return None
        with open(self.path, "rb") as file:
            values = parse_json(file.read(MOST_JSON + 1), self._damaged)
        return values if isinstance(values, dict) else None

    def _read(self, line: bytes, number: int) -> E:
        try:
            return self._decoder.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            # Read anew, for words of our own.
            def refusal(problem: str) -> EvaluationError:
                return self._damaged(f"line {number}, of its chunks: {problem}")

            return convert(parse_json(line, refusal), self._entry, refusal)

    def _note(self, entry: E, size: int) -> None:
        if entry.start + entry.count > self.total:
            raise self._damaged(
                f"its chunks have images from start {entry.start}, count {entry.count}, of {self.total} in all"
            )
        self._starts.append(entry.start)
        self._counts.append(entry.count)
        self._places.append(self._size)
        self._size += size
        self.done += entry.count

    def _require_apart(self) -> None:
        end = 0
        for place in self._order():
            if self._starts[place] < end:
                raise self._damaged(f"its chunks count the image number {self._starts[place]} (start, count) twice")
            end = self._starts[place] + self._counts[place]

    def _order(self) -> list[int]:
        """The numbers of its lines in the order of the images."""
        return sorted(range(len(self._starts)), key=self._starts.__getitem__)

    def _damaged(self, problem: str) -> EvaluationError:
        return EvaluationError(
            f"{self.path} is damaged or is not the state of an {self._what}: {problem}\npass --restart to replace it"
        )

    def begin(self, artifact: str, folder: str) -> None:
        """Makes ready for `append`: writes the first line where there is no file, and removes half a line at the end.

        Raises:
            EvaluationError: it cannot be written.
        """
        try:
            if not self._size:
                header = _Header(
                    schema=self._schema,
                    identity=self._identity,
                    artifact=printable(artifact),
                    folder=printable(folder),
                    total=self.total,
                )
                line = _encoded(header)
                staging.write(self.path, line)
                self._size = len(line)
            self._file = open(self.path, "r+b")  # noqa: SIM115
            self._file.truncate(self._size)
            self._file.seek(self._size)
        except OSError as error:
            raise self._unwritable(error) from error

    def append(self, entry: E) -> None:
        """Writes a line.

        Raises:
            EvaluationError: it cannot be written.
        """
        assert self._file
        line = _encoded(entry)
        try:
            self._file.write(line)
            self._file.flush()
        except OSError as error:
            raise self._unwritable(error) from error
        self._note(entry, len(line))

    def close(self) -> None:
        """Makes sure that what was written stays."""
        if self._file:
            try:
                with self._file:
                    os.fsync(self._file.fileno())
            except OSError as error:
                raise self._unwritable(error) from error
            finally:
                self._file = None

    def _unwritable(self, error: OSError) -> EvaluationError:
        return EvaluationError(f"cannot write {self.path}: {error.strerror}")

    def entries(self) -> Iterator[E]:
        """What its lines say, in the order of the images.

        Raises:
            EvaluationError: it cannot be read any more.
        """
        try:
            with open(self.path, "rb") as file:
                for place in self._order():
                    file.seek(self._places[place])
                    yield self._read(self._line(file), place + 2)
        except OSError as error:
            raise EvaluationError(f"cannot read {self.path}: {error.strerror}") from error

    def todo(self, size: int) -> Iterator[tuple[int, int]]:
        """Start and count of the chunks that are not finished: of ``size`` images, or what is left between others."""
        begin = 0
        for place in [*self._order(), None]:
            end = self.total if place is None else self._starts[place]
            while begin < end:
                # From one multiple of the size to the next, whatever was finished with another size.
                count = min(size - begin % size, end - begin)
                yield begin, count
                begin += count
            if place is not None:
                begin = end + self._counts[place]


def _encoded(value: object) -> bytes:
    # `json` escapes what is not ASCII: file names need not be UTF-8.
    return (json.dumps(to_plain(value)) + "\n").encode("ascii")
