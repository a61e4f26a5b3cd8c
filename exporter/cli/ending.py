"""How the command ends: the signals that stop it, what it says then, and its exit status.

docs/reference/exit-statuses.md has the table of exit statuses.
"""

import signal
import sys
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

from exporter import terminal
from exporter.cli.streams import ReaderGone
from exporter.errors import NOT_DONE, NasexportError

#: The signals that stop a command, and what they are called. Each ends it with 128 and its number.
_SIGNALS = {
    number: name
    for number, name in (
        (signal.SIGINT, "Ctrl-C"),
        (signal.SIGTERM, "SIGTERM"),
        (getattr(signal, "SIGHUP", None), "SIGHUP"),  # which Windows does not have
    )
    if number is not None
}


class Stopped(SystemExit):
    """A signal stops the command: all that is unfinished is removed on the way out."""

    def __init__(self, number: int):
        super().__init__(128 + number)
        self.name = _SIGNALS[signal.Signals(number)]


def heeded() -> list[signal.Signals]:
    """The signals that stop a command; what its parent made it deaf to, as ``nohup`` or a shell does, is none."""
    return [number for number in _SIGNALS if signal.getsignal(number) != signal.SIG_IGN]


def heed_signals() -> None:
    """From now on those signals raise `Stopped`: the first of them, the others would cut off the cleaning up."""
    numbers = heeded()

    def stop(number: int, _frame: object) -> NoReturn:
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)
        raise Stopped(number)

    for number in numbers:
        signal.signal(number, stop)


def status_of(command: Callable[[], Any]) -> int:
    """Runs a click command, not in its standalone mode; its exit status. What ends it is told on standard error."""
    import click

    try:
        try:
            found = command()
            sys.stdout.flush()
        except click.ClickException as error:
            error.show()
            return error.exit_code
        except NasexportError as error:
            return tell(error, debug=False)
    except Stopped as stopped:
        click.echo(f"nasexport: stopped by {stopped.name}", err=True)
        return _number(stopped.code)
    except ReaderGone as gone:
        return _number(gone.code)
    return found if isinstance(found, int) else 0


def tell(error: Exception, debug: bool) -> int:
    """Says what ended a command, in one or two lines, with a traceback for debugging; its exit status."""
    from exporter.cli import colours

    if debug:
        text = terminal.joined("".join(traceback.format_exception(error)).split("\n"))
    else:
        text = terminal.message(f"nasexport: error: {_message(error)}")
    colours.echo(text, err=True)
    return error.status if isinstance(error, NasexportError) else NOT_DONE


def _message(error: Exception) -> str:
    if isinstance(error, NasexportError):
        return str(error)
    if isinstance(error, MemoryError):
        return "there is not enough memory"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    text = " ".join(str(error).split())[:300]
    return f"this is a fault of nasexport itself; --debug shows where\n({type(error).__name__}: {text})"


def _number(code: object) -> int:
    assert isinstance(code, int)
    return code
