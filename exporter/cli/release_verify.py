"""``release sign`` and ``release verify``: who made a release, and whether it is right."""

import os
import sys
from pathlib import Path
from typing import Any

import click

from exporter.cli.commands import Command, examples
from exporter.cli.options import device_option, fetching_options, json_option, path_type, print_json, print_text, warn
from exporter.cli.release_options import checkpoint_option, jobs_option, memory_option
from exporter.cli.values import TextType
from exporter.errors import SigningError
from exporter.settings import Settings

#: The passphrase of a key, where no terminal can ask for it.
_PASSPHRASE = "NASEXPORT_SIGN_PASSPHRASE"


@click.command(
    "sign",
    cls=Command,
    epilog=examples("nasexport release sign release", "nasexport release sign release --key ~/.ssh/id_ed25519"),
)
@click.argument("folder", metavar="DIR", type=path_type)
@click.option(
    "--key",
    metavar="FILE",
    type=path_type,
    help="A private Ed25519 or ECDSA key, as ssh-keygen makes. [default: sigstore asks who you are]",
)
@click.option("--overwrite", is_flag=True, help="Replace a signature that is there.")
def sign(folder: Path, key: Path | None, overwrite: bool) -> None:
    """Sign a release; prints who signed it.

    Its files must be sound. What is signed is its provenance, which has the hashes of all other files. The passphrase
    of a key is asked for, or read from the variable NASEXPORT_SIGN_PASSPHRASE. Without a key, sigstore certifies who
    signs: needs the network.
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


@click.command(
    "verify",
    cls=Command,
    epilog=examples(
        "nasexport release verify release --files-only",
        "nasexport release verify release --signed-by key.pub --rebuild",
    ),
)
@click.argument("folder", metavar="DIR", type=path_type)
@checkpoint_option
@click.option(
    "--signed-by",
    type=TextType("name of the signer"),
    metavar="FILE|IDENTITY",
    help="Who must have signed it: the file of a public key, or an e-mail address or workflow with its --issuer.",
)
@click.option(
    "--issuer",
    type=TextType("address of the issuer"),
    metavar="URL",
    help="Who vouches for the identity, such as https://accounts.google.com.",
)
@click.option("--files-only", is_flag=True, help="Check files only, without running models.")
@click.option(
    "--rebuild",
    is_flag=True,
    help="Also export every artifact once more, and compare every byte.",
)
@jobs_option
@memory_option
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
    """Check a release: its files, and what each model computes.

    Exits with 1 if any check fails. Whatever can be derived is derived again: archives, pages, index, provenance and
    sums. With --signed-by, a release that is not signed by this key or identity fails.
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
