"""Progress on a terminal: a bar for all of the work, and below it a line for each job that runs and for a transfer.

Text gives way where a terminal is narrow: it is cut, and bar, count and clock stay.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator

from rich.console import Console, Group
from rich.live import Live
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Column

from exporter import terminal

#: Columns of the longest bar.
_BAR = 40


class Bars:
    """What is shown; use it as a context manager. Several threads may call it at the same time."""

    def __init__(self, title: str, total: int | None):
        """For work in ``total`` steps, None where that is not known: then there is no bar, and a wheel turns."""
        known = (_bar(), MofNCompleteColumn(table_column=_fixed())) if total else (SpinnerColumn(),)
        self._work = Progress(_text(), *known, TimeElapsedColumn(table_column=_fixed()))
        self._rows = Progress(
            TextColumn(" "), SpinnerColumn(), TimeElapsedColumn(table_column=_fixed()), _text(ratio=1), expand=True
        )
        self._transfers = Progress(
            TextColumn(" "),
            SpinnerColumn(),
            _bar(),
            DownloadColumn(table_column=_fixed()),
            TransferSpeedColumn(table_column=_fixed()),
            TimeRemainingColumn(table_column=_fixed()),
        )
        self._console = Console(stderr=True)
        room = max(self._console.width // 3, 1)
        title = terminal.printable(title)
        self._task = self._work.add_task(title if len(title) <= room else f"{title[: room - 1]}…", total=total)
        self._transfer = self._transfers.add_task("", visible=False)
        self._transferred = 0
        self._guard = threading.Lock()
        #: The line of what is done outside jobs, and whether a step of it has begun.
        self._own = self._rows.add_task("", visible=False)
        self._own_begun = False
        self._live = self._new()

    def _new(self) -> Live:
        shown = Group(self._work, self._rows, self._transfers)
        return Live(shown, console=self._console, transient=True, redirect_stdout=False, redirect_stderr=False)

    def __enter__(self) -> "Bars":
        self._live.start(refresh=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        """Within it nothing is shown, so that what is printed stands above, in lines of its own."""
        with self._guard:
            self._live.stop()
            try:
                yield
            finally:
                # The old one would go up by as many lines as it had, and over what was printed.
                self._live = self._new()
                self._live.start(refresh=True)

    def step(self, text: str) -> None:
        """A step outside jobs begins; the one before it is done."""
        with self._guard:
            self._end_own()
            self._own_begun = True
            self._rows.reset(self._own, description=terminal.printable(text), visible=True)

    def note(self, text: str) -> None:
        """The step outside jobs is at something else."""
        with self._guard:
            self._rows.update(self._own, description=terminal.printable(text), visible=True)

    @contextlib.contextmanager
    def job(self, label: str) -> Iterator[Callable[[str], None]]:
        """A line for a job while it runs; gives what is called at the beginning of each of its steps."""

        def shown(text: str) -> str:
            return terminal.printable(f"{label}: {text}" if label else text)

        with self._guard:
            self._end_own()
            # A process takes seconds to start, before its first step.
            row = self._rows.add_task(shown("starting"))
        begun = False

        def step(text: str) -> None:
            nonlocal begun
            with self._guard:
                self._finish(begun)
                begun = True
                self._rows.update(row, description=shown(text))

        try:
            yield step
        finally:
            with self._guard:
                self._finish(begun)
                self._rows.remove_task(row)

    def transferred(self, done: int, total: int | None) -> None:
        """So many bytes have come, of ``total`` where that is known."""
        with self._guard:
            if done < self._transferred or not self._transfers.tasks[self._transfer].visible:
                # The bytes of an earlier transfer must not count for the speed of this one.
                self._transfers.reset(self._transfer, total=total, completed=done, visible=True)
            else:
                self._transfers.update(self._transfer, completed=done, total=total, visible=done != total)
            self._transferred = 0 if done == total else done

    def _end_own(self) -> None:
        self._finish(self._own_begun)
        self._own_begun = False
        self._rows.update(self._own, visible=False)

    def _finish(self, begun: bool) -> None:
        if begun:
            self._work.advance(TaskID(self._task))


def _fixed() -> Column:
    return Column(no_wrap=True)


def _bar() -> BarColumn:
    # The one column that may be made narrower, see `rich.table.Table`: all others do not wrap.
    return BarColumn(_BAR, table_column=Column())


def _text(ratio: int | None = None) -> TextColumn:
    column = Column(no_wrap=True, overflow="ellipsis", ratio=ratio)
    return TextColumn("{task.description}", markup=False, table_column=column)
