"""``fetch``, ``lock``, ``cache`` and ``synth``: checkpoints, published or synthetic."""

import dataclasses
from pathlib import Path
from typing import Any

import click

from exporter import terminal
from exporter.checkpoint.jobs import LAYOUTS, SYNTHESIZE, Layout, SynthesizeRequest
from exporter.cli import text
from exporter.cli.commands import Command, Group, examples
from exporter.cli.options import (
    archived_models,
    cache_options,
    fetching_options,
    json_option,
    model_type,
    path_type,
    print_json,
    print_path,
    print_text,
    tell,
    warn,
)
from exporter.fetch import cache_maintenance, remote
from exporter.fetch.addresses import without_password
from exporter.fetch.cache import Cache, Entry
from exporter.fetch.cache_maintenance import size_below
from exporter.fetch.lock import locked_archives
from exporter.fetch.published import cached, synthetic_archives
from exporter.files import staging
from exporter.models.config import model
from exporter.processes import run
from exporter.settings import Settings
from exporter.terminal import counted
from exporter.validation import to_plain

_models = click.argument("names", metavar="MODEL...", nargs=-1, type=model_type)
_all = click.option("--all", "every", is_flag=True, help="All models that have a published archive.")


@click.command(
    cls=Command,
    epilog=examples(
        "nasexport fetch nasnet_large", "nasexport fetch --all --mirror https://mirror.example/checkpoints/"
    ),
)
@_models
@_all
@fetching_options
@json_option
@click.pass_obj
def fetch(debug: bool, names: tuple[str, ...], every: bool, settings: Settings, as_json: bool) -> None:
    """Download published archives into the cache.

    Each is checked, and its path printed. An archive that checkpoints.lock pins must have exactly the pinned bytes.
    One that is not pinned must have the size and hash that its server states, and contain every variable of its model,
    undamaged.
    """
    from exporter.fetch.published import fetch
    from exporter.progress import progress

    configs = archived_models(names, every)
    entries = []
    with progress("fetch", len(configs), warn) as listener:
        for config in configs:
            listener.step(config.name)
            entries.append(fetch(config, settings, listener, debug=debug))
    made_up = synthetic_archives(settings)
    for entry in entries:
        if entry.sha256 in made_up:
            tell(f"nasexport: {entry.name} is SYNTHETIC: made-up weights, not the published ones")
    if as_json:
        print_json([_entry_row(entry, made_up) for entry in entries])
    else:
        for entry in entries:
            print_path(entry.path)


def _entry_row(entry: Entry, synthetic: set[str]) -> dict[str, Any]:
    return {
        "name": entry.name,
        "sha256": entry.sha256,
        "size": entry.size,
        "path": str(entry.path),
        **to_plain(entry.record),
        "synthetic": entry.sha256 in synthetic,
    }


@click.command(cls=Command, epilog=examples("nasexport lock --all", "nasexport lock nasnet_large --update --json"))
@_models
@_all
@click.option("--update", is_flag=True, help="Also replace existing pins.")
@click.option("--allow-synthetic", is_flag=True, help="Also pin synthetic archives, and mark them as such.")
@fetching_options
@json_option
@click.pass_obj
def lock(
    debug: bool,
    names: tuple[str, ...],
    every: bool,
    update: bool,
    allow_synthetic: bool,
    settings: Settings,
    as_json: bool,
) -> None:
    """Fetch archives, and pin their sizes and hashes.

    Their contents are checked, and what is found is written to checkpoints.lock. That file is the one in the current
    folder or the nearest above it, or the one that --lock-file names.
    """
    from exporter.fetch.pin import pin
    from exporter.progress import progress

    configs = archived_models(names, every)
    pinned = []
    with progress("lock", len(configs), warn) as listener:
        for config in configs:
            listener.step(config.name)
            pinned.append(
                pin(
                    config,
                    settings,
                    update=update,
                    allow_synthetic=allow_synthetic,
                    listener=listener,
                    debug=debug,
                )
            )
    if as_json:
        rows = [dataclasses.asdict(archive) for archive in pinned]
        print_json([{**row, "url": without_password(row["url"]), "lock_file": str(row["lock_file"])} for row in rows])
    else:
        for archive in pinned:
            made_up = ", SYNTHETIC" if archive.synthetic else ""
            print_text(
                f"{archive.name}: {archive.size:,} bytes, sha256 {archive.sha256}, "
                f"{counted(len(archive.files), 'file')}{made_up}, written to {archive.lock_file}"
            )


@click.group(cls=Group)
def cache() -> None:
    """Manage the cache of fetched archives."""


