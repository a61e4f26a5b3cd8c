"""``verify`` and ``inspect``: artifacts that exist."""

from collections.abc import Sequence
from pathlib import Path

import click

from exporter import tables
from exporter.commands.options import fetching_options, json_option, path_type, print_json, warn
from exporter.settings import Settings


@click.command()
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=path_type)
@click.option("--checkpoint", type=path_type, help="What to compare with. [default: the published archive]")
@fetching_options
@json_option
@click.pass_obj
def verify(debug: bool, paths: Sequence[Path], checkpoint: Path | None, settings: Settings, as_json: bool) -> None:
    """Compare artifacts with reference outputs computed from the checkpoint; exit 1 if any check fails."""
    from exporter import verification
    from exporter.progress import progress

    with progress("verify", None, warn) as listener:
        reports = verification.verify(paths, checkpoint, settings, listener=listener, debug=debug)
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
    """Describe an artifact from its files, also one that nasexport did not write.

    PATH is its folder, or a .tar.gz of it as the hub served them.
    """
    from exporter import packed_artifact, worker

    with packed_artifact.opened(path) as folder:
        facts = worker.run("inspect", {"path": str(folder)}, debug=debug)
    del facts["peak_memory"]
    facts["path"] = str(path)
    if as_json:
        print_json(facts)
    else:
        click.echo(tables.inspection_text(facts))
