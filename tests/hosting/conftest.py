"""Releases to serve, and servers of them."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.addresses import NAME
from tests.support.command import Command
from tests.support.releases import write_release
from tests.support.servers import Served, serving


def _release(folder: Path) -> Path:
    """A release of two artifacts that cannot be loaded; their archives are larger than socket buffers."""
    artifacts = [folder / "source" / NAME / version for version in "45"]
    for artifact in artifacts:
        (artifact / "variables").mkdir(parents=True)
        (artifact / "saved_model.pb").write_bytes(b"graph")
        (artifact / "notes.txt").write_bytes(b"")
        (artifact / "variables" / "variables.index").write_bytes(os.urandom(12_000_000))
    return write_release(folder / "release", artifacts)


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release that no test may change."""
    return _release(tmp_path_factory.mktemp("release"))


@pytest.fixture(scope="module")
def served(cli: Command, release: Path) -> Iterator[Served]:
    with serving(cli, release) as served:
        yield served


@pytest.fixture
def own_release(release: Path, tmp_path: Path) -> Path:
    """A release that a test may change."""
    return shutil.copytree(release, tmp_path / "release")
