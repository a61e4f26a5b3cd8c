"""``release``: making all published artifacts, or parts of them, and checking them."""

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from exporter.cli.options import (
    device_option,
    fetching_options,
    json_option,
    path_type,
    print_json,
    print_path,
    print_text,
    warn,
)
from exporter.cli.values import require_name
from exporter.errors import SigningError
from exporter.models.config import ModelConfig, model
from exporter.models.config import models as known_models
from exporter.settings import Settings

#: More than there are artifacts, so that each can be made on its own.
_MOST_PARTS = 1000
_SIZE = re.compile(r"(?P<number>[0-9]{1,15}(?:\.[0-9]{1,9})?) *(?P<unit>[MGT]?)i?B?", re.IGNORECASE)
#: Processes, each of a gigabyte and more.
_MOST_JOBS = 1024
#: The passphrase of a key, where no terminal can ask for it.
_PASSPHRASE = "NASEXPORT_SIGN_PASSPHRASE"
_UNITS = {"": 1, "M": 10**6, "G": 10**9, "T": 10**12}


def _comma_separated(values: Sequence[str]) -> list[str]:
    """``--models a,b`` and ``--models a --models b`` are the same; a value without a name is no leave to take all."""
    for value in values:
        require_name(value.strip(" ,"), "list of names")
    return list(dict.fromkeys(name.strip() for value in values for name in value.split(",") if name.strip()))


def _models(_context: click.Context, _parameter: click.Parameter, values: Sequence[str]) -> list[ModelConfig]:
    names = _comma_separated(values)
    return [model(name) for name in names] or [config for config in known_models().values() if config.published]


def _versions(_context: click.Context, _parameter: click.Parameter, values: Sequence[str]) -> list[int] | None:
    for value in (names := _comma_separated(values)):
        if not re.fullmatch(r"[0-9]{1,9}", value):
            raise click.BadParameter(f"{value!r} is not a version: expected numbers, such as 3,4")
    return [int(name) for name in names] or None


def _shard(_context: click.Context, _parameter: click.Parameter, value: str | None) -> tuple[int, int] | None:
    if value is None:
        return None
    match = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", value)
    if not match or not 1 <= int(match[1]) <= int(match[2]) <= _MOST_PARTS:
        expected = f"I/N with I from 1 to N and N at most {_MOST_PARTS}, such as 1/3"
        raise click.BadParameter(f"{value!r} is not a part: expected {expected}")
    return int(match[1]), int(match[2])


def _memory(_context: click.Context, _parameter: click.Parameter, value: str | None) -> int | None:
    if value is None:
        return None
    match = _SIZE.fullmatch(value.strip())
    if not match:
        raise click.BadParameter(f"{value!r} is not a size: expected one such as 4G or 800M")
    return int(float(match["number"]) * _UNITS[match["unit"].upper()])


def _checkpoints(_context: click.Context, _parameter: click.Parameter, values: Sequence[str]) -> dict[str, Path]:
    pairs = [value.partition("=") for value in values]
    for name, _, path in pairs:
        if not path or not name:
            raise click.BadParameter(f"{name!r} has no {'path' if name else 'model'}: expected MODEL=PATH")
        require_name(path, "path")
    return {name: Path(path) for name, _, path in pairs}


def _require_models_of(checkpoints: dict[str, Path], configs: Sequence[ModelConfig]) -> None:
    for name in checkpoints:
        if name not in {config.name for config in configs}:
            raise click.UsageError(
                f"--checkpoint names {name}, expected one of the models {', '.join(config.name for config in configs)}"
            )


_checkpoint_option = click.option(
    "--checkpoint",
    "checkpoints",
    multiple=True,
    metavar="MODEL=PATH",
    callback=_checkpoints,
    help="Weights of a model; repeatable. [default: the published archives]",
)
_jobs_option = click.option(
    "--jobs",
    type=click.IntRange(1, _MOST_JOBS),
    default=2,
    show_default=True,
    help="Processes to run at the same time.",
)
_memory_option = click.option(
    "--memory",
    metavar="SIZE",
    callback=_memory,
    help="Memory for all processes, such as 8G. [default: 90 % of what is free]",
)


