"""``release``: making all published artifacts, or parts of them, and checking them."""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

import click

from exporter.cli.commands import Command, Group, examples
from exporter.cli.options import (
    device_option,
    fetching_options,
    json_option,
    path_type,
    print_json,
    print_path,
    print_text,
    suggest,
    warn,
)
from exporter.cli.publish import publish
from exporter.cli.release_options import base_url_option, checkpoint_option, jobs_option, memory_option
from exporter.cli.release_verify import sign, verify
from exporter.cli.values import NamesType, split_names
from exporter.models.config import ModelConfig, model
from exporter.models.config import models as known_models
from exporter.models.formats import FORMATS, Format, Version, written
from exporter.settings import Settings

#: More than there are artifacts, so that each can be made on its own.
_MOST_PARTS = 1000


def _models(_context: click.Context, _parameter: click.Parameter, values: Sequence[str]) -> list[ModelConfig]:
    names = split_names(values)
    return [model(name) for name in names] or [config for config in known_models().values() if config.published]


def _versions(_context: click.Context, _parameter: click.Parameter, values: Sequence[str]) -> list[Version] | None:
    names = split_names(values)
    unnumbered = [name for name in written() if not FORMATS[name].numbered]
    for value in names:
        if not re.fullmatch(r"[0-9]{1,9}", value) and value not in unnumbered:
            or_name = f", or {', '.join(unnumbered)}" if unnumbered else ""
            raise click.BadParameter(f"{value!r} is not a version: expected numbers, such as 3,4{or_name}")
    return [int(name) if name.isdigit() else name for name in names] or None


def _formats(_context: click.Context, _parameter: click.Parameter, values: Sequence[str]) -> list[Format] | None:
    names = split_names(values)
    for value in names if names != ["all"] else ():
        if value not in written():
            raise click.BadParameter(f"{value!r} is not a format: expected {', '.join(written())}, or all")
    return names or None


def _shard(_context: click.Context, _parameter: click.Parameter, value: str | None) -> tuple[int, int] | None:
    if value is None:
        return None
    match = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", value)
    if not match or not 1 <= int(match[1]) <= int(match[2]) <= _MOST_PARTS:
        expected = f"I/N with I from 1 to N and N at most {_MOST_PARTS}, such as 1/3"
        raise click.BadParameter(f"{value!r} is not a part: expected {expected}")
    return int(match[1]), int(match[2])


def _require_models_of(checkpoints: dict[str, Path], configs: Sequence[ModelConfig]) -> None:
    for name in checkpoints:
        if name not in {config.name for config in configs}:
            raise click.UsageError(
                f"--checkpoint names {name}, expected one of the models {', '.join(config.name for config in configs)}"
            )


def _known_versions() -> list[str]:
    return list(dict.fromkeys(str(version) for config in known_models().values() for version in config.all_versions))


@click.group(
    "release",
    cls=Group,
    invoke_without_command=True,
    epilog=examples("nasexport release --plan", "nasexport release --models nasnet_large --formats all --jobs 4"),
)
@click.option(
    "--models",
    "configs",
    multiple=True,
    type=NamesType(known_models),
    metavar="MODEL,...",
    callback=_models,
    help="Only these. [default: all published models]",
)
@click.option(
    "--versions",
    multiple=True,
    type=NamesType(_known_versions),
    metavar="N,...",
    callback=_versions,
    help="Only these. [default: all]",
)
@click.option(
    "--formats",
    multiple=True,
    type=NamesType(lambda: [*written(), "all"]),
    metavar="FORMAT,...",
    callback=_formats,
    help="Only these, or all. [default: those that were published]",
)
@click.option("--output", type=path_type, default=Path("release"), show_default=True, help="Folder of the release.")
@click.option("--shard", metavar="I/N", callback=_shard, help="Make part I of N, to be joined with `release merge`.")
@base_url_option
@click.option("--plan", "only_plan", is_flag=True, help="Only print which artifacts are done, missing or stale.")
@checkpoint_option
@jobs_option
@memory_option
@device_option()
@fetching_options
@json_option
@click.pass_context
def release(
    context: click.Context,
    configs: list[ModelConfig],
    versions: list[Version] | None,
    formats: list[Format] | None,
    output: Path,
    shard: tuple[int, int] | None,
    base_url: str | None,
    only_plan: bool,
    checkpoints: dict[str, Path],
    jobs: int,
    memory: int | None,
    settings: Settings,
    as_json: bool,
) -> None:
    """Make all published artifacts, or check and sign them.

    Each is verified, and has its page, in a folder that any web server can serve. Artifacts that exist and are up to
    date are not made again, so the same command continues after a stop. If an artifact fails, the others are still
    made, but the folder gets no manifest and the exit status is 1.
    """
    if context.invoked_subcommand:
        return
    from exporter.cli import release_text
    from exporter.progress import progress
    from exporter.release import make as library
    from exporter.release import plan as release_plan

    _require_models_of(checkpoints, configs)
    if formats == ["all"]:
        formats = release_plan.all_formats(configs)
    targets = release_plan.targets(configs, versions, formats)
    if shard:
        targets = release_plan.shard(targets, *shard)
    if only_plan:
        with progress("plan", len(targets), warn) as listener:
            plan = library.plan(targets, output, checkpoints, settings, listener=listener)
        if as_json:
            print_json({"artifacts": [each.to_dict() for each in plan], "matrix": release_plan.matrix(plan)})
        else:
            print_text(release_text.plan(plan))
        if settings.frozen:
            library.require_pinned(targets, checkpoints, settings)
        return
    with progress("release", library.steps(targets), warn) as listener:
        outcome = library.make(
            targets,
            output,
            checkpoints,
            settings,
            jobs=jobs,
            memory=memory,
            base_url=base_url,
            listener=listener,
            debug=context.obj,
        )
    if as_json:
        print_json({"release": str(output), **outcome.to_dict()})
    else:
        print_text(release_text.outcome(output, outcome))
        if not outcome.failed:
            suggest(f"nasexport serve {shlex.quote(str(output))}")
    if outcome.failed:
        context.exit(1)


@release.command(
    cls=Command,
    epilog=examples(
        "nasexport release merge part-1 part-2 --output release", "nasexport release merge part-* --output part-1"
    ),
)
@click.argument("parts", metavar="PART...", nargs=-1, required=True, type=path_type)
@click.option(
    "--output", type=path_type, required=True, help="Folder of the joined release; it may be one of the parts."
)
def merge(parts: Sequence[Path], output: Path) -> None:
    """Join parts of a release; prints the folder of the whole.

    They are made with --shard, --models, --versions or --formats. All files of the parts are checked. They are
    hard-linked where the file system allows it, else copied.
    """
    from exporter.progress import progress
    from exporter.release import merge as release_merge

    with progress("merge", None, warn) as listener:
        release_merge.merge(parts, output, listener=listener)
    print_path(output)


for _command in (sign, verify, publish):
    release.add_command(_command)
