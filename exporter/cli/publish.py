"""``release publish``: a release to where others load it from."""

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import click

from exporter.cli.commands import Command, examples
from exporter.cli.options import json_option, path_type, print_json, print_text, warn
from exporter.cli.values import HandleType, TextType
from exporter.publishing.options import TargetOptions, Visibility


@click.command(
    "publish",
    cls=Command,
    epilog=examples(
        "nasexport release publish release s3://bucket/nasnet --plan",
        "nasexport release publish release hf://OWNER/{model} --create public",
    ),
)
@click.argument("folder", metavar="DIR", type=path_type)
@click.argument("target", metavar="TARGET", type=TextType("target"))
@click.option("--plan", "only_plan", is_flag=True, help="Only print what would be sent and removed.")
@click.option(
    "--remove",
    multiple=True,
    metavar="HANDLE",
    type=HandleType("handle"),
    help="Remove this artifact there, which is not in the release; repeatable.",
)
@click.option("--create", type=click.Choice(get_args(Visibility)), help="Make the repository if it is missing (hf).")
@click.option("--tag", metavar="NAME", type=TextType("tag"), help="Name this state of the repository (hf).")
@click.option("--read-back", is_flag=True, help="Read every byte there, even where the target states its hash.")
@json_option
def publish(
    folder: Path,
    target: str,
    only_plan: bool,
    remove: Sequence[str],
    create: Visibility | None,
    tag: str | None,
    read_back: bool,
    as_json: bool,
) -> None:
    """Put a release where others load it from.

    That is a bucket, a folder, the Hugging Face Hub or Kaggle. TARGET is a folder, an address of fsspec's
    (s3://bucket/path, gs://bucket/path), hf://OWNER/NAME or kaggle://OWNER/MODEL. With {model} in it, such as
    hf://OWNER/{model}, each model goes to a place of its own.

    Only a release whose files are sound is published, and only what has changed is sent; each file is read back, and
    the manifest is the last. After a stop, the same command continues. Nothing is removed unless --remove names it.
    Credentials are those that each service's own tools use, in the environment or in its files.
    """
    from exporter.cli import publish_text
    from exporter.progress import progress
    from exporter.publishing import publish as library

    options = TargetOptions(create, tag, read_back)
    with (
        progress("publish", None, warn) as listener,
        library.prepared(folder, target, options, remove=remove, listener=listener) as publishings,
    ):
        if not only_plan:
            library.carry_out(publishings, listener)
        plans = [each.plan for each in publishings]
    if as_json:
        print_json({"release": str(folder), "published": not only_plan, "targets": [plan.to_dict() for plan in plans]})
    else:
        print_text(publish_text.plan(plans) if only_plan else publish_text.done(plans))
