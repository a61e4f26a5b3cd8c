"""What all commands have in common: how their help is laid out."""

from collections.abc import Mapping, Sequence

import click

#: The heading of options about archives, which many commands have and few users need.
ARCHIVES = "Options for archives"


class ArchiveOption(click.Option):
    """An option of where archives come from and where they are kept; help has these as a group of its own."""


class Command(click.Command):
    """A command whose help has the options about archives after all others."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        options = [each for each in self.get_params(ctx) if isinstance(each, click.Option)]
        archives = [each for each in options if isinstance(each, ArchiveOption)]
        _write(ctx, formatter, "Options", [each for each in options if each not in archives])
        _write(ctx, formatter, ARCHIVES, archives)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if self.epilog:
            formatter.write_paragraph()
            formatter.write_text(self.epilog)


class Group(Command, click.Group):
    """A group of commands, in sections where it has any, whose summaries are never cut."""

    def __init__(self, *args: object, sections: Mapping[str, Sequence[str]] | None = None, **options: object):
        """A group with ``sections``: the names of commands in their order, below a heading each."""
        super().__init__(*args, **options)  # type: ignore[arg-type]
        self._sections = sections or {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        listed = [name for names in self._sections.values() for name in names if name in self.commands]
        return listed + sorted(self.commands.keys() - set(listed))

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_options(ctx, formatter)
        self.format_commands(ctx, formatter)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        summaries = {name: self.commands[name].get_short_help_str(10_000) for name in self.list_commands(ctx)}
        width = max(map(len, summaries), default=0)
        for heading, names in self._sections.items():
            with formatter.section(heading):
                formatter.write_dl([(f"{name:<{width}}", summaries.pop(name)) for name in names if name in summaries])
        if summaries:
            with formatter.section("Commands"):
                formatter.write_dl([(f"{name:<{width}}", summary) for name, summary in summaries.items()])


def _write(ctx: click.Context, formatter: click.HelpFormatter, heading: str, options: Sequence[click.Option]) -> None:
    if rows := [row for row in (each.get_help_record(ctx) for each in options) if row]:
        with formatter.section(heading):
            formatter.write_dl(rows)


def examples(*commands: str) -> str:
    """The end of a command's help: commands to type, each in a line of its own however narrow the terminal is."""
    return "\n".join(["\b", "Examples:", *(f"  {command}" for command in commands)])
