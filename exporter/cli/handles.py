"""``handles``: old addresses of models, made to work without a change in the programs that have them."""

from collections import Counter
from pathlib import Path

import click

from exporter.cli.commands import Command, Group, examples
from exporter.cli.options import json_option, path_type, print_json, print_text, tell, transfer_options, warn
from exporter.cli.values import HandleType, TextType
from exporter.errors import NOT_DONE, CacheError
from exporter.settings import Settings

#: The variable is `exporter.handles.hub_cache.VARIABLE`, which is imported when it is needed.
_CACHE = click.argument("cache", metavar="DIR", envvar="TFHUB_CACHE_DIR", type=path_type)
_PATTERNS = click.option(
    "--handle",
    "patterns",
    multiple=True,
    metavar="PATTERN",
    type=HandleType("pattern", old=True),
    help="Only handles or addresses that match, such as '*/nasnet_large/*'; repeatable.",
)


@click.group(cls=Group)
def handles() -> None:
    """Make old addresses of models load in unchanged programs.

    DIR is the cache of TensorFlow Hub: what TFHUB_CACHE_DIR names where those programs run, and the default here.
    """


@handles.command(
    "install",
    cls=Command,
    epilog=examples(
        "nasexport handles install ~/tfhub --release https://models.example/release",
        "nasexport handles install ~/tfhub --release dist --handle '*/nasnet_large/*'",
    ),
)
@_CACHE
@click.option(
    "--release",
    "where",
    metavar="DIR|URL",
    default="release",
    show_default=True,
    type=TextType("path or address of a release"),
    help="Where the artifacts are: a release, by its folder or address; or a folder that build wrote.",
)
@_PATTERNS
@click.option("--overwrite", is_flag=True, help="Replace what is there, whoever put it there.")
@transfer_options
@json_option
def install_command(
    cache: Path, where: str, patterns: tuple[str, ...], overwrite: bool, settings: Settings, as_json: bool
) -> None:
    """Fill TensorFlow Hub's cache, so that old addresses load offline.

    hub.load("https://tfhub.dev/google/imagenet/nasnet_large/feature_vector/4") then loads this release's artifact, and
    the same for each address that it was published under, on tfhub.dev and Kaggle. What somebody else put there is
    left, with a warning.
    """
    from exporter.handles import install, sources
    from exporter.progress import progress

    source = sources.source(where, settings)
    wanted = install.chosen(source, patterns)
    with progress("install", len(wanted), warn) as listener:
        found = install.install(cache, source, wanted, overwrite=overwrite, listener=listener)
    for each in found:
        if each.state == "other":
            warn(f"{each.address} has something else there, which was left: --overwrite replaces it")
    if as_json:
        print_json({"cache": str(cache), "addresses": [each.to_dict() for each in found]})
    else:
        # An artifact has nine addresses: the others are told by --json and `nasexport handles list`.
        numbers = Counter((each.handle, each.state) for each in found)
        width = max(len(handle) for handle, _ in numbers)
        lines = [f"{state:<9}  {handle:<{width}}  {_addresses(number)}" for (handle, state), number in numbers.items()]
        print_text("\n".join(lines))
        tell(f"install: set TFHUB_CACHE_DIR={cache.absolute()} where programs run")


def _addresses(number: int) -> str:
    return "1 address" if number == 1 else f"{number:,} addresses"


@handles.command(
    "list", cls=Command, epilog=examples("nasexport handles list ~/tfhub", "nasexport handles list ~/tfhub --json")
)
@_CACHE
@json_option
def list_command(cache: Path, as_json: bool) -> None:
    """List the addresses that load from TensorFlow Hub's cache."""
    from exporter.handles import hub_cache

    found = list(hub_cache.entries(cache))
    if as_json:
        print_json({"cache": str(cache), "addresses": [each.to_dict() for each in found]})
        return
    lines = [
        f"{'nasexport' if each.installed else 'other':<9}  {each.bytes / 1e6:8,.1f} MB  {each.address}"
        for each in found
    ]
    print_text("\n".join(lines or [f"{cache} has no addresses"]))


@handles.command(
    "remove",
    cls=Command,
    epilog=examples("nasexport handles remove ~/tfhub", "nasexport handles remove ~/tfhub --handle '*/nasnet_large/*'"),
)
@_CACHE
@_PATTERNS
def remove_command(cache: Path, patterns: tuple[str, ...]) -> None:
    """Remove what install put there; prints each address.

    What somebody else put there is left.
    """
    from exporter.handles import hub_cache, install

    found = install.removable(cache, patterns)
    if not found:
        what = f"that matches {', '.join(patterns)}" if patterns else "that nasexport installed"
        raise CacheError(f"{cache} has nothing {what}: see `nasexport handles list`", status=NOT_DONE)
    for each in found:
        hub_cache.remove(each)
        print_text(each.address)
