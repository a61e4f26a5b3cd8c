"""Writes ``docs/reference/commands.md`` from the commands' own help: ``python scripts/write_command_reference.py``."""

from collections.abc import Iterator
from pathlib import Path

import click

from exporter.cli.main import main

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "commands.md"
#: Columns of the help; fixed, so that the page does not depend on a terminal.
_WIDTH = 100


def page() -> str:
    """The page as the commands are now."""
    root = click.Context(main, info_name="nasexport", terminal_width=_WIDTH, **main.context_settings)
    head = "# Commands\n\nWritten by `scripts/write_command_reference.py`; a test fails when it is out of date."
    return "\n\n".join([head, *_sections(root)]) + "\n"


def _sections(context: click.Context) -> Iterator[str]:
    """The section of a command, then those of its own commands where it is a group."""
    command = context.command
    yield _section(context.command_path, command.get_help(context))
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from _sections(click.Context(inner, parent=context, info_name=name, terminal_width=_WIDTH))


def _section(title: str, text: str) -> str:
    return f"## {title}\n\n```text\n{text.strip()}\n```"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
