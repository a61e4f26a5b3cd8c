"""Fetching a tiny network's archive: what it is, the command with a lock file for it, and what must come of it."""

import hashlib
import io
import json
import random
import tarfile
from pathlib import Path

import yaml

from tests.support.command import (
    Command,
    Result,
    files_below,
    succeeded,
)
from tests.support.fixtures import TINY, TINY_PNASNET

ARCHIVE = "nasnet-a_mobile_04_10_2017"
FILE = f"{ARCHIVE}.tar.gz"
OTHER = "0" * 64
#: So that failing takes seconds, not minutes; a busy machine needs one of them to connect and shake hands.
IMPATIENT = ("--timeout", 1.5, "--retries", 2)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def pins(content: bytes) -> dict[str, object]:
    return {"size": len(content), "sha256": sha256(content)}


def altered(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


#: What the archive has beside the network, which alone would be over before anything could happen to its transfer.
README = random.Random(0).randbytes(250_000)


def packed(files: list[Path], folder: Path) -> bytes:
    path = folder / FILE
    with tarfile.open(path, "w:gz") as tar:
        for file in files:
            tar.add(file, arcname=file.name)
        readme = tarfile.TarInfo("README")
        readme.size = len(README)
        tar.addfile(readme, io.BytesIO(README))
    return path.read_bytes()


def locked(command: Command, url: str, **pins: object) -> Command:
    """The command with a lock file that says where the archive is, and the two networks that ask for it."""
    lines = ["# What the archives are.", f'[checkpoint."{ARCHIVE}"]', f"url = {json.dumps(url)}  # its home"]
    lines += [f"{name} = {json.dumps(value)}" for name, value in pins.items()]
    lock = command.folder / "checkpoints.lock"
    command.folder.mkdir(parents=True, exist_ok=True)
    lock.write_text("\n".join(lines) + "\n", encoding="utf-8")
    for fields in (TINY, TINY_PNASNET):
        path = command.folder / f"{fields['name']}.yaml"
        path.write_text(yaml.safe_dump({**fields, "checkpoint": ARCHIVE}), encoding="utf-8")
    return command.with_variables(NASEXPORT_LOCK=str(lock), NO_PROXY="127.0.0.1")


def fetch(command: Command, *options: object) -> Result:
    return command("fetch", command.folder / "tiny_nasnet.yaml", *IMPATIENT, *options)


def require_whole(command: Command, result: Result, content: bytes) -> Path:
    """The path that a successful fetch printed, with the right bytes, where the cache keeps them."""
    path = Path(succeeded(result).stdout.strip())
    assert path == command.cache / "archives" / sha256(content) / FILE
    assert path.read_bytes() == content
    return path


def require_nothing_that_looks_whole(command: Command) -> None:
    assert not any(name.endswith((".tar.gz", ".index")) or ".data-" in name for name in files_below(command.cache))
    assert files_below(command.temporary) == []
