"""The command line: options in, a call of the library, text or JSON out."""

import json
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click
from absl import flags, logging
from click.shell_completion import CompletionItem

import exporter
from exporter import tables
from exporter.build import Options, build, steps
from exporter.config import FORMATS, TASKS, Format, Task, model
from exporter.config import models as known_models
from exporter.errors import NasexportError

Command = TypeVar("Command", bound=Callable[..., Any])
LAYOUTS = ("plain", "averages", "training")


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


def _warn(text: str) -> None:
    click.echo(f"nasexport: warning: {text}", err=True)


def _print_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


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
    # A polite end cleans up as Ctrl-C does.
    signal.signal(signal.SIGTERM, _terminate)


def _terminate(*_: object) -> NoReturn:
    sys.exit(128 + signal.SIGTERM)


def _json_option(command: Command) -> Command:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


_path = click.Path(path_type=Path)


class _Model(click.ParamType):
    """A model's name or a YAML file; the shell completes the names."""

    name = "model"

    def shell_complete(
        self, context: click.Context, parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        known = [CompletionItem(name) for name in known_models() if name.startswith(incomplete)]
        return known or [CompletionItem(incomplete, type="file")]


def _momentum(_context: click.Context, _parameter: click.Parameter, value: float | None) -> float | None:
    if value is not None and not 0 <= value <= 1:
        raise click.BadParameter(f"{value} is not between 0 and 1")
    return value


@main.command()
@_json_option
def models(as_json: bool) -> None:
    """List every model, what was published of it, and whether its checkpoint is in the cache."""
    rows = tables.models()
    if as_json:
        _print_json(rows)
    else:
        click.echo(tables.models_text(rows))


@main.command("build")
@click.argument("names", metavar="MODEL...", nargs=-1, required=True, type=_Model())
@click.option("--format", "format_", type=click.Choice(FORMATS), help="Artifact format. [default: saved_model_2]")
@click.option("--version", type=int, help="Version to write. [default: 4 for saved_model_2, 3 for hub]")
@click.option("--task", type=click.Choice(TASKS), help="One task only. [default: both]")
@click.option("--checkpoint", type=_path, help="Checkpoint prefix, one of its files, its folder, or a .tar.gz.")
@click.option("--output", type=_path, default=Path("dist"), show_default=True, help="Folder to write below.")
@click.option("--batch-norm-momentum", type=float, callback=_momentum, help="Default when fine-tuning. [default: 0.99]")
@click.option("--no-verify", is_flag=True, help="Do not compare the artifacts with the reference.")
@click.option("--overwrite", is_flag=True, help="Replace artifacts that exist.")
@click.pass_obj
def build_command(
    debug: bool,
    names: Sequence[str],
    format_: Format | None,
    version: int | None,
    task: Task | None,
    checkpoint: Path | None,
    output: Path,
    batch_norm_momentum: float | None,
    no_verify: bool,
    overwrite: bool,
) -> None:
    """Write verified artifacts of one or more models; prints the path of each.

    MODEL is a name that `nasexport models` lists, or the path of a .yaml file that describes a network of these
    families. Without --checkpoint the published archive is used, from the cache or downloaded.
    """
    from exporter.progress import progress

    if checkpoint and len(names) > 1:
        raise click.UsageError("--checkpoint goes with one MODEL: a checkpoint fits one network only")
    options = Options(format_, version, (task,) if task else TASKS, batch_norm_momentum, not no_verify, overwrite)
    configs = [model(name) for name in names]
    for config in configs:
        with progress(config.name, steps(options)) as report:
            built = build(config, output, options, checkpoint, report=report, warn=_warn, debug=debug)
        for artifact in built:
            click.echo(tables.built_text(artifact), err=True)
            click.echo(artifact.path)


@main.command()
@click.argument("name", metavar="MODEL", type=_Model())
@click.option("--output", type=_path, required=True, help="Prefix to write, or a .tar.gz to pack.")
@click.option("--layout", type=click.Choice(LAYOUTS), default="plain", show_default=True)
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True)
@click.pass_obj
def synth(debug: bool, name: str, output: Path, layout: str, seed: int) -> None:
    """Write a synthetic checkpoint: the exact layout of the published one, with made-up weights.

    The weights depend on the seed alone. Seed 0 gives the weights on which the outputs of the original networks were
    recorded. What is built from it says so in its metadata.
    """
    from exporter import worker
    from exporter.progress import progress

    request = {"config": model(name).to_dict(), "output": str(output), "layout": layout, "seed": seed}
    with progress(f"synthetic {name}", None) as report:
        result = worker.run("synthesize", request, report, debug)
    for path in result["files"]:
        click.echo(path)


@main.command()
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=_path)
@click.option("--checkpoint", type=_path, help="What to compare with. [default: the published archive]")
@_json_option
@click.pass_obj
def verify(debug: bool, paths: Sequence[Path], checkpoint: Path | None, as_json: bool) -> None:
    """Compare artifacts with reference outputs computed from the checkpoint; exit 1 if any check fails."""
    from exporter import verification
    from exporter.progress import progress

    with progress("verify", None) as report:
        reports = verification.verify(paths, checkpoint, report=report, warn=_warn, debug=debug)
    if as_json:
        _print_json([report.to_dict() for report in reports])
    else:
        for checked in reports:
            click.echo(tables.report_text(checked))
    if not all(checked.passed for checked in reports):
        raise click.exceptions.Exit(1)


@main.command()
@click.argument("path", metavar="PATH", type=_path)
@_json_option
@click.pass_obj
def inspect(debug: bool, path: Path, as_json: bool) -> None:
    """Describe an artifact from its files, also one that nasexport did not write."""
    from exporter import worker

    facts = worker.run("inspect", {"path": str(path)}, debug=debug)
    del facts["peak_memory"]
    if as_json:
        _print_json(facts)
    else:
        click.echo(tables.inspection_text(facts))
