"""What several commands share: types and options of the command line, and how they print."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from exporter.config import models as known_models

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


def warn(text: str) -> None:
    click.echo(f"nasexport: warning: {text}", err=True)


def print_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))
