"""``verify``, ``reference`` and ``inspect``: artifacts that exist."""

from collections.abc import Sequence
from pathlib import Path

import click

from exporter import artifact, tables
from exporter.commands.options import (
    fetching_options,
    json_option,
    model_type,
    path_type,
    print_json,
    report_option,
    warn,
)
from exporter.config import model
from exporter.settings import Settings
from exporter.verification import KINDS, Choices


@click.command()
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=path_type)
@click.option("--checkpoint", type=path_type, help="What to compare with. [default: the published archive]")
@click.option("--model", "name", metavar="MODEL", type=model_type, help="What a foreign artifact should be.")
@click.option("--version", type=int, help="Its version, with --model. [default: what it looks like]")
@click.option("--against", type=click.Choice(KINDS), multiple=True, help="Compare with this implementation, too.")
@click.option("--reference", type=path_type, help="A recorded reference to compare with.")
@click.option(
    "--time-limit",
    type=click.FloatRange(min=1),
    default=1800.0,
    show_default=True,
    help="Seconds that each process may take.",
)
@report_option
@fetching_options
@json_option
@click.pass_obj
def verify(
    debug: bool,
    paths: Sequence[Path],
    checkpoint: Path | None,
    name: str | None,
    version: int | None,
    against: tuple[str, ...],
    reference: Path | None,
    time_limit: float,
    report_file: Path | None,
    settings: Settings,
    as_json: bool,
) -> None:
    """Compare artifacts with what their checkpoint gives; exit 1 if any check fails.

    PATH is the folder of an artifact of version 1 to 5, written by nasexport or, with --model, by anyone. It is
    compared with a reference that was recorded from the checkpoint, where there is one, or else with the TF-Slim
    graph run on the checkpoint; with --against also with an implementation that shares nothing with that graph.
    """
    from exporter import report_page, verification
    from exporter.progress import progress

    if version is not None and name is None:
        raise click.UsageError("--version goes with --model")
    choices = Choices(model(name) if name else None, version, against, reference, time_limit)
    with report_page.opened(report_file) as subjects:
        with progress("verify", None, warn) as listener:
            reports = verification.verify(paths, checkpoint, settings, choices, listener=listener, debug=debug)
        subjects += [
            report_page.Subject(checked, artifact.read_metadata(path) or {})
            for path, checked in zip(paths, reports, strict=True)
        ]
        if as_json:
            print_json([report.to_dict() for report in reports])
        else:
            for checked in reports:
                click.echo(tables.report_text(checked))
    if not all(checked.passed for checked in reports):
        raise click.exceptions.Exit(1)


@click.group()
def reference() -> None:
    """Keep what a network gave, to hold later artifacts against it."""


@reference.command("record")
@click.argument("name", metavar="MODEL", type=model_type)
@click.option("--checkpoint", type=path_type, help="The weights. [default: the published archive]")
@click.option("--output", type=path_type, help="File to write. [default: in the cache, where verify finds it]")
@fetching_options
@click.pass_obj
def reference_record(debug: bool, name: str, checkpoint: Path | None, output: Path | None, settings: Settings) -> None:
    """Record the logits, features and statistics of every end point that a checkpoint gives; prints the file.

    The file belongs to the checkpoint with exactly these bytes. verify and build use it in the place of a new run.
    """
    from exporter import verification
    from exporter.progress import progress

    with progress(f"reference of {name}", None, warn) as listener:
        path = verification.record(model(name), checkpoint, settings, output, listener=listener, debug=debug)
    click.echo(path)


@click.command()
@click.argument("path", metavar="PATH", type=path_type)
@json_option
@click.pass_obj
def inspect(debug: bool, path: Path, as_json: bool) -> None:
    """Describe an artifact from its files, also one that nasexport did not write."""
    from exporter import worker

    facts = worker.run("inspect", {"path": str(path)}, debug=debug)
    del facts["peak_memory"]
    if as_json:
        print_json(facts)
    else:
        click.echo(tables.inspection_text(facts))
