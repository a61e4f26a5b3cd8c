"""Shows the progress of long work on standard error: bars on a terminal, plain lines elsewhere."""

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from absl import logging

from exporter import terminal

Say = Callable[[str], None]
#: Called with the number of bytes transferred so far, and with the total (None where it is not known).
Transferred = Callable[[int, int | None], None]


def _silent(*_: object) -> None:
    pass


@dataclass(frozen=True)
class Listener:
    """The callbacks through which long work reports its progress; by default they do nothing.

    ``step`` is called with the name of each step as it begins, ``note`` with details within a step, ``warn`` with
    warnings for the user, ``transferred`` during a download. ``show_job`` is what `job` gives, for listeners that show
    each job by itself; without it, its steps are steps as all others.
    """

    step: Say = _silent
    note: Say = _silent
    warn: Say = _silent
    transferred: Transferred = _silent
    show_job: Callable[[str], contextlib.AbstractContextManager[Say]] | None = None
    _guard: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    @contextlib.contextmanager
    def job(self, label: str) -> Iterator[Say]:
        """Within it, a job runs beside others, in threads of their own; gives what is called with each of its steps.

        Args:
            label: what the steps are told after; it may be empty.
        """
        if self.show_job is not None:
            with self.show_job(label) as say:
                yield say
            return

        def step(text: str) -> None:
            with self._guard:
                self.step(f"{label}: {text}" if label else text)

        yield step


SILENT = Listener()


@contextlib.contextmanager
def progress(title: str, total: int | None, warn: Say = _silent) -> Iterator[Listener]:
    """Yields a listener that shows progress under ``title``.

    Args:
        total: the number of steps, None where it is not known.
        warn: becomes the listener's ``warn``.
    """
    if not in_place():
        yield _lines(title, warn)
        return
    # Importing rich takes longer than most commands take to run.
    from exporter.bars import Bars

    def warn_above(text: str) -> None:
        with bars.away():
            warn(text)

    with Bars(title, total) as bars:
        yield Listener(bars.step, bars.note, warn_above, bars.transferred, bars.job)


def in_place() -> bool:
    """Whether progress is shown in place, on a terminal, and not as lines: those of a log would go through a bar."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb" and not logging.level_info()


def _lines(title: str, warn: Say) -> Listener:
    """A listener that prints a line for each step, as fits a log."""
    say = lambda text: print(terminal.message(f"{title}: {text}"), file=sys.stderr, flush=True)  # noqa: E731
    return Listener(say, say, warn, _Lines(say))


class _Lines:
    """Prints the progress of a transfer, at most one line in `SECONDS`, as fits a log."""

    SECONDS = 10.0

    def __init__(self, say: Say):
        self._say = say
        self._restart(0)

    def _restart(self, done: int) -> None:
        self._began = self._said = time.monotonic()
        self._first = self._last = done

    def __call__(self, done: int, total: int | None) -> None:
        if done < self._last:
            self._restart(done)
        self._last = done
        now = time.monotonic()
        finished = done == total
        if not finished and now - self._said < self.SECONDS:
            return
        self._said = now
        speed = (done - self._first) / max(now - self._began, 1e-3)
        text = f"{_megabytes(done)} of {_megabytes(total)} MB" if total else f"{_megabytes(done)} MB"
        text += f", {_megabytes(speed)} MB/s"
        if total and speed and not finished:
            text += f", {(total - done) / speed:.0f} s left"
        self._say(text)
        if finished:
            self._restart(0)


def _megabytes(count: float) -> str:
    return f"{count / 1e6:.1f}"
