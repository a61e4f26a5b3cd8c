"""``models`` and ``build``: the models that there are, and artifacts of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import click

from exporter.artifact.options import Precision
from exporter.cli import text
from exporter.cli.options import (
    cache_options,
    device_option,
    fetching_options,
    json_option,
    model_type,
    one_each_option,
    page_option,
    path_type,
    print_json,
    print_path,
    print_text,
    warn,
)
from exporter.cli.values import MOST_VERSION
from exporter.models.config import TASKS, Task, model
from exporter.models.formats import DEFAULT_FORMAT, FORMATS, Format, written
from exporter.settings import Settings


def _momentum(_context: click.Context, _parameter: click.Parameter, value: float | None) -> float | None:
    if value is not None and not 0 <= value <= 1:  # nor a NaN
        raise click.BadParameter(f"{value} is not between 0 and 1")
    return value


def _default_versions() -> str:
    """``4 for saved_model_2, 3 for hub``: the default format's first."""
    specs = [FORMATS[name] for name in sorted(written(), key=lambda name: name != DEFAULT_FORMAT)]
    return ", ".join(f"{spec.default_version} for {spec.name}" for spec in specs if spec.default_version is not None)


@click.command()
@cache_options
@json_option
def models(settings: Settings, as_json: bool) -> None:
    """List all models, with versions, parameters and published accuracy, and whether the archive is cached."""
    rows = text.models(settings)
    if as_json:
        print_json(rows)
    else:
        print_text(text.models_text(rows))


@click.command("build")
@click.argument("names", metavar="MODEL...", nargs=-1, required=True, type=model_type)
@click.option("--format", "format_", type=click.Choice(written()), help=f"Artifact format. [default: {DEFAULT_FORMAT}]")
@click.option(
    "--version", type=click.IntRange(0, MOST_VERSION), help=f"Version to write. [default: {_default_versions()}]"
)
@click.option("--task", type=click.Choice(TASKS), help="Only this task. [default: both]")
@click.option("--checkpoint", type=path_type, help="Weights: a checkpoint's prefix, file, folder or .tar.gz.")
@click.option("--output", type=path_type, default=Path("dist"), show_default=True, help="Folder for the artifacts.")
@click.option("--batch-norm-momentum", type=float, callback=_momentum, help="For fine-tuning. [default: 0.99]")
@click.option("--end-points", is_flag=True, help="Give each end point as an output, too. Only onnx.")
@click.option(
    "--precision",
    type=click.Choice(get_args(Precision)),
    default="float32",
    help="How weights are stored. float16 only litert. [default: float32]",
)
@click.option("--no-verify", is_flag=True, help="Do not verify the artifacts.")
@one_each_option
@click.option("--overwrite", is_flag=True, help="Replace existing artifacts, whatever they are.")
@device_option()
@page_option
@fetching_options
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
    end_points: bool,
    precision: Precision,
    no_verify: bool,
    jobs: int | None,
    overwrite: bool,
    page_file: Path | None,
    settings: Settings,
) -> None:
    """Write verified artifacts of one or more models; prints the path of each.

    An artifact that is there already is kept if it is what would be written, so the same command continues after a
    stop; anything else is only replaced with --overwrite.

    MODEL is a name that `nasexport models` lists, or the path of a .yaml file with the configuration of another network
    of the same families. Without --checkpoint, the published archive is used, from the cache or downloaded.
    """
    from exporter.build import Artifact, BuildOptions, build, steps
    from exporter.progress import progress
    from exporter.report import page
    from exporter.report.section import Section

    if page_file and no_verify:
        raise click.UsageError("--report shows the verification: it cannot be combined with --no-verify")
    if checkpoint and len(names) > 1:
        raise click.UsageError("--checkpoint can be used with one MODEL only: a checkpoint fits one network")
    tasks = (task,) if task else TASKS
    options = BuildOptions(
        format_, version, tasks, batch_norm_momentum, end_points, precision, not no_verify, overwrite, jobs
    )
    configs = [model(name) for name in names]
    with page.writing(page_file) as sections:

        def on_verified(artifact: Artifact) -> None:
            assert artifact.report is not None
            sections.append(Section(artifact.report, artifact.metadata))

        for config in configs:
            with progress(config.name, steps(options), warn) as listener:
                built = build(
                    config,
                    output,
                    options,
                    checkpoint,
                    settings,
                    listener=listener,
                    on_verified=on_verified if page_file else None,
                    debug=debug,
                )
            for artifact in built:
                print_text(text.built_text(artifact), err=True)
                print_path(artifact.path)
