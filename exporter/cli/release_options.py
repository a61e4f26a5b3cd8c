"""Options that commands on releases share."""

import re
from collections.abc import Sequence
from pathlib import Path

import click

from exporter.cli.values import MOST_JOBS, Remote, path_of_model_type, require_name, source
from exporter.models.config import known_name

_SIZE = re.compile(r"(?P<number>[0-9]{1,15}(?:\.[0-9]{1,9})?) *(?P<unit>[MGT]?)i?B?", re.IGNORECASE)
_UNITS = {"": 1, "M": 10**6, "G": 10**9, "T": 10**12}


def _memory(_context: click.Context, _parameter: click.Parameter, value: str | None) -> int | None:
    if value is None:
        return None
    match = _SIZE.fullmatch(value.strip())
    if not match:
        raise click.BadParameter(f"{value!r} is not a size: expected one such as 4G or 800M")
    return int(float(match["number"]) * _UNITS[match["unit"].upper()])


def _checkpoints(
    _context: click.Context, _parameter: click.Parameter, values: Sequence[str]
) -> dict[str, Path | Remote]:
    pairs = [value.partition("=") for value in values]
    for name, _, path in pairs:
        if not path or not name:
            raise click.BadParameter(f"{name!r} has no {'path' if name else 'model'}: expected MODEL=PATH")
        require_name(path, "path")
    return {known_name(name): source(path, "checkpoint") or Path(path) for name, _, path in pairs}


def _base_url(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    from exporter.release import address

    try:
        return None if value is None else address.base_url(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


base_url_option = click.option(
    "--base-url",
    metavar="URL",
    callback=_base_url,
    help="Address where the release will be, for the programs on its pages. [default: `serve` fills in its own]",
)
checkpoint_option = click.option(
    "--checkpoint",
    "checkpoints",
    multiple=True,
    type=path_of_model_type,
    metavar="MODEL=PATH",
    callback=_checkpoints,
    help="Weights of a model; repeatable. [default: the published archives]",
)
jobs_option = click.option(
    "--jobs",
    metavar="N",
    type=click.IntRange(1, MOST_JOBS),
    default=2,
    show_default=True,
    help="Processes to run at the same time.",
)
memory_option = click.option(
    "--memory",
    metavar="SIZE",
    callback=_memory,
    help="Memory for all processes, such as 8G. [default: 90 % of what is free]",
)
