"""Types and options of the command line that several commands share, and functions for printing."""

import functools
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from exporter import terminal
from exporter.cli import colours, logs
from exporter.cli.commands import ArchiveOption
from exporter.cli.values import MOST_JOBS, OUTPUT, Number, Remote, TextType, path_type
from exporter.cli.values import model_type as model_type
from exporter.errors import USAGE, ConfigError
from exporter.models.config import ModelConfig, model
from exporter.models.config import models as known_models
from exporter.processes import run
from exporter.processes.device import DEVICES, using
from exporter.processes.job import Device
from exporter.processes.jobs import FIND_CARD, FindCardRequest
from exporter.settings import LONGEST_TIMEOUT, MOST_RETRIES, SHORTEST_TIMEOUT, Settings

Command = TypeVar("Command", bound=Callable[..., Any])
#: The beginning of a name in the context of a command, with a path after it.
_COPY_OF = "the address of"


def json_option(command: Command) -> Command:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def verbose_option(command: Command) -> Command:
    """``-v`` of commands that verify: the same as before the command, and passes them ``verbose``."""

    @functools.wraps(command)
    def logging_more(*args: Any, verbose: bool, **values: Any) -> Any:
        given = click.get_current_context().find_root().params
        if verbose and not given["verbose"]:
            logs.show(verbose=True, debug=given["debug"])
        return command(*args, verbose=verbose or given["verbose"], **values)

    text = "Show every check, and log what is being done."
    return click.option("-v", "--verbose", is_flag=True, help=text)(logging_more)  # type: ignore[return-value]


def page_option(command: Command) -> Command:
    text = "Write an HTML page of the results, with plots."
    return click.option("--report", "page_file", metavar="FILE.html", type=path_type, help=text)(command)


def one_each_option(command: Command) -> Command:
    """``--jobs`` of commands whose processes are few."""
    text = "Processes to run at the same time. [default: one for each core, within 3.5 GB]"
    return click.option("--jobs", metavar="N", type=click.IntRange(1, MOST_JOBS), help=text)(command)


def trust_option(command: Command) -> Command:
    text = "Load artifacts even if they can do more than compute, such as write files."
    return click.option("--trust", is_flag=True, help=text)(command)


def device_option(default: str = "the processor") -> Callable[[Command], Command]:
    """For commands that run networks: within the command, jobs compute where the user wants them to."""
    text = f"Compute on the processor or on a graphics card. [default: {default}]"

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def on_device(*args: Any, device: Device | None, **values: Any) -> Any:
            with using(device):
                if device == "gpu":
                    run.run(FIND_CARD, FindCardRequest())
                return command(*args, **values)

        return click.option("--device", type=click.Choice(DEVICES), help=text)(on_device)  # type: ignore[return-value]

    return decorate


def tell(text: str) -> None:
    """Prints a message for people: bounded, and fit for a terminal whatever it quotes."""
    colours.echo(terminal.message(text), err=True)


def warn(text: str) -> None:
    tell(f"nasexport: warning: {text}")


def print_text(text: str, err: bool = False) -> None:
    """Prints lines for people, fit for a terminal whatever is in them; see `exporter.terminal.joined`."""
    colours.echo(terminal.joined(text.split("\n")), err=err)


def suggest(command: str) -> None:
    """Says what to type next, after all that was asked for."""
    print_text(f"next: {command}", err=True)


def print_data(text: str) -> None:
    """Prints text that is for a program, such as CSV: its own bytes, but for a terminal lines that it can show."""
    click.echo(terminal.joined(text.split("\n")) if sys.stdout.isatty() else os.fsencode(text))


def print_path(path: Path) -> None:
    """Prints a path for a shell or a program: its own bytes, but for a terminal as a line that it can show."""
    click.echo(terminal.printable(str(path)) if sys.stdout.isatty() else os.fsencode(path))


def print_json(value: Any) -> None:
    """Prints JSON in ASCII: no control character, and no half of one, reaches a terminal or a pipe."""
    click.echo(json.dumps(value, indent=2))


def _option(*names: str, variable: str, **how: Any) -> Callable[[Command], Command]:
    return click.option(*names, cls=ArchiveOption, envvar=variable, show_envvar=True, **how)


