"""The command line: options in, a call of the library, text or JSON out."""

import contextlib
from collections.abc import Iterator
from typing import Any

import click

import exporter
from exporter import terminal
from exporter.cli import ending, logs
from exporter.cli.artifacts import diff, reference, verify
from exporter.cli.build import build_command, models
from exporter.cli.checkpoints import cache, fetch, lock, synth
from exporter.cli.commands import Group, examples
from exporter.cli.descriptions import inspect
from exporter.cli.doctor import doctor
from exporter.cli.embedding import embed
from exporter.cli.evaluation import evaluate, predict
from exporter.cli.handles import handles
from exporter.cli.hosting import serve
from exporter.cli.release import release
from exporter.settings import read_config

#: The most of a message about wrong usage, in bytes; click puts the usage before it.
_LONGEST_USAGE_ERROR = 600


#: The commands as help lists them; one that is in no section comes after them.
_SECTIONS = {
    "Make": ("models", "build", "synth", "fetch", "lock", "cache"),
    "Check": ("verify", "inspect", "diff", "reference", "doctor"),
    "Use": ("predict", "evaluate", "embed"),
    "Publish": ("release", "serve", "handles"),
}


#: The lines as they are, however narrow the terminal is.
_COMPLETION = """\b
Completion, by a line in ~/.bashrc, ~/.zshrc or ~/.config/fish/config.fish:
  eval "$(_NASEXPORT_COMPLETE=bash_source nasexport)"
  eval "$(_NASEXPORT_COMPLETE=zsh_source nasexport)"
  _NASEXPORT_COMPLETE=fish_source nasexport | source"""


class _Root(Group):
    """Tells errors in a line or two, ends with the exit status that each has, and bounds what click says of usage."""

    def make_context(self, *args: Any, **options: Any) -> click.Context:
        with _bounded_usage_errors():
            return super().make_context(*args, **options)

    def invoke(self, context: click.Context) -> Any:
        try:
            with _bounded_usage_errors():
                return super().invoke(context)
        except (click.ClickException, click.Abort, click.exceptions.Exit):
            raise
        except Exception as error:
            context.exit(ending.tell(error, debug=context.params.get("debug", False)))


@contextlib.contextmanager
def _bounded_usage_errors() -> Iterator[None]:
    """Within it, what was typed is quoted in an error without its control characters, and not at any length."""
    try:
        yield
    except click.UsageError as error:
        text = error.format_message().expandtabs(2)
        raise click.UsageError(terminal.message(text, _LONGEST_USAGE_ERROR), error.ctx) from error


@click.group(
    cls=_Root,
    sections=_SECTIONS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=f"{examples('nasexport build nasnet_large', 'nasexport COMMAND --help')}\n\n{_COMPLETION}",
)
@click.version_option(exporter.__version__, "-V", "--version", prog_name="nasexport")
@click.option("-v", "--verbose", is_flag=True, help="Log what is being done.")
@click.option("--debug", is_flag=True, help="Log everything, with TensorFlow's messages and tracebacks.")
@click.pass_context
def main(context: click.Context, verbose: bool, debug: bool) -> None:
    """Turn Google's NASNet-A and PNASNet-5 checkpoints into verified artifacts."""
    logs.show(verbose=verbose, debug=debug)
    context.obj = debug
    context.default_map = _defaults(main, read_config())


def _defaults(group: click.Group, file_settings: dict[str, Any]) -> dict[str, Any]:
    """The user's configuration file as click's ``default_map``: the settings for each command."""
    if not file_settings:
        return {}
    values = {name.replace("-", "_"): value for name, value in file_settings.items()}
    commands = {
        name: _defaults(command, file_settings) if isinstance(command, click.Group) else values
        for name, command in group.commands.items()
    }
    return {**values, **commands}  # a group has options of its own, too


for _command in (
    models,
    build_command,
    verify,
    inspect,
    diff,
    predict,
    evaluate,
    embed,
    reference,
    doctor,
    fetch,
    lock,
    cache,
    synth,
    release,
    serve,
    handles,
):
    main.add_command(_command)
