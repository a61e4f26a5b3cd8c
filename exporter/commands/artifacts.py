"""``verify`` and ``inspect``: artifacts that exist."""

from collections.abc import Sequence
from pathlib import Path

import click

from exporter import artifact, tables
from exporter.commands.options import fetching_options, json_option, path_type, print_json, report_option, warn
from exporter.settings import Settings


@click.command()
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=path_type)
@click.option("--checkpoint", type=path_type, help="What to compare with. [default: the published archive]")
@report_option
@fetching_options
@json_option
@click.pass_obj
def verify(
    debug: bool,
    paths: Sequence[Path],
    checkpoint: Path | None,
    report_file: Path | None,
    settings: Settings,
    as_json: bool,
) -> None:
    """Compare artifacts with reference outputs computed from the checkpoint; exit 1 if any check fails."""
    from exporter import report_page, verification
    from exporter.progress import progress

    with report_page.opened(report_file) as subjects:
        with progress("verify", None, warn) as listener:
            reports = verification.verify(paths, checkpoint, settings, listener=listener, debug=debug)
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
