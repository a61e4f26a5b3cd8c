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
    """Prints nasexport's errors in one or two lines and exits with status 1."""

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
@click.option("-v", "--verbose", is_flag=True, help="Log what is being done.")
@click.option("--debug", is_flag=True, help="Log everything, with TensorFlow's messages and tracebacks.")
@click.pass_context
def main(context: click.Context, verbose: bool, debug: bool) -> None:
    """Turn Google's NASNet-A and PNASNet-5 checkpoints into verified TensorFlow artifacts."""
    flags.FLAGS.mark_as_parsed()  # otherwise absl.logging warns about flags
    logging.use_absl_handler()
    logging.set_verbosity(logging.DEBUG if debug else logging.INFO if verbose else logging.WARNING)
    context.obj = debug
    context.default_map = _defaults(main, read_config())
    # SIGTERM cleans up in the same way as Ctrl-C.
    signal.signal(signal.SIGTERM, _terminate)


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
