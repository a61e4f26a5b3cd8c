"""Writes ``docs/commands.md`` from the commands' own help: ``python scripts/write_command_reference.py``."""

from pathlib import Path

import click

from exporter.cli import main

PAGE = Path(__file__).resolve().parent.parent / "docs" / "commands.md"
#: Columns of the help; fixed, so that the page does not depend on a terminal.
_WIDTH = 100


def page() -> str:
    """The page as the commands are now."""
    root = click.Context(main, info_name="nasexport", terminal_width=_WIDTH, **main.context_settings)
    sections = ["# Commands\n\nWritten by `scripts/write_command_reference.py`; a test fails when it is out of date."]
    sections.append(_section("nasexport", main.get_help(root)))
    for name in main.list_commands(root):
        command = main.get_command(root, name)
        assert command is not None
        context = click.Context(command, parent=root, info_name=name, terminal_width=_WIDTH)
        sections.append(_section(f"nasexport {name}", command.get_help(context)))
    return "\n\n".join(sections) + "\n"


def _section(title: str, text: str) -> str:
    return f"## {title}\n\n```text\n{text.strip()}\n```"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
