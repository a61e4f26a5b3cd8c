"""``verify``, ``reference`` and ``diff``: existing artifacts."""

from collections.abc import Sequence
from pathlib import Path

import click

from exporter.artifact import packed
from exporter.artifact.metadata import Metadata, read_metadata
from exporter.cli import text, verdicts
from exporter.cli.commands import Command, Group, examples
from exporter.cli.options import (
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
    trust_option,
    verbose_option,
    warn,
)
from exporter.cli.values import NamesType, Number, checkpoint_type, split_names, version_type
from exporter.diff.jobs import ASPECTS
from exporter.models.config import model
from exporter.reference.jobs import KINDS, Kind
from exporter.settings import Settings
from exporter.verification.options import VerificationOptions
from exporter.verification.results import TOLERANCE

#: In seconds; a timer takes no more than so many years, and nothing here takes a week.
LONGEST_TIME_LIMIT = 604_800
#: Of an image: no network takes larger ones, and their activations no machine.
_MOST_PIXELS = 10_000


@click.command(
    cls=Command,
    epilog=examples(
        "nasexport verify dist/google/imagenet/nasnet_large/*/4",
        "nasexport verify downloaded/1 --model nasnet_large --against numpy --report page.html",
    ),
)
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=path_type)
@click.option("--checkpoint", type=checkpoint_type, help="Weights to compare with. [default: the published archive]")
@click.option("--model", "name", metavar="MODEL", type=model_type, help="Model of an artifact from elsewhere.")
@click.option("--version", metavar="N", type=version_type, help="Its version, with --model. [default: detected]")
@click.option("--against", type=click.Choice(KINDS), multiple=True, help="Also compare with this implementation.")
@click.option("--reference", type=path_type, help="Recorded reference to compare with.")
@click.option(
    "--time-limit",
    type=Number(min=1, max=LONGEST_TIME_LIMIT),
    default=1800.0,
    show_default=True,
    help="Time limit for each process, in seconds.",
)
@one_each_option
@trust_option
@device_option()
@page_option
@verbose_option
@fetching_options
@json_option
@click.pass_obj
def verify(
    debug: bool,
    paths: Sequence[Path],
    checkpoint: Path | None,
    name: str | None,
    version: int | None,
    against: tuple[Kind, ...],
    reference: Path | None,
    time_limit: float,
    jobs: int | None,
    trust: bool,
    page_file: Path | None,
    verbose: bool,
    settings: Settings,
    as_json: bool,
) -> None:
    """Compare artifacts with the original network.

    Prints a line for each artifact, and all of each check that failed; exits with 1 if any did. -v shows every check.

    PATH is the folder of an artifact of version 1 to 5, or a .tar.gz of it as the hub served them, written by
    nasexport or, with --model, by another program. It is compared with a reference that was recorded from the
    checkpoint if there is one, or else with the TF-Slim graph, run on the checkpoint; with --against also with an
    independent implementation, which shares no code with that graph.
    """
    from exporter.progress import progress
    from exporter.report import page
    from exporter.report.section import Section
    from exporter.verification import verify as verification

    if version is not None and name is None:
        raise click.UsageError("--version can be used with --model only")
    named = model(name) if name else None
    options = VerificationOptions(named, version, against, reference, time_limit, page_file is not None, trust)
    with page.writing(page_file) as sections:
        with progress("verify", None, warn) as listener:
            reports = verification.verify(
                paths, checkpoint, settings, options, jobs=jobs, listener=listener, debug=debug
            )
        sections += [
            Section(checked, _metadata(path) if page_file else None)
            for path, checked in zip(paths, reports, strict=True)
        ]
        if as_json:
            print_json([report.to_dict() for report in reports])
        else:
            print_text(verdicts.verified(reports, verbose=verbose))
    if not all(checked.passed for checked in reports):
        if not as_json and page_file is None:
            suggest("the same command with --report page.html shows where they part")
        raise click.exceptions.Exit(1)


