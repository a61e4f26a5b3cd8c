"""Progress of long work: as the command shows it, or a bar in a notebook, or one's own function."""

import contextlib
import html
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from exporter.progress import Listener
from exporter.progress import progress as of_the_command
from nasexport.errors import NasexportWarning

#: Whether to show progress; or a function that is called with a line of text for each step.
Progress: TypeAlias = bool | Callable[[str], None]

#: Seconds between two drawings of a bar in a notebook: each is a message to a browser.
_INTERVAL = 0.2


@contextlib.contextmanager
def shown(progress: Progress, title: str, total: int | None = None) -> Iterator[Listener]:
    """Yields the listener of some work; what it warns of becomes a `NasexportWarning`.

    Args:
        progress: see `Progress`.
        total: the number of steps, None where it is not known.
    """
    if progress is False:
        yield Listener(warn=warn)
    elif callable(progress):
        # Several threads may report at the same time; whoever wrote the function need not know.
        yield Listener(step=progress, note=progress, warn=warn)
    elif _notebook():
        with _bar(title, total) as listener:
            yield listener
    else:
        with of_the_command(title, total, warn) as listener:
            yield listener


def warn(text: str) -> None:
    """Warns of something that is odd and does not stop the work."""
    warnings.warn(text, NasexportWarning, stacklevel=2)


def _notebook() -> bool:
    """Whether this is the kernel of a notebook, which shows HTML."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None


class Bar:
    """A bar of progress as a notebook shows it."""

    def __init__(self, title: str, total: int | None):
        self._title, self._total = title, total
        self._began = time.monotonic()
        self._begun, self._text, self._ended = 0, "", ""
        self._transfer: tuple[int, int | None] | None = None

    def step(self, text: str) -> None:
        self._begun, self._text, self._transfer = self._begun + 1, text, None

    def note(self, text: str) -> None:
        self._text = text

    def transferred(self, done: int, total: int | None) -> None:
        self._transfer = None if done == total else (done, total)

    def end(self, how: str) -> None:
        self._ended = f"{how}, {time.monotonic() - self._began:.0f} s"

    def __repr__(self) -> str:
        return f"{self._title}: {self._ended or self._text}"

    def _repr_html_(self) -> str:
        if self._ended:
            return f"<p>{html.escape(repr(self))}</p>"
        if self._transfer:
            done, total = self._transfer
            text = f"{self._text}, {done / 1e6:.1f}" + (f" of {total / 1e6:.1f} MB" if total else " MB")
        else:
            text = self._text
        # What is begun is not done; without a value, a browser shows that something moves.
        value = f' value="{max(self._begun - 1, 0)}" max="{self._total}"' if self._total else ""
        return f"<p>{html.escape(self._title)} <progress{value}></progress> {html.escape(text)}</p>"


@contextlib.contextmanager
def _bar(title: str, total: int | None) -> Iterator[Listener]:
    from IPython.display import display

    bar = Bar(title, total)
    handle: Any = display(bar, display_id=True)
    drawn = time.monotonic()

    def draw(now: bool = False) -> None:
        nonlocal drawn
        if now or time.monotonic() - drawn >= _INTERVAL:
            drawn = time.monotonic()
            handle.update(bar)

    def step(text: str) -> None:
        bar.step(text)
        draw()

    def note(text: str) -> None:
        bar.note(text)
        draw()

    def transferred(done: int, total: int | None) -> None:
        bar.transferred(done, total)
        draw()

    try:
        yield Listener(step, note, warn, transferred)
    except BaseException:
        bar.end("stopped")
        draw(now=True)
        raise
    bar.end("done")
    draw(now=True)
