"""Shows the progress of long work on standard error: bars on a terminal, plain lines elsewhere."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

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
    warnings for the user, ``transferred`` during a download.
    """

    step: Say = _silent
    note: Say = _silent
    warn: Say = _silent
    transferred: Transferred = _silent


SILENT = Listener()


@contextlib.contextmanager
def progress(title: str, total: int | None, warn: Say = _silent) -> Iterator[Listener]:
    """Yields a listener that shows progress under ``title``.

    Args:
        total: the number of steps, None where it is not known.
        warn: becomes the listener's ``warn``.
    """
    if not sys.stderr.isatty():
        say = lambda text: print(terminal.message(f"{title}: {text}"), file=sys.stderr, flush=True)  # noqa: E731
        yield Listener(say, say, warn, _Lines(say))
        return
    with _bars(title, total, warn) as listener:
        yield listener


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


@contextlib.contextmanager
def _bars(title: str, total: int | None, warn: Say) -> Iterator[Listener]:
    # Importing rich takes longer than most commands take to run.
    from rich.console import Console, Group
    from rich.live import Live
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    steps = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[step]}", markup=False),
    )
    transfers = Progress(
        TextColumn("  transfer"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()
    )
    task = steps.add_task(terminal.printable(title), total=total, step="")
    transfer = transfers.add_task("transfer", visible=False)
    console = Console(stderr=True)
    begun, last = 0, 0

    def begin(step: str) -> None:
        nonlocal begun
        steps.update(task, completed=begun, step=terminal.printable(step))
        begun += 1

    def transferred(done: int, total: int | None) -> None:
        nonlocal last
        if done < last or not transfers.tasks[transfer].visible:
            # The bytes of an earlier transfer must not count for the speed of this one.
            transfers.reset(transfer, total=total, completed=done, visible=True)
        else:
            transfers.update(transfer, completed=done, total=total, visible=done != total)
        last = 0 if done == total else done

    def note(text: str) -> None:
        steps.update(task, step=terminal.printable(text))

    with Live(Group(steps, transfers), console=console):
        yield Listener(begin, note, warn, transferred)
        steps.update(task, completed=begun, total=begun, step="done")
