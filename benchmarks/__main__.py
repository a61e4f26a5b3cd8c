"""``python -m benchmarks``: measures what was asked for, and writes results, tables and plots."""

import importlib
import time
from pathlib import Path

import click

from benchmarks import report, results
from benchmarks.measuring import ROOT, BenchmarkError
from benchmarks.workspace import MODELS, Workspace

#: In the order in which they are measured and told; those of `ON_REQUEST` take long, or have no goal of their own.
SUBJECTS = ("build", "size", "load", "inference", "fine_tuning", "startup", "growth", "fetch", "release")
ON_REQUEST = ("fetch", "release")
#: Measured together with another one.
TOLD = {"limits": "inference"}


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
    help=f"No other subject; repeatable. [default: all but {', '.join(ON_REQUEST)}]",
)
@click.option("--runs", type=click.IntRange(min=1), default=3, show_default=True, help="Runs of each contestant.")
@click.option(
    "--models", multiple=True, metavar="MODEL,...", callback=_known_models, help="No others. [default: by subject]"
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
    default=ROOT / "docs" / "performance",
    help="Folder of results.json and the plots; a page of its name beside it gets the tables. "
    "[default: docs/performance]",
)
@click.option("--report-only", is_flag=True, help="Measure nothing; write tables and plots from results.json again.")
def main(
    only: tuple[str, ...], runs: int, models: tuple[str, ...], work: Path, output: Path, report_only: bool
) -> None:
    """Measure nasexport side by side with what people use in its place; prints the figures as a table.

    Contestants take turns, each in a process of its own. What a run measures takes the place of the same figures of
    earlier runs; all others stay.
    """
    began = time.monotonic()

    def say(text: str) -> None:
        click.echo(f"benchmarks, {time.monotonic() - began:.0f} s: {text}", err=True)

    told = [*SUBJECTS, *TOLD]
    found = results.load(output)
    if report_only:
        if not found["figures"]:
            raise BenchmarkError(
                f"{output} has no {results.FILE}, expected one of an earlier run: run without --report-only"
            )
        measured = set(found["figures"])
    else:
        machine = results.machine_facts()
        results.require_same_machine(found, machine)
        measured = set()
        workspace = Workspace(work.resolve(), runs, models, say)
        for subject in only or [name for name in SUBJECTS if name not in ON_REQUEST]:
            figures = importlib.import_module(f"benchmarks.subjects.{subject}").measure(workspace)
            if not figures:
                say(f"{subject}: nothing to measure of {', '.join(models)}")
            # Saved at once: the next subject may fail, and this one may have taken an hour.
            found = results.merged(found, machine, figures)
            results.save(output, found)
            measured |= {figure.key for figure in figures}
    for path in report.write(found, output, told):
        say(f"wrote {path}")
    rows = [figure for figure in results.figures(found) if figure.key in measured]
    click.echo(report.table(rows))


if __name__ == "__main__":
    main(prog_name="python -m benchmarks")
