"""The process that checks an archive that is not pinned: it gets the options of the command that needs it."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from tests.support.command import Command, artifact_folder, refusal, succeeded
from tests.support.fixtures import TINY

ARCHIVE = "nasnet-a_mobile_04_10_2017"


@pytest.fixture
def unpinned(own_cli: Command, tiny: Path) -> Command:
    """A command that gets an archive which is not pinned from a folder."""
    mirror = own_cli.folder / "mirror"
    succeeded(own_cli("synth", tiny, "--output", mirror / f"{ARCHIVE}.tar.gz"))
    lock = own_cli.folder / "checkpoints.lock"
    url = f"https://example.invalid/{ARCHIVE}.tar.gz"
    lock.write_text(f'[checkpoint."{ARCHIVE}"]\nurl = {json.dumps(url)}\n', encoding="utf-8")
    return own_cli.with_variables(NASEXPORT_LOCK=str(lock), NASEXPORT_MIRROR=str(mirror), NASEXPORT_OFFLINE="1")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "tiny_nasnet.yaml"
    path.write_text(yaml.safe_dump({**TINY, "checkpoint": ARCHIVE}), encoding="utf-8")
    return path


@pytest.mark.parametrize("command", [("fetch",), ("lock", "--allow-synthetic")])
def test_debug_shows_what_it_says(unpinned: Command, model: Path, tmp_path: Path, command: tuple[str, ...]) -> None:
    saying = unpinned.with_job_doing("INVENTORY", "print('reading it all', file=sys.stderr)", tmp_path)
    assert "reading it all" not in succeeded(saying("fetch", model)).stderr
    shutil.rmtree(unpinned.cache)
    assert "reading it all" in succeeded(saying("--debug", *command, model)).stderr


@pytest.mark.long
def test_verify_limits_its_time(unpinned: Command, model: Path, tiny_artifacts: Path, tmp_path: Path) -> None:
    copy = tmp_path / "foreign"
    shutil.copytree(artifact_folder(tiny_artifacts, "tiny_nasnet", "feature_vector", 5), copy)
    (copy / "nasexport.json").unlink()
    hanging = unpinned.with_job_doing("INVENTORY", "time.sleep(600)", tmp_path)
    message = refusal(hanging("verify", copy, "--model", model, "--time-limit", 5))
    assert "'inventory' took longer than 5 s" in message and "--time-limit" in message
