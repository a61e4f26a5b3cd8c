"""``doctor``: what this machine has, and what is missing."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from exporter.cli.commands import Command, examples
from exporter.cli.options import cache_options, json_option, print_json, print_text
from exporter.cli.verdicts import megabytes
from exporter.settings import Settings
from exporter.terminal import counted, joined

if TYPE_CHECKING:
    # It is imported where it is needed, to keep `nasexport --help` quick.
    from exporter.doctor import Diagnosis

#: As wide as the column of what is spoken of.
_HEAD = " " * 15


@click.command(cls=Command, epilog=examples("nasexport doctor", "nasexport doctor --json"))
@cache_options
@json_option
@click.pass_obj
def doctor(debug: bool, settings: Settings, as_json: bool) -> None:
    """Say what this machine has, and what is missing for what.

    Versions, processor and graphics card, and what is computed where; extras, cache, pins and configuration. Exits with
    1 where something keeps commands from working.
    """
    from exporter.doctor import diagnose
    from exporter.progress import progress

    with progress("doctor", None) as listener:
        found = diagnose(settings, listener=listener, debug=debug)
    if as_json:
        print_json(found.to_dict())
    else:
        print_text(joined(_fitted(_lines(found))))
    if found.problems:
        raise click.exceptions.Exit(1)


def _fitted(lines: Iterator[str]) -> Iterator[str]:
    """The lines; on a terminal, what is wider goes on below itself, between words."""
    if not sys.stdout.isatty():
        yield from lines
        return
    width = max(shutil.get_terminal_size().columns, 2 * len(_HEAD))
    for line in lines:
        head, text = line[: len(_HEAD)], line[len(_HEAD) :]
        whole: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False}
        yield from textwrap.wrap(text, width, initial_indent=head, subsequent_indent=_HEAD, **whole)


def _lines(found: Diagnosis) -> Iterator[str]:
    yield f"nasexport      {found.nasexport}, Python {found.python}, {found.system}"
    yield "packages       " + ", ".join(f"{name} {version or 'MISSING'}" for name, version in found.packages.items())
    features = f" ({', '.join(found.features)})" if found.features else ""
    yield f"processor      {found.processor}{features}"
    yield (
        f"               {found.cores} of {counted(found.all_cores, 'core')} may be used; "
        f"{_gigabytes(found.free_memory)} of {_gigabytes(found.memory)} memory are free"
    )
    card = found.card
    yield f"graphics card  {card.name or f'none: {card.reason}'}"
    yield f"computed on    {'the graphics card' if card.name else 'the processor'}: predict, evaluate"
    yield "               the processor: build, verify, diff, release, reference" + (
        "; on the card with --device gpu" if card.name else ""
    )
    head = "extras         "
    for extra in found.extras:
        have = ", ".join(f"{name} {version}" for name, version in extra.packages.items() if version)
        lack = f"without {', '.join(extra.missing)}: no {extra.needed_for}; pip install 'nasexport[{extra.name}]'"
        yield f"{head}{extra.name:<8} {lack if extra.missing else have}"
        head = " " * len(head)
    size = f"{counted(len(found.cached), 'archive')}, {megabytes(found.cache_size)}"
    yield f"cache          {found.cache}: {size if found.cache_size else 'empty'}"
    pinned = [name for name, is_pinned in found.pins.items() if is_pinned]
    yield f"pins           {found.lock}: {len(pinned)} of {counted(len(found.pins), 'archive')} pinned"
    if len(pinned) < len(found.pins):
        yield "               not pinned means taken as the server sends it; `nasexport lock --all` pins"
    yield f"configuration  {found.configuration}{'' if found.configured else ', which is not there'}"
    yield f"temporary      {found.temporary}: {_gigabytes(found.free_disk)} are free"
    for problem in found.problems:
        yield f"FAIL {problem}"
    if not found.problems:
        yield "ok   nothing keeps commands from working"


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:,.1f} GB"