_cache_dir = _option("--cache-dir", variable="NASEXPORT_CACHE_DIR", type=path_type, help="Folder of the archive cache.")
_lock_file = _option(
    "--lock-file", variable="NASEXPORT_LOCK", type=path_type, help="File of pins to use in place of checkpoints.lock."
)
_mirror = _option(
    "--mirror",
    variable="NASEXPORT_MIRROR",
    multiple=True,
    type=TextType("address of a mirror"),
    metavar="URL",
    help="Look for archives here first: an http(s) or file URL, a folder, or s3://..., gs://...; repeatable.",
)
_offline = _option("--offline", variable="NASEXPORT_OFFLINE", is_flag=True, help="Never use the network.")
_frozen = _option(
    "--frozen",
    variable="NASEXPORT_FROZEN",
    is_flag=True,
    help="Accept only archives that are pinned, with the pinned bytes.",
)
_patience = (
    _option(
        "--timeout",
        metavar="SECONDS",
        variable="NASEXPORT_TIMEOUT",
        type=Number(min=SHORTEST_TIMEOUT, max=LONGEST_TIMEOUT),
        default=60.0,
        show_default=True,
        help="How long to wait for a server's first byte, and then for more.",
    ),
    _option(
        "--retries",
        metavar="N",
        variable="NASEXPORT_RETRIES",
        type=click.IntRange(min=0, max=MOST_RETRIES),
        default=5,
        show_default=True,
        help="How often to retry a failed transfer.",
    ),
)


def _with_copies(values: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """The values of a command's options, with the path of a copy in place of each address of a store."""

    def copied(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: copied(each) for name, each in value.items()}
        if not isinstance(value, Remote):
            return value
        from exporter.evaluation.remote import KINDS
        from exporter.fetch.addresses import without_password
        from exporter.fetch.remote import local_copy
        from exporter.progress import progress

        with progress("copy", None, warn) as listener:
            copy = local_copy(value.address, KINDS[value.kind], settings, listener).absolute()
        click.get_current_context().meta[f"{_COPY_OF} {copy}"] = without_password(value.address)
        return copy

    return {name: copied(value) for name, value in values.items()}


def called(path: Path) -> str:
    """What the user calls a path that a command was given: the address that it is a copy of, or the path itself."""
    return str(click.get_current_context().meta.get(f"{_COPY_OF} {path}", path))


def _with_places(values: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """The same, with the place in its store for each address of an output."""

    def placed(value: Any) -> Any:
        if not (isinstance(value, Remote) and value.kind == OUTPUT):
            return value
        from exporter.evaluation.embedding_store import place

        return place(value.address, settings)

    return {name: placed(value) for name, value in values.items()}


def _with_settings(options: tuple[Callable[[Command], Command], ...]) -> Callable[[Command], Command]:
    def decorate(command: Command) -> Command:
        names = ("cache_dir", "lock_file", "mirror", "offline", "frozen", "timeout", "retries")

        @functools.wraps(command)
        def with_settings(*args: Any, **values: Any) -> Any:
            given = {name: values.pop(name) for name in names if name in values}
            if "mirror" in given:
                given["mirrors"] = tuple(given.pop("mirror"))
            settings = Settings(**given)
            # A store that cannot be had is told before much is copied.
            return command(*args, settings=settings, **_with_copies(_with_places(values, settings), settings))

        for option in reversed(options):
            with_settings = option(with_settings)
        return with_settings  # type: ignore[return-value]

    return decorate


#: For commands that may fetch an archive; passes them ``settings``.
fetching_options = _with_settings((_cache_dir, _lock_file, _mirror, _offline, _frozen, *_patience))
#: For commands that ask a server for something else than archives; passes them ``settings``.
transfer_options = _with_settings((_offline, *_patience))
#: For commands that only use the cache; passes them ``settings``.
cache_options = _with_settings((_cache_dir, _lock_file))


def archived_models(names: tuple[str, ...], every: bool) -> list[ModelConfig]:
    """The models with these names, or all that have a published archive.

    Raises:
        click.UsageError: there are neither names nor ``every``, or both.
        ConfigError: there is no such model, or it has no archive.
    """
    if every == bool(names):
        raise click.UsageError("name one or more MODELs, or pass --all")
    configs = [config for config in known_models().values() if config.checkpoint] if every else list(map(model, names))
    for config in configs:
        if config.checkpoint is None:
            raise ConfigError(
                f"{config.name} has no published archive: pass its checkpoint to other commands with --checkpoint",
                status=USAGE,
            )
    return configs
