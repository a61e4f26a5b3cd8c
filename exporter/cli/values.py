"""What the values of options may be: whole and finite numbers within bounds, paths, names of models."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from exporter.models.config import TASKS, handle, known_name
from exporter.models.config import models as known_models
from exporter.models.formats import FORMATS
from exporter.models.old_addresses import addresses

#: Processes, each of a gigabyte and more.
MOST_JOBS = 1024
#: Versions of models are small numbers.
MOST_VERSION = 999
#: What an address means that is written to.
OUTPUT = "output"


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


@dataclass(frozen=True)
class Remote:
    """An address that an option was given in place of a path, and what it is to mean: the name of a `Kind`, `OUTPUT`.

    Commands get the place in its store, or the path of a copy: see `exporter.cli.options`.
    """

    address: str
    kind: str


class _SourceType(_PathType):
    """A path, or an address that fsspec may know, of which the command gets a copy."""

    def __init__(self, kind: str):
        super().__init__(path_type=Path)
        self._kind = kind

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        return source(value, self._kind) or super().convert(value, parameter, context)


def source(value: Any, kind: str) -> Remote | None:
    """The address that a value is; None for a path."""
    remote = isinstance(value, str) and bool(re.match(r"(?!file:)[A-Za-z][A-Za-z0-9+.-]+://[^/]", value))
    return Remote(value, kind) if remote else None


class _OutputType(_PathType):
    """A path, or an address that fsspec may know, of which the command gets the place in its store."""

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        if isinstance(value, str) and re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", value):
            require_name(value, "address", parameter, context)
            return Remote(value, OUTPUT)
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
#: What of fsspec's addresses takes the place of a path: see `exporter.fetch.remote`.
checkpoint_type, images_type = _SourceType("checkpoint"), _SourceType("images")
#: What of them is written to: see `exporter.evaluation.embedding_store`.
output_type = _OutputType(path_type=Path)


class _Model(click.ParamType):
    """A model's name or a YAML file; the shell completes the names."""

    name = "model"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        require_name(value, "model", parameter, context)
        return known_name(value)

    def shell_complete(
        self, context: click.Context, parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        known = [CompletionItem(name, help=config.title) for name, config in known_models().items()]
        return [item for item in known if item.value.startswith(incomplete)] or [
            CompletionItem(incomplete, type="file")
        ]


model_type = _Model()


class HandleType(TextType):
    """The handle of an artifact, or a pattern of some; the shell completes those of the models that there are, or
    with ``old`` those that have old addresses.
    """

    def __init__(self, name: str, *, old: bool = False):
        super().__init__(name)
        self._old = old

    def shell_complete(
        self, context: click.Context, parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        known = [
            handle(config, task, version)
            for config in known_models().values()
            for task in TASKS
            for version, format_ in config.all_versions.items()
            if not self._old or addresses(config.name, task, version, format_)
        ]
        return [CompletionItem(name) for name in known if name.startswith(incomplete)]


class NamesType(click.ParamType):
    """Names with commas between them, for a callback to take apart; the shell completes the last one."""

    name = "names"

    def __init__(self, known: Callable[[], Iterable[str]]):
        self._known = known

    def shell_complete(
        self, context: click.Context, parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        before, comma, last = incomplete.rpartition(",")
        taken = before.split(",")
        return [
            CompletionItem(before + comma + name)
            for name in self._known()
            if name.startswith(last) and name not in taken
        ]


def split_names(values: Iterable[str]) -> list[str]:
    """``--models a,b`` and ``--models a --models b`` are the same; a value without a name is no leave to take all."""
    values = list(values)
    for value in values:
        require_name(value.strip(" ,"), "list of names")
    return list(dict.fromkeys(name.strip() for value in values for name in value.split(",") if name.strip()))


class _PathOfModel(click.ParamType):
    """MODEL=PATH, for a callback to take apart; the shell completes the model."""

    name = "model=path"

    def shell_complete(
        self, context: click.Context, parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        if "=" in incomplete:
            return [CompletionItem(incomplete.partition("=")[2], type="file")]
        return [CompletionItem(f"{name}=") for name in known_models() if name.startswith(incomplete)]


path_of_model_type = _PathOfModel()


class _Version(click.IntRange):
    """The number of a version; the shell completes those that models have."""

    def __init__(self) -> None:
        super().__init__(0, MOST_VERSION)

    def shell_complete(
        self, context: click.Context, parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        known = {str(name): form for config in known_models().values() for name, form in config.all_versions.items()}
        return [
            CompletionItem(name, help=FORMATS[known[name]].title)
            for name in sorted(known)
            if name.isdigit() and name.startswith(incomplete)
        ]


version_type = _Version()
