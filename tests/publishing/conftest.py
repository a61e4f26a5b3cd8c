"""Releases to publish, those of ``tests/release``, and where they are published to."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.release.conftest import copied as copied
from tests.release.conftest import inputs as inputs
from tests.release.conftest import inputs_of_one as inputs_of_one
from tests.release.conftest import released as released
from tests.release.conftest import released_of_one as released_of_one
from tests.support.command import CHECKOUT, Command, Result, succeeded
from tests.support.faulty_server import serving
from tests.support.model_hub import Hub


@pytest.fixture
def hub() -> Iterator[Hub]:
    """A hub for models on this machine."""
    with serving(Hub()) as server:
        yield server


def publish(cli: Command, *args: object) -> Result:
    return cli("release", "publish", *args)


def published(cli: Command, *args: object) -> list[dict[str, Any]]:
    """What ``--json`` says was done, or with ``--plan`` would be, at each target."""
    return json.loads(succeeded(publish(cli, *args, "--json")).stdout)["targets"]


def states(target: dict[str, Any]) -> dict[str, int]:
    """How many files are in each state."""
    found: dict[str, int] = {}
    for file in target["files"]:
        found[file["state"]] = found.get(file["state"], 0) + 1
    return found


def size_of(release: Path) -> int:
    return sum(1 for path in release.rglob("*") if path.is_file())


def restore_empty_folders(release: Path) -> None:
    """What ``docs/how-to/publish.md`` says to do with what was downloaded from a store that keeps no empty folders."""
    page = (CHECKOUT / "docs" / "how-to" / "publish.md").read_text(encoding="utf-8")
    script = next(block for block in re.findall(r"```sh\n(.*?)```", page, re.DOTALL) if "tar -xzf" in block)
    subprocess.run(["sh", "-ec", script], cwd=release, check=True)
