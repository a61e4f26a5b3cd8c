"""Archives, and a server that has one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.faulty_server import FaultyServer, Served, serving
from tests.support.fetching import packed


@pytest.fixture(scope="module")
def content(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The archive of a tiny network's synthetic checkpoint."""
    return packed(sorted(tiny_checkpoint.parent.iterdir()), tmp_path_factory.mktemp("packed"))


@pytest.fixture(scope="module")
def others_content(tiny_pnasnet_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A sound archive of another network."""
    return packed(sorted(tiny_pnasnet_checkpoint.parent.iterdir()), tmp_path_factory.mktemp("packed"))


@pytest.fixture
def server(content: bytes) -> Iterator[FaultyServer]:
    with serving(FaultyServer(Served(content))) as running:
        yield running