@click.group("release", invoke_without_command=True)
@click.option(
    "--models",
    "configs",
    multiple=True,
    metavar="MODEL,...",
    callback=_models,
    help="Only these. [default: all published models]",
)
@click.option("--versions", multiple=True, metavar="N,...", callback=_versions, help="Only these. [default: all]")
@click.option("--output", type=path_type, default=Path("release"), show_default=True, help="Folder of the release.")
@click.option("--shard", metavar="I/N", callback=_shard, help="Make part I of N, to be joined with `release merge`.")
@click.option("--plan", "only_plan", is_flag=True, help="Only print which artifacts are done, missing or stale.")
@_checkpoint_option
@_jobs_option
@_memory_option
@device_option()
@fetching_options
@json_option
@click.pass_context
def release(
    context: click.Context,
    configs: list[ModelConfig],
    versions: list[int] | None,
    output: Path,
    shard: tuple[int, int] | None,
    only_plan: bool,
    checkpoints: dict[str, Path],
    jobs: int,
    memory: int | None,
    settings: Settings,
    as_json: bool,
) -> None:
    """Make all published artifacts, verified, with their pages, in a folder that any web server can serve.

    Artifacts that exist and are up to date are not made again, so the same command continues after a stop. If an
    artifact fails, the others are still made, but the folder gets no manifest and the exit status is 1.
    """
    if context.invoked_subcommand:
        return
    from exporter.cli import release_text
    from exporter.progress import progress
    from exporter.release import make as library
    from exporter.release import plan as release_plan

    _require_models_of(checkpoints, configs)
    targets = release_plan.targets(configs, versions)
    if shard:
        targets = release_plan.shard(targets, *shard)
    if only_plan:
        with progress("plan", len(targets), warn) as listener:
            plan = library.plan(targets, output, checkpoints, settings, listener=listener)
        if as_json:
            print_json({"artifacts": [each.to_dict() for each in plan], "matrix": release_plan.matrix(plan)})
        else:
            print_text(release_text.plan(plan))
        return
    with progress("release", library.steps(targets), warn) as listener:
        outcome = library.make(
            targets, output, checkpoints, settings, jobs=jobs, memory=memory, listener=listener, debug=context.obj
        )
    if as_json:
        print_json({"release": str(output), **outcome.to_dict()})
    else:
        print_text(release_text.outcome(output, outcome))
    if outcome.failed:
        context.exit(1)


@release.command()
@click.argument("parts", metavar="PART...", nargs=-1, required=True, type=path_type)
@click.option(
    "--output", type=path_type, required=True, help="Folder of the joined release; it may be one of the parts."
)
def merge(parts: Sequence[Path], output: Path) -> None:
    """Join parts of a release, made with --shard, --models or --versions; prints the folder of the whole.

    All files of the parts are checked. They are hard-linked where the file system allows it, else copied.
    """
    from exporter.progress import progress
    from exporter.release import merge as release_merge

    with progress("merge", None, warn) as listener:
        release_merge.merge(parts, output, listener=listener)
    print_path(output)


@release.command("sign")
@click.argument("folder", metavar="DIR", type=path_type)
@click.option(
    "--key",
    metavar="FILE",
    type=path_type,
    help="A private Ed25519 or ECDSA key, as ssh-keygen makes. [default: sigstore asks who you are]",
)
@click.option("--overwrite", is_flag=True, help="Replace a signature that is there.")
def sign(folder: Path, key: Path | None, overwrite: bool) -> None:
    """Sign a release whose files are sound, and print who signed it.

    What is signed is its provenance, which has the hashes of all other files. The passphrase of a key is asked for, or
    read from the variable NASEXPORT_SIGN_PASSPHRASE. Without a key, sigstore certifies who signs: needs the network.
    """
    from exporter.release import sign as release_sign

    terminal = sys.stdin.isatty() and sys.stderr.isatty()
    who = release_sign.sign(folder, key, passphrase=_passphrase, browser=terminal, overwrite=overwrite)
    print_text(f"signed by {who}")


