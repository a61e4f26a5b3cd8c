"""The calls of `nasexport` in shell scripts, held against the commands that there are."""

import itertools
import re
import shlex
from collections.abc import Iterator

import click

from exporter.cli.main import main


def calls(script: str) -> Iterator[list[str]]:
    """The arguments of each `nasexport` in a shell script."""
    script = re.sub(r"<< '(\w+)'\n.*?\n\1\n", "\n", script.replace("\\\n", " "), flags=re.DOTALL)
    # An option that is there where a variable has a value: ${NAME:+--option="$NAME"}.
    script = re.sub(r"\$\{\w+:\+([^}]*)\}", r"\1", script)
    for line in script.splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words = list(lexer)
        for place, word in enumerate(words):
            if word == "nasexport" and (place == 0 or words[place - 1] in ("!", "if", "|", "||", "&&", ";", "do")):
                yield list(itertools.takewhile(lambda word: not set(word) & set("|&;<>"), words[place + 1 :]))


def require_known(arguments: list[str]) -> None:
    """Fails where there is no such command, or it has no such option."""
    command: click.Command = main
    # With its settings: a command keeps the help option that it is first asked for, for the whole process.
    context = click.Context(main, info_name="nasexport", **main.context_settings)
    while True:
        _, arguments, _ = command.make_parser(context).parse_args(list(arguments))
        if not isinstance(command, click.Group) or not arguments:
            return
        found = command.get_command(context, arguments[0])
        assert found is not None, f"{context.command_path} has no command {arguments[0]}"
        context = click.Context(found, parent=context, info_name=arguments[0])
        command, arguments = found, arguments[1:]
