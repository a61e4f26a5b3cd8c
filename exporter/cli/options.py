"""What several commands share: types and options of the command line, and how they print."""

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from exporter.errors import ConfigError
from exporter.models.config import ModelConfig, model
from exporter.models.config import models as known_models
from exporter.settings import Settings

Command = TypeVar("Command", bound=Callable[..., Any])

path_type = click.Path(path_type=Path)


class _Model(click.ParamType):
    """A model's name or a YAML file; the shell completes the names."""

    name = "model"

    def shell_complete(
        self, context: click.Context, parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        known = [CompletionItem(name) for name in known_models() if name.startswith(incomplete)]
        return known or [CompletionItem(incomplete, type="file")]


model_type = _Model()


def json_option(command: Command) -> Command:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def report_option(command: Command) -> Command:
    text = "Write an HTML page of the verification, with plots."
    return click.option("--report", "report_file", metavar="FILE.html", type=path_type, help=text)(command)


def warn(text: str) -> None:
    click.echo(f"nasexport: warning: {text}", err=True)


def print_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def _option(*names: str, variable: str, **how: Any) -> Callable[[Command], Command]:
    return click.option(*names, envvar=variable, show_envvar=True, **how)


_cache_dir = _option("--cache-dir", variable="NASEXPORT_CACHE_DIR", type=path_type, help="Folder that keeps archives.")
_lock_file = _option("--lock-file", variable="NASEXPORT_LOCK", type=path_type, help="Another checkpoints.lock.")
_SOURCES = (
    _option(
        "--mirror",
        variable="NASEXPORT_MIRROR",
        multiple=True,
        metavar="URL",
        help="Ask here first: an http(s) or file URL, or a folder; repeatable.",
    ),
    _option("--offline", variable="NASEXPORT_OFFLINE", is_flag=True, help="Never use the network."),
    _option("--frozen", variable="NASEXPORT_FROZEN", is_flag=True, help="Refuse what is not pinned, or different."),
    _option(
        "--timeout",
        variable="NASEXPORT_TIMEOUT",
        type=click.FloatRange(min=0.1),
        default=60.0,
        show_default=True,
        help="Seconds to wait for a server's next bytes.",
    ),
    _option(
        "--retries",
        variable="NASEXPORT_RETRIES",
        type=click.IntRange(min=0),
        default=5,
        show_default=True,
        help="How often to try a transfer again.",
    ),
)


def _with_settings(options: tuple[Callable[[Command], Command], ...]) -> Callable[[Command], Command]:
    def decorate(command: Command) -> Command:
        names = ("cache_dir", "lock_file", "mirror", "offline", "frozen", "timeout", "retries")

        @functools.wraps(command)
        def with_settings(*args: Any, **values: Any) -> Any:
            chosen = {name: values.pop(name) for name in names if name in values}
            if "mirror" in chosen:
                chosen["mirrors"] = tuple(chosen.pop("mirror"))
            return command(*args, settings=Settings(**chosen), **values)

        for option in reversed(options):
            with_settings = option(with_settings)
        return with_settings  # type: ignore[return-value]

    return decorate


#: For commands that may fetch an archive: they get ``settings``.
fetching_options = _with_settings((_cache_dir, _lock_file, *_SOURCES))
#: For commands that only look at the cache: they get ``settings``.
cache_options = _with_settings((_cache_dir, _lock_file))


def archived_models(names: tuple[str, ...], every: bool) -> list[ModelConfig]:
    """The models that a command names, or all that have an archive, each archive once.

    Raises:
        click.UsageError: there is neither, or both.
        ConfigError: there is no such model, or it has no archive.
    """
    if every == bool(names):
        raise click.UsageError("name one or more MODELs, or pass --all")
    configs = [config for config in known_models().values() if config.checkpoint] if every else list(map(model, names))
    for config in configs:
        if config.checkpoint is None:
            raise ConfigError(f"{config.name} has no published archive: it only exists as a file for --checkpoint")
    return configs