def _passphrase() -> str:
    if (value := os.environ.get(_PASSPHRASE)) is not None:
        return value
    if not sys.stdin.isatty():
        raise SigningError(f"the key is encrypted: set {_PASSPHRASE}, or sign on a terminal")
    answer: str = click.prompt("Passphrase of the key", hide_input=True, err=True)
    return answer


def _signer(signed_by: str | None, issuer: str | None) -> Any:
    """Who should have signed: the path of a public key, an identity, or nobody in particular."""
    from exporter.release.sign import Identity

    if signed_by is None:
        if issuer is not None:
            raise click.UsageError("--issuer says who vouches for an identity: pass that with --signed-by")
        return None
    if issuer is not None:
        return Identity(signed_by, issuer)
    if not Path(signed_by).exists():
        raise click.UsageError(
            f"--signed-by {signed_by} is no file: expected a public key, or an identity together with its --issuer"
        )
    return Path(signed_by)


@release.command("verify")
@click.argument("folder", metavar="DIR", type=path_type)
@_checkpoint_option
@click.option(
    "--signed-by",
    metavar="FILE|IDENTITY",
    help="Who must have signed it: the file of a public key, or an e-mail address or workflow with its --issuer.",
)
@click.option("--issuer", metavar="URL", help="Who vouches for the identity, such as https://accounts.google.com.")
@click.option("--files-only", is_flag=True, help="Check files only, without running models.")
@click.option(
    "--rebuild",
    is_flag=True,
    help="Also export every artifact once more, and compare every byte.",
)
@_jobs_option
@_memory_option
@device_option()
@fetching_options
@json_option
@click.pass_obj
def verify(
    debug: bool,
    folder: Path,
    checkpoints: dict[str, Path],
    signed_by: str | None,
    issuer: str | None,
    files_only: bool,
    rebuild: bool,
    jobs: int,
    memory: int | None,
    settings: Settings,
    as_json: bool,
) -> None:
    """Check a release: all of its files, and what each model computes; exit 1 if any check fails.

    Whatever can be derived is derived again: archives, pages, index, provenance and sums. With --signed-by, a release
    that is not signed by this key or identity fails.
    """
    from exporter.cli import release_text
    from exporter.progress import progress
    from exporter.release import check as release_check
    from exporter.release import sign as release_sign
    from exporter.release import verify as release_verify

    if rebuild and files_only:
        raise click.UsageError("--rebuild exports artifacts, which --files-only rules out")
    who = _signer(signed_by, issuer)
    checks = release_check.check(folder, vouched=who is not None)
    signed = release_sign.NOT_LOOKED_AT
    if all(check.passed for check in checks):
        signed = release_sign.signed(folder, who, offline=settings.offline)
        checks += [signed.check] if signed.check else []
    reports: list[Any] = []
    if not files_only and all(check.passed for check in checks):
        with progress("release verify", None, warn) as listener:
            reports = release_verify.verify(
                folder,
                checkpoints,
                settings,
                jobs=jobs,
                memory=memory,
                again=rebuild,
                listener=listener,
                debug=debug,
            )
    passed = all(check.passed for check in checks) and all(report.passed for report in reports)
    if as_json:
        print_json(
            {
                "release": str(folder),
                "passed": passed,
                "signed_by": signed.by,
                "checks": [check.to_dict() for check in checks],
                "artifacts": [report.to_dict() for report in reports],
            }
        )
    else:
        print_text(release_text.verification(folder, checks, reports, signed.text))
    if not passed:
        raise click.exceptions.Exit(1)
