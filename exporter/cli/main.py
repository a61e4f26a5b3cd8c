"""The command line: options in, a call of the library, text or JSON out."""

import signal
import sys
from typing import Any, NoReturn

import click
from absl import flags, logging

import exporter
from exporter.cli.artifacts import diff, inspect, reference, verify
from exporter.cli.build import build_command, models
from exporter.cli.checkpoints import cache, fetch, lock, synth
from exporter.cli.evaluation import evaluate, predict
from exporter.cli.hosting import serve
from exporter.cli.release import release
from exporter.errors import NasexportError
from exporter.settings import read_config


class _Group(click.Group):
    """Turns nasexport's errors into a line or two and exit status 1."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except NasexportError as error:
            if context.params.get("debug"):
                raise
            click.echo(f"nasexport: error: {error}", err=True)
            context.exit(1)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(exporter.__version__, prog_name="nasexport")
@click.option("-v", "--verbose", is_flag=True, help="Log what is done.")
@click.option("--debug", is_flag=True, help="Log everything, TensorFlow's messages and tracebacks included.")
@click.pass_context
def main(context: click.Context, verbose: bool, debug: bool) -> None:
    """Turns Google's NASNet-A and PNASNet-5 checkpoints into verified TensorFlow artifacts."""
    flags.FLAGS.mark_as_parsed()  # absl.logging waits for that
    logging.use_absl_handler()
    logging.set_verbosity(logging.DEBUG if debug else logging.INFO if verbose else logging.WARNING)
    context.obj = debug
    context.default_map = _defaults(main, read_config())
    # A polite end cleans up as Ctrl-C does.
    signal.signal(signal.SIGTERM, _terminate)


def _defaults(group: click.Group, chosen: dict[str, Any]) -> dict[str, Any]:
    """The user's configuration file as click wants it: for each command, the options that it has."""
    if not chosen:
        return {}
    values = {name.replace("-", "_"): value for name, value in chosen.items()}
    commands = {
        name: _defaults(command, chosen) if isinstance(command, click.Group) else values
        for name, command in group.commands.items()
    }
    return {**values, **commands}  # a group has options, too


def _terminate(*_: object) -> NoReturn:
    sys.exit(128 + signal.SIGTERM)


for _command in (
    models,
    build_command,
    verify,
    inspect,
    diff,
    predict,
    evaluate,
    reference,
    fetch,
    lock,
    cache,
    synth,
    release,
    serve,
):
    main.add_command(_command)
