"""A small release, made once for all processes of a run and for later runs of the same code."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from tests.support import small_release
from tests.support.command import Command, Result, succeeded
from tests.support.shared import Store
from tests.support.small_release import SMALL

#: What a release that is kept depends on besides the exporter.
_SOURCES = (__file__, small_release.__file__)


@pytest.fixture(scope="session")
def inputs(cli: Command, kept: Store) -> list[object]:
    """The options that name two small networks and their checkpoints."""

    def make(folder: Path) -> None:
        for name in SMALL:
            config = folder / f"{name}.yaml"
            config.write_text(yaml.safe_dump(small_release.fields(name)))
            succeeded(cli("synth", config, "--output", folder / f"{name}.tar.gz"))

    folder = kept.made("release_inputs", make, *_SOURCES)
    options: list[object] = []
    for name in SMALL:
        options += ["--models", folder / f"{name}.yaml", "--checkpoint", f"{name}={folder / name}.tar.gz"]
    return options


@pytest.fixture(scope="session")
def released(cli: Command, inputs: list[object], kept: Store) -> tuple[Path, Result]:
    """A release made in one go, and what the command printed. Nothing in it may be changed."""

    def make(folder: Path) -> None:
        command = ("release", *inputs, "--output", folder / "release")
        result = succeeded(cli.with_variables(PYTHONHASHSEED="1")(*command))
        (folder / "printed.json").write_text(json.dumps([result.stdout, result.stderr]), encoding="utf-8")

    folder = kept.made("released", make, *_SOURCES)
    printed = json.loads((folder / "printed.json").read_text(encoding="utf-8"))
    return folder / "release", Result("nasexport", 0, *printed)


@pytest.fixture(scope="session")
def inputs_of_one(inputs: list[object]) -> list[object]:
    """The options that name one of the two networks and its checkpoint."""
    return inputs[:4]


@pytest.fixture(scope="session")
def released_of_one(cli: Command, inputs_of_one: list[object], kept: Store) -> Path:
    """A release of one network, made in one go. Nothing in it may be changed."""

    def make(folder: Path) -> None:
        succeeded(cli("release", *inputs_of_one, "--output", folder / "release"))

    return kept.made("released_of_one", make, *_SOURCES) / "release"


@pytest.fixture(scope="session")
def parts(cli: Command, inputs: list[object], kept: Store) -> list[Path]:
    """The same release in two parts, each made by one process at a time, in another order."""

    def make(folder: Path) -> None:
        for number in (2, 1):
            options = ("--shard", f"{number}/2", "--jobs", 1, "--memory", "1M", "--output", folder / f"part {number}")
            succeeded(cli.with_variables(PYTHONHASHSEED="2")("release", *inputs, *options))

    folder = kept.made("release_parts", make, *_SOURCES)
    return [folder / f"part {number}" for number in (2, 1)]


@pytest.fixture
def copied(released: tuple[Path, Result], tmp_path: Path) -> Path:
    """A copy of the release that a test may change."""
    return shutil.copytree(released[0], tmp_path / "copy")
