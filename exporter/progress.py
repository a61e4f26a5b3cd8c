"""Shows long work: a bar on a terminal, plain lines elsewhere, on standard error in both cases."""

import contextlib
import sys
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def progress(title: str, total: int | None) -> Iterator[Callable[[str], None]]:
    """Yields a function to be called with the name of each step as it begins.

    Args:
        total: the number of steps, None where it is not known.
    """
    if not sys.stderr.isatty():
        yield lambda step: print(f"{title}: {step}", file=sys.stderr, flush=True)
        return
    # Importing it takes longer than most commands take to answer.
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(),
        TextColumn(title, markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[step]}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=total, step="")
        begun = 0

        def begin(step: str) -> None:
            nonlocal begun
            bar.update(task, completed=begun, step=step)
            begun += 1

        yield begin
        bar.update(task, completed=begun, total=begun, step="done")
