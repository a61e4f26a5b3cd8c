"""``inspect``: what files say of artifacts and checkpoints."""

import contextlib
import dataclasses
from pathlib import Path

import click

from exporter.artifact import packed
from exporter.artifact.below import artifacts_below
from exporter.artifact.folder import format_of
from exporter.artifact.jobs import INSPECT, InspectRequest
from exporter.checkpoint import source
from exporter.checkpoint.files import means_checkpoint
from exporter.checkpoint.jobs import DESCRIBE_CHECKPOINT, CheckpointDescription, DescribeCheckpointRequest
from exporter.cli import text
from exporter.cli.commands import Command, examples
from exporter.cli.options import json_option, model_type, path_type, print_json, print_text
from exporter.models.config import model
from exporter.models.config import models as known_models
from exporter.processes import run


@click.command(
    cls=Command,
    epilog=examples(
        "nasexport inspect dist", "nasexport inspect dist/google/imagenet/nasnet_large/classification/4 --json"
    ),
)
@click.argument("path", metavar="PATH", type=path_type)
@click.option("--model", "name", metavar="MODEL", type=model_type, help="Network that a checkpoint should be of.")
@json_option
@click.pass_obj
def inspect(debug: bool, path: Path, name: str | None, as_json: bool) -> None:
    """Describe an artifact or a checkpoint, or list a folder's.

    PATH is the folder of an artifact, or a .tar.gz of it as the hub served them; a folder with artifacts somewhere
    below it, as build and release write, which are listed; or the prefix of a checkpoint, one of
    its files, or the folder that holds it. Of a checkpoint, the index is read: the names, types and shapes of its
    variables, and which network they are of, of those that nasexport knows or of the one that --model names.
    """
    if _is_checkpoint(path):
        described = _described(path, name, debug)
        if as_json:
            print_json(described.to_dict())
        else:
            print_text(text.checkpoint_text(described))
        return
    if name:
        raise click.UsageError("--model can be used with a checkpoint only")
    if path.is_dir() and format_of(path) is None and (found_below := artifacts_below(path)):
        if as_json:
            print_json({"path": str(path), "artifacts": [each.to_dict() for each in found_below]})
        else:
            print_text(text.below_text(path, found_below))
        return
    with packed.opened(path) as folder:
        found = run.run(INSPECT, InspectRequest(folder), debug=debug).result
    found = dataclasses.replace(found, path=str(path))
    if as_json:
        print_json(found.to_dict())
    else:
        print_text(text.inspection_text(found))


def _is_checkpoint(path: Path) -> bool:
    with contextlib.suppress(OSError):  # whoever opens it says what is wrong
        return format_of(path) is None and means_checkpoint(path)
    return False


def _described(path: Path, name: str | None, debug: bool) -> CheckpointDescription:
    configs = (model(name),) if name else tuple(known_models().values())
    with source.named(path):
        request = DescribeCheckpointRequest(source.find_prefix(path), configs)
        return dataclasses.replace(run.run(DESCRIBE_CHECKPOINT, request, debug=debug).result, path=str(path))
