"""What the values of options may be: whole and finite numbers within bounds, paths, names of models."""

from math import isfinite
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from exporter.models.config import models as known_models

#: Processes, each of a gigabyte and more.
MOST_JOBS = 1024
#: Versions of models are small numbers.
MOST_VERSION = 999


class Number(click.FloatRange):
    """A number within bounds: neither NaN, which no bound keeps out, nor infinity."""

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        number = super().convert(value, parameter, context)
        if not isfinite(number):
            self.fail(f"{value!r} is not a finite number", parameter, context)
        return number


class _PathType(click.Path):
    """A path; an empty one, as of a variable that is not set, would be the working folder."""

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        require_name(value, "path", parameter, context)
        return super().convert(value, parameter, context)


class TextType(click.ParamType):
    """A text that is not empty; ``name`` is what messages call it."""

    def __init__(self, name: str):
        self.name = name

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        require_name(value, self.name, parameter, context)
        return value


def require_name(
    value: Any, what: str, parameter: click.Parameter | None = None, context: click.Context | None = None
) -> None:
    """Raises click.BadParameter for a text that names nothing: an empty one, or one with a NUL."""
    if not str(value) or "\0" in str(value):
        expected = "is empty" if not str(value) else "has a NUL"
        raise click.BadParameter(f"the {what} {expected}", context, parameter)


path_type = _PathType(path_type=Path)


class _Model(click.ParamType):
    """A model's name or a YAML file; the shell completes the names."""

    name = "model"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        require_name(value, "model", parameter, context)
        return value

    def shell_complete(
        self, context: click.Context, parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        known = [CompletionItem(name) for name in known_models() if name.startswith(incomplete)]
        return known or [CompletionItem(incomplete, type="file")]


model_type = _Model()