@cache.command("list", cls=Command, epilog=examples("nasexport cache list", "nasexport cache list --json"))
@cache_options
@json_option
def cache_list(settings: Settings, as_json: bool) -> None:
    """List the archives in the cache, with sizes."""
    store = Cache(settings.cache)
    pins = {locked.sha256 for locked in locked_archives(settings.lock).values()}
    made_up = synthetic_archives(settings)
    facts = {
        "folder": str(store.folder),
        "archives": [
            {
                **_entry_row(entry, made_up),
                "pinned": entry.sha256 in pins,
                "unpacked_size": size_below(store.unpacked_folder(entry.sha256)),
            }
            for entry in store.entries()
        ],
        "copies": [
            {"path": str(path), "address": remote.address_of(path), "size": size_below(path)}
            for path in cache_maintenance.copies(store)
        ],
        "outputs": [{"path": str(path), "size": size_below(path)} for path in cache_maintenance.outputs(store)],
        "leftovers": [{"path": str(path), "size": size_below(path)} for path in cache_maintenance.leftovers(store)],
        "size": size_below(store.folder) if store.folder.is_dir() else 0,
    }
    if as_json:
        print_json(facts)
    else:
        print_text(text.cache_text(facts))


@cache.command("verify", cls=Command, epilog=examples("nasexport cache verify", "nasexport cache verify --json"))
@cache_options
@json_option
def cache_verify(settings: Settings, as_json: bool) -> None:
    """Hash everything in the cache.

    Exits with 1 if anything is damaged. Damaged archives are moved aside, and damaged unpacked files are removed: both
    are fetched or unpacked again when needed. A cache that cannot be written is only checked.
    """
    from exporter.progress import progress

    store = Cache(settings.cache)
    with progress("verify", len(store.entries()), warn) as listener:
        rows = cache_maintenance.verify(store, listener)
    if as_json:
        print_json(rows)
    else:
        for row in rows:
            line = f"ok   {row['path']}" if row["sound"] else f"FAIL {row['path']}: {row['fault']}"
            print_text(terminal.printable(line))
    if not all(row["sound"] for row in rows):
        raise click.exceptions.Exit(1)


@cache.command(
    "prune", cls=Command, epilog=examples("nasexport cache prune --dry-run", "nasexport cache prune --unpacked")
)
@click.option("--unpacked", is_flag=True, help="Also remove unpacked files; they are unpacked again when needed.")
@click.option("--copies", is_flag=True, help="Also remove copies of what lies in stores; they are made again.")
@click.option("--outputs", is_flag=True, help="Also remove what stopped runs of embed computed for a store.")
@click.option("--all", "every", is_flag=True, help="Remove all archives and copies.")
@click.option("-n", "--dry-run", is_flag=True, help="Only print what would be removed.")
@cache_options
def cache_prune(settings: Settings, unpacked: bool, copies: bool, outputs: bool, every: bool, dry_run: bool) -> None:
    """Remove what no model needs.

    That is superseded archives, incomplete downloads and rejected files. An archive is superseded if checkpoints.lock
    pins another one, or if a newer one of its name was fetched. What another process is fetching is not removed.
    """
    store = Cache(settings.cache)
    wanted = {entry.sha256 for entry in cached(settings).values()}
    locked = locked_archives(settings.lock)
    # An archive that this lock file does not name may be pinned by another one.
    keep = lambda entry: not every and (entry.sha256 in wanted or entry.name not in locked)  # noqa: E731
    removed = cache_maintenance.prune(
        store, keep, unpacked=unpacked or every, copied=copies or every, computed=outputs, dry_run=dry_run
    )
    for path, size in removed:
        click.echo(f"{terminal.printable(str(path))}\t{size}")
    total = sum(size for _, size in removed)
    tell(f"{'would free' if dry_run else 'freed'} {counted(total, 'byte')}")


@cache.command("path", cls=Command, epilog=examples("nasexport cache path", 'du -sh "$(nasexport cache path)"'))
@cache_options
def cache_path(settings: Settings) -> None:
    """Print the path of the cache."""
    print_path(settings.cache)


@click.command(
    cls=Command,
    epilog=examples(
        "nasexport synth nasnet_mobile --output synthetic.tar.gz",
        "nasexport synth pnasnet_large --output checkpoint/model.ckpt --seed 1",
    ),
)
@click.argument("name", metavar="MODEL", type=model_type)
@click.option("--output", type=path_type, required=True, help="Checkpoint prefix or .tar.gz file to write.")
@click.option("--layout", type=click.Choice(LAYOUTS), default="plain", show_default=True)
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True)
@click.pass_obj
def synth(debug: bool, name: str, output: Path, layout: Layout, seed: int) -> None:
    """Write a checkpoint with made-up weights, to try things with.

    It has the exact layout of the published one. The weights depend only on the seed. The recorded outputs of the
    original networks belong to the weights of seed 0. The metadata of artifacts that are built from it say that it is
    synthetic.
    """
    from exporter.progress import progress

    request = SynthesizeRequest(model(name), output, layout, seed)
    with progress(f"synthetic {name}", None) as listener:
        try:
            result = run.run(SYNTHESIZE, request, listener.step, debug).result
        finally:
            # A process that was ended cannot do it itself.
            staging.sweep_beside(output)
    for path in result.files:
        print_path(Path(path))