def _metadata(path: Path) -> Metadata | None:
    with packed.opened(path) as folder:
        return read_metadata(folder)


@click.group(cls=Group)
def reference() -> None:
    """Record what a network gives, to compare with later."""


@reference.command(
    "record",
    cls=Command,
    epilog=examples(
        "nasexport reference record nasnet_large",
        "nasexport reference record nasnet_mobile --checkpoint model.ckpt --output nasnet_mobile.npz",
    ),
)
@click.argument("name", metavar="MODEL", type=model_type)
@click.option("--checkpoint", type=checkpoint_type, help="Weights. [default: the published archive]")
@click.option("--output", type=path_type, help="File to write. [default: in the cache, where verify finds it]")
@device_option()
@fetching_options
@click.pass_obj
def reference_record(debug: bool, name: str, checkpoint: Path | None, output: Path | None, settings: Settings) -> None:
    """Record what a checkpoint gives; prints the path of the file.

    These are logits, features and statistics of every end point.

    The file is valid for a checkpoint with exactly these bytes. verify and build use it instead of running the
    original network again.
    """
    from exporter.progress import progress
    from exporter.verification import verify as verification

    with progress(f"reference of {name}", None, warn) as listener:
        path = verification.record(model(name), checkpoint, settings, output, listener=listener, debug=debug)
    print_path(path)


def _aspects(_context: click.Context, _parameter: click.Parameter, values: Sequence[str]) -> tuple[str, ...]:
    """``--only variables,outputs`` and ``--only variables --only outputs`` are the same."""
    chosen = split_names(values)
    for name in chosen:
        if name not in ASPECTS:
            raise click.BadParameter(f"{name!r} is none of {', '.join(ASPECTS)}")
    return tuple(name for name in ASPECTS if name in chosen) if chosen else ASPECTS


@click.command(
    cls=Command,
    epilog=examples(
        "nasexport diff downloaded/4.tar.gz dist/google/imagenet/nasnet_large/classification/4",
        "nasexport diff before after --only variables,outputs --json",
    ),
)
@click.argument("a", metavar="A", type=path_type)
@click.argument("b", metavar="B", type=path_type)
@click.option(
    "--only",
    "aspects",
    multiple=True,
    type=NamesType(lambda: ASPECTS),
    callback=_aspects,
    metavar="ASPECT,...",
    help="Compare only these; repeatable: " + ", ".join(ASPECTS) + ".",
)
@click.option(
    "--tolerance",
    type=Number(min=0, max=1000),
    default=TOLERANCE,
    show_default=True,
    help="Relative difference of outputs up to which they count as equal.",
)
@click.option(
    "--image-size", type=click.IntRange(1, _MOST_PIXELS), help="Size of the images for both. [default: their own]"
)
@trust_option
@device_option()
@json_option
@click.pass_obj
def diff(
    debug: bool,
    a: Path,
    b: Path,
    aspects: Sequence[str],
    tolerance: float,
    image_size: int | None,
    trust: bool,
    as_json: bool,
) -> None:
    """Compare two artifacts with each other.

    Exits with 1 if anything differs. A and B are folders, or .tar.gz files as the hub served them, of any version,
    written by nasexport or not. Variables are compared bit for bit. Outputs, L2 losses and moving averages may differ
    by the tolerance, relative to the largest magnitude in A; in training mode, drop path and dropout are made to keep
    everything.

    If the artifacts cannot be compared, there is a message on standard error and nothing on standard output; the exit
    status is then 1 if one of them is damaged, and 3 if it is not there or for any other reason.
    """
    from exporter.diff import diff as difference
    from exporter.progress import progress

    with progress("diff", None, warn) as listener:
        found = difference.compare(
            a, b, aspects, tolerance=tolerance, image_size=image_size, trust=trust, say=listener.step, debug=debug
        )
    if as_json:
        print_json(found.to_dict())
    else:
        print_text(text.difference_text(found))
    if not found.same:
        raise click.exceptions.Exit(1)
