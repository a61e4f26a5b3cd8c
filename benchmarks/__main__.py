"""``python -m benchmarks``: measures the chosen subjects, and writes results, tables and plots."""

import importlib
import time
from pathlib import Path

import click

from benchmarks import report, results
from benchmarks.measuring import ROOT, BenchmarkError
from benchmarks.workspace import MODELS, Workspace

#: In the order in which they are measured and shown.
SUBJECTS = (
    *(
        "verified",
        "build",
        "size",
        "load",
        "inference",
        "fine_tuning",
        "formats",
        "startup",
        "reading",
        "growth",
        "fetch",
    ),
    *("release", "scale"),
)
#: Measured only with ``--only``: they take long, or have no goal.
ON_REQUEST = ("fetch", "release", "scale")
#: Subjects that are measured as a part of another one.
MEASURED_WITH = {"limits": "inference"}


def _known_models(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    names = tuple(name.strip() for value in values for name in value.split(",") if name.strip())
    for name in names:
        if name not in MODELS:
            raise click.BadParameter(f"{name!r} is none of {', '.join(MODELS)}")
    return names


@click.command()
@click.option(
    "--only",
    multiple=True,
    type=click.Choice(SUBJECTS),
    help=f"Measure this subject only; repeatable. [default: all but {', '.join(ON_REQUEST)}]",
)
@click.option("--runs", type=click.IntRange(min=1), default=3, show_default=True, help="Runs of each contestant.")
@click.option(
    "--models",
    multiple=True,
    metavar="MODEL,...",
    callback=_known_models,
    help="Only these. [default: depends on the subject]",
)
@click.option(
    "--work",
    type=click.Path(path_type=Path, file_okay=False),
    default=ROOT / "build" / "benchmarks",
    help="Folder of checkpoints, artifacts and exports, kept between runs. [default: build/benchmarks]",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=ROOT / "docs" / "explanation" / "performance",
    help="Folder of results.json and the plots; the tables go to the .md page of the same name beside it. "
    "[default: docs/explanation/performance]",
)
@click.option("--report-only", is_flag=True, help="Write tables and plots from results.json, without measuring.")
def main(
    only: tuple[str, ...], runs: int, models: tuple[str, ...], work: Path, output: Path, report_only: bool
) -> None:
    """Measure nasexport side by side with its alternatives; prints the figures as a table.

    Contestants take turns, each in its own process. A run replaces the figures that it measures and keeps all others.
    """
    started = time.monotonic()

    def log(text: str) -> None:
        click.echo(f"benchmarks, {time.monotonic() - started:.0f} s: {text}", err=True)

    subjects = [*SUBJECTS, *MEASURED_WITH]
    stored = results.load(output)
    if report_only:
        if not stored["figures"]:
            raise BenchmarkError(
                f"{output} has no {results.FILE}, expected that of an earlier run: run without --report-only first"
            )
        measured = set(stored["figures"])
    else:
        machine = results.machine_facts()
        measured = set()
        workspace = Workspace(work.resolve(), runs, models, log)
        chosen = only or [name for name in SUBJECTS if name not in ON_REQUEST]
        also = [name for name, subject in MEASURED_WITH.items() if subject in chosen]
        if dropped := results.elsewhere(stored, machine, [*chosen, *also]):
            log(f"{len(dropped)} figures of another machine, or of other versions, will be replaced or left out")
        for subject in chosen:
            figures = importlib.import_module(f"benchmarks.subjects.{subject}").measure(workspace)
            if not figures:
                log(f"{subject}: nothing to measure of {', '.join(models)}")
            # Saved now: the next subject may fail, and this one may have taken an hour.
            stored = results.merged(stored, machine, figures)
            results.save(output, stored)
            measured |= {figure.key for figure in figures}
    for path in report.write(stored, output, subjects):
        log(f"wrote {path}")
    rows = [figure for figure in results.figures(stored) if figure.key in measured]
    click.echo(report.table(rows))


if __name__ == "__main__":
    main(prog_name="python -m benchmarks")
