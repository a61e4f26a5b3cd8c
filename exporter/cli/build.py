"""``models`` and ``build``: the models that there are, and artifacts of them."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from exporter.artifact.options import Precision
from exporter.cli import text, verdicts
from exporter.cli.commands import Command, examples
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
    suggest,
    verbose_option,
    warn,
)
from exporter.cli.values import checkpoint_type, version_type
from exporter.errors import VerificationError
from exporter.models.config import TASKS, Task, model, resolve_version, short_name
from exporter.models.config import models as known_models
from exporter.models.formats import DEFAULT_FORMAT, FORMATS, Format, written
from exporter.settings import Settings
from exporter.terminal import counted
from exporter.verification.results import FailedChecksError, Report

if TYPE_CHECKING:
    # It imports NumPy, which is a part of the time that `nasexport --help` takes.
    from exporter.build import Artifact


def _momentum(_context: click.Context, _parameter: click.Parameter, value: float | None) -> float | None:
    if value is not None and not 0 <= value <= 1:  # nor a NaN
        raise click.BadParameter(f"{value} is not between 0 and 1")
    return value


def _default_versions() -> str:
    """``4 for saved_model_2, 3 for hub``: the default format's first."""
    specs = [FORMATS[name] for name in sorted(written(), key=lambda name: name != DEFAULT_FORMAT)]
    return ", ".join(f"{spec.default_version} for {spec.name}" for spec in specs if spec.default_version is not None)


@click.command(cls=Command, epilog=examples("nasexport models", "nasexport models nasnet_large pnasnet_large --json"))
@click.argument("names", metavar="[MODEL]...", nargs=-1, type=model_type)
@cache_options
@json_option
def models(names: Sequence[str], settings: Settings, as_json: bool) -> None:
    """List the models, or those that are named.

    Each with its versions, parameters and published accuracy, and whether its archive is in the cache. MODEL may also
    be the path of a .yaml file.
    """
    rows = text.models(settings, [model(name) for name in names] or list(known_models().values()))
    if as_json:
        print_json(rows)
    else:
        print_text(text.models_text(rows))


@click.command(
    "build",
    cls=Command,
    epilog=examples(
        "nasexport build nasnet_large",
        "nasexport build nasnet_mobile --format onnx --checkpoint nasnet-a_mobile_04_10_2017.tar.gz",
    ),
)
@click.argument("names", metavar="MODEL...", nargs=-1, required=True, type=model_type)
@click.option("--format", "format_", type=click.Choice(written()), help=f"Artifact format. [default: {DEFAULT_FORMAT}]")
@click.option("--version", metavar="N", type=version_type, help=f"Version to write. [default: {_default_versions()}]")
@click.option("--task", type=click.Choice(TASKS), help="Only this task. [default: both]")
@click.option("--checkpoint", type=checkpoint_type, help="Weights: a checkpoint's prefix, file, folder or .tar.gz.")
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
@verbose_option
@fetching_options
@json_option
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
    verbose: bool,
    settings: Settings,
    as_json: bool,
) -> None:
    """Write verified artifacts of models; prints the path of each.

    An artifact is verified before it is moved to its place, and has a line on standard error then: its checks, the
    largest relative difference of all that was compared, its size, and how long the model took until then. An artifact
    that is there already is kept if it is what would be written, so the same command continues after a stop; anything
    else is only replaced with --overwrite. With --json, standard output has an array with a row for each artifact,
    also for one that failed.

    MODEL is a name that `nasexport models` lists, or the path of a .yaml file with the configuration of another network
    of the same families. Without --checkpoint, the published archive is used, from the cache or downloaded.
    """
    from exporter.build import BuildOptions, build, steps
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
    shown = _Shown(
        [
            short_name(config.name, each, resolve_version(config, format_, version)[0])
            for config in configs
            for each in tasks
        ],
        verbose,
        as_json,
    )
    with page.writing(page_file) as sections:

        def on_verified(artifact: Artifact) -> None:
            assert artifact.report is not None
            sections.append(Section(artifact.report, artifact.metadata))

        for config in configs:
            built: list[Artifact] = []
            failed: FailedChecksError | None = None
            try:
                with progress(config.name, steps(config, options), warn) as listener:
                    build(
                        config,
                        output,
                        options,
                        checkpoint,
                        settings,
                        listener=listener,
                        on_verified=on_verified if page_file else None,
                        on_built=built.append,
                        debug=debug,
                    )
            except FailedChecksError as error:
                failed = error
            finally:
                # Those that were finished before something failed are there, and stay.
                for artifact in built:
                    shown.built(artifact)
            if failed:
                shown.failed(failed.report)
                raise VerificationError(
                    f"{failed.report.path} was not written: "
                    f"{len(failed.report.failed)} of {counted(len(failed.report.checks), 'check')} failed"
                ) from failed
    shown.end()


class _Shown:
    """Shows artifacts as they are finished: lines for people on standard error, and what programs read on standard
    output, a path for each or JSON of all.
    """

    def __init__(self, names: Sequence[str], verbose: bool, as_json: bool):
        """For artifacts of these names, which make a column."""
        self._width = max(map(len, names))
        self._verbose, self._as_json = verbose, as_json
        self._rows: list[dict[str, Any]] = []
        self._built: list[Artifact] = []

    def built(self, artifact: Artifact) -> None:
        """One that is in its place."""
        self._built.append(artifact)
        if self._as_json:
            self._rows.append(verdicts.built_row(artifact))
            return
        print_text(verdicts.built(artifact, self._width, verbose=self._verbose), err=True)
        print_path(artifact.path)

    def failed(self, report: Report) -> None:
        """The one whose verification failed, which ends the command."""
        if self._as_json:
            print_json([*self._rows, verdicts.failed_row(report)])
        else:
            print_text("\n".join(verdicts.report_lines(report.path, report, verbose=self._verbose)), err=True)

    def end(self) -> None:
        """All is done."""
        if self._as_json:
            print_json(self._rows)
            return
        last = next((each for each in self._built if each.metadata.task == "classification"), self._built[-1])
        path = shlex.quote(str(last.path))
        runs = last.metadata.task == "classification"
        suggest(f"nasexport predict {path} photo.jpg" if runs else f"nasexport inspect {path}")
