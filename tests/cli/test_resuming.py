"""Builds that are repeated after a stop: what is whole and the same is kept, what is different is refused by name."""

import json
import os
import random
import re
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import file_operations
from tests.support.command import TIMEOUT, Command, artifact_folder, files_below, refusal, succeeded
from tests.support.fixtures import TINY
from tests.support.shared import Store

NAME = "tiny_nasnet"
#: So often each of the loops below goes through a build that is killed; more find more.
KILLS = int(os.environ.get("NASEXPORT_TEST_KILLS", "6"))


def _contents(folder: Path) -> dict[str, bytes | None]:
    """Every file below a folder, hidden ones too, with its content; folders have none."""
    return {name: (folder / name).read_bytes() if (folder / name).is_file() else None for name in files_below(folder)}


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture(scope="session")
def quick(cli: Command, tiny: Path, tiny_checkpoint: Path, kept: Store) -> Path:
    """The ``--output`` folder of version 4 of both tasks, not verified, built without a stop."""

    def make(output: Path) -> None:
        succeeded(cli("build", tiny, "--no-verify", "--checkpoint", tiny_checkpoint, "--output", output))

    return kept.made("quick", make, __file__)


@pytest.mark.stops
@pytest.mark.more_stops
def test_a_build_that_is_killed_between_its_tasks_goes_on(
    own_cli: Command, tiny: Path, tiny_checkpoint: Path, tiny_artifacts: Path
) -> None:
    args = ("build", tiny, "--checkpoint", tiny_checkpoint, "--output", "out", "--jobs", 1, "--report", "page.html")
    process = own_cli.start(*args, start_new_session=True)
    first, second = (
        artifact_folder(own_cli.cwd / "out", NAME, task, 4) for task in ("classification", "feature_vector")
    )
    assert process.stderr
    for line in process.stderr:
        if first.exists() and not second.exists() and "artifact" in line:
            break
    process.kill()
    process.communicate(timeout=TIMEOUT)
    # Its workers, and what they were forked from, end on their own.
    deadline = time.monotonic() + 30
    while _group_lives(process.pid):
        assert time.monotonic() < deadline, "a worker outlived its parent"
        time.sleep(0.05)
    assert first.exists() and not second.exists()
    assert files_below(own_cli.temporary)
    inode = first.stat().st_ino

    result = succeeded(own_cli(*args[:-2]))
    assert result.stdout.splitlines() == [str(path.relative_to(own_cli.cwd)) for path in (first, second)]
    assert f"\nok    {NAME} classification/4  kept, the same as would be written, verified before" in result.stderr
    assert re.search(rf"^ok    {NAME} feature_vector/4  \d+ checks, ", result.stderr, re.MULTILINE)
    assert first.stat().st_ino == inode
    for path in (first, second):
        expected = artifact_folder(tiny_artifacts, NAME, path.parent.name, 4)
        assert _contents(path) == _contents(expected)
        assert [each.name for each in path.parent.iterdir()] == ["4"]
    # What the killed one left behind elsewhere is gone, too.
    assert files_below(own_cli.temporary) == []

    # Once more: nothing is written. A page needs the figures of both, and gets them.
    result = succeeded(own_cli(*args))
    assert result.stderr.count("kept, the same as would be written") == 2
    assert (first.stat().st_ino, _contents(first)) == (
        inode,
        _contents(artifact_folder(tiny_artifacts, NAME, "classification", 4)),
    )
    page = (own_cli.cwd / "page.html").read_text()
    assert "classification/4" in page and "feature_vector/4" in page


@pytest.mark.long
@pytest.mark.stops
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_build_that_is_killed_at_any_moment_is_repeated_with_the_same_bytes(
    own_cli: Command, tiny: Path, tiny_checkpoint: Path, quick: Path, overwrite: bool
) -> None:
    """Killed when it makes, renames or removes any file or folder, again and again, until it is left in peace."""
    out = own_cli.cwd / "out"
    options: tuple[object, ...] = ("--no-verify", "--checkpoint", tiny_checkpoint, "--output", "out")
    args = ("build", tiny, *options, *(["--overwrite"] if overwrite else []))
    expected = _contents(quick)
    if overwrite:
        shutil.copytree(quick, out)
        for data in out.rglob("variables.index"):
            data.write_bytes(b"old")
    old = _contents(out)
    moments = file_operations.count(own_cli, own_cli.folder, *args)
    assert moments > 20
    shutil.rmtree(out)
    chance = random.Random(int(overwrite))
    for number in range(KILLS):
        if number % 3 == 0:
            shutil.rmtree(out, ignore_errors=True)
            if overwrite:
                shutil.copytree(quick, out)
                for data in out.rglob("variables.index"):
                    data.write_bytes(b"old")
        result = file_operations.run(own_cli, file_operations.KILL, chance.randint(1, moments), own_cli.folder, *args)
        assert result.returncode in (-signal.SIGKILL, 0), result
        for task in ("classification", "feature_vector"):
            # Under its name an artifact is never anything but whole, the old one or the new one.
            target = artifact_folder(out, NAME, task, 4)
            if target.exists():
                place = str(target.relative_to(out))
                wanted = [{name: held[name] for name in held if name.startswith(place)} for held in (old, expected)]
                assert {f"{place}/{name}": value for name, value in _contents(target).items()} in [
                    {name: value for name, value in each.items() if name != place} for each in wanted
                ]
        if number % 3 == 2:
            succeeded(own_cli(*args))
            assert _contents(out) == expected
            assert files_below(own_cli.temporary) == []


@pytest.mark.stops
@pytest.mark.more_stops
def test_a_verified_build_that_is_killed_is_repeated_with_the_same_bytes(
    own_cli: Command, tiny: Path, tiny_checkpoint: Path, tiny_artifacts: Path
) -> None:
    args = ("build", tiny, "--checkpoint", tiny_checkpoint, "--output", "out", "--report", "page.html")
    moments = file_operations.count(own_cli, own_cli.folder, *args)
    page = (own_cli.cwd / "page.html").read_bytes()
    out = own_cli.cwd / "out"
    shutil.rmtree(out)
    (own_cli.cwd / "page.html").unlink()
    chance = random.Random(7)
    for _ in range(KILLS // 4):
        result = file_operations.run(own_cli, file_operations.KILL, chance.randint(1, moments), own_cli.folder, *args)
        assert result.returncode in (-signal.SIGKILL, 0), result
        # Never half of it.
        assert not (own_cli.cwd / "page.html").exists() or (own_cli.cwd / "page.html").read_bytes() == page
    succeeded(own_cli(*args))
    for task in ("classification", "feature_vector"):
        built, expected = (artifact_folder(folder, NAME, task, 4) for folder in (out, tiny_artifacts))
        assert _contents(built) == _contents(expected)
    assert not [name for name in files_below(own_cli.cwd) if "/." in name or name.startswith(".")]
    assert (own_cli.cwd / "page.html").read_bytes() == page
    assert files_below(own_cli.temporary) == []


# What is there, and different


def _edited(name: str, change: Callable[[Any], None]) -> Callable[[Path], None]:
    def edit(artifact: Path) -> None:
        facts = json.loads((artifact / name).read_text())
        change(facts)
        (artifact / name).write_text(json.dumps(facts, indent=2, sort_keys=True, ensure_ascii=False) + "\n")

    return edit


def _flipped(artifact: Path) -> None:
    path = artifact / "variables" / "variables.data-00000-of-00001"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _linked(artifact: Path) -> None:
    path = artifact / "saved_model.pb"
    path.rename(artifact.parent / "elsewhere")
    path.symlink_to("../elsewhere")


META = "nasexport.json"
#: What is done to an artifact, and what the refusal must name.
CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a flipped bit": (_flipped, "another content of variables/variables.data-00000-of-00001"),
    "a file cut short": (lambda at: os.truncate(at / "saved_model.pb", 100), "another content of saved_model.pb"),
    "an empty file": (lambda at: os.truncate(at / "variables/variables.index", 0), "of variables/variables.index"),
    "no index": (lambda at: (at / "variables/variables.index").unlink(), "of variables/variables.index"),
    "a file besides": (lambda at: (at / "notes.txt").touch(), "another content of notes.txt"),
    "a link": (_linked, "another content of saved_model.pb"),
    "no metadata": (lambda at: (at / META).unlink(), "it has no nasexport.json"),
    "damaged metadata": (lambda at: (at / META).write_text("{"), "its nasexport.json cannot be read"),
    "other spaces": (lambda at: (at / META).write_text((at / META).read_text() + " "), "another content of nasexport"),
    "another momentum": (
        _edited(META, lambda facts: facts["options"].update(batch_norm_momentum=0.5)),
        "its batch norm momentum is 0.5, not 0.99",
    ),
    "another checkpoint": (
        _edited(META, lambda facts: facts["source"]["files"].update({"model.ckpt.index": "0" * 64})),
        "it was built from another checkpoint",
    ),
    "an archive": (
        _edited(META, lambda facts: facts["source"].update(archive="x.tar.gz", archive_sha256="0" * 64)),
        "its checkpoint came from x.tar.gz, not from unpacked files",
    ),
    "another network": (
        _edited(META, lambda facts: facts["model"].update(weight_decay=1.0)),
        "it was built from another configuration of tiny_nasnet",
    ),
    "another tool": (
        _edited(META, lambda facts: facts["tool"].update(nasexport="9.9")),
        "nasexport 9.9 wrote it",
    ),
    "another TensorFlow": (_edited(META, lambda facts: facts["tool"].update(tensorflow="2.0")), "has another tool"),
    "another layout": (_edited(META, lambda facts: facts["source"].update(layout="other")), "has another source"),
    "a failed check": (
        _edited(META, lambda facts: facts.update(verification=[{"name": "x", "tolerance": 0, "passed": False}])),
        "its verification failed: x",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_is_different_is_refused_and_named(
    own_cli: Command, tiny: Path, tiny_checkpoint: Path, quick: Path, name: str
) -> None:
    change, named = CHANGES[name]
    shutil.copytree(quick, own_cli.cwd / "out")
    target = artifact_folder(own_cli.cwd / "out", NAME, "feature_vector", 4)
    change(target)
    before = _contents(own_cli.cwd / "out")
    args = ("build", tiny, "--no-verify", "--checkpoint", tiny_checkpoint, "--output", "out")
    message = refusal(own_cli(*args, "--task", "feature_vector"), 3)
    assert named in message and "exists already" in message and "--overwrite" in message
    assert _contents(own_cli.cwd / "out") == before
    assert files_below(own_cli.temporary) == []


def test_one_that_was_not_verified_is_none_where_that_is_asked_for(
    own_cli: Command, tiny: Path, tiny_checkpoint: Path, quick: Path, tiny_artifacts: Path
) -> None:
    shutil.copytree(quick, own_cli.cwd / "out")
    args = ("build", tiny, "--task", "feature_vector", "--checkpoint", tiny_checkpoint, "--output", "out")
    assert "it was built with --no-verify" in refusal(own_cli(*args), 3)
    # The other way round, it is more than what is asked for.
    verified = own_cli.cwd / "verified"
    shutil.copytree(tiny_artifacts, verified)
    result = succeeded(own_cli(*args[:-1], verified, "--no-verify"))
    assert "kept, the same as would be written" in result.stderr and "verified before" in result.stderr
    path = artifact_folder(verified, NAME, "feature_vector", 4)
    assert result.stdout == f"{path}\n"
    assert result.stderr.splitlines()[-1] == f"next: nasexport inspect {path}"

    result = succeeded(own_cli(*args[:-1], verified, "--no-verify", "--json"))
    assert "kept" not in result.stderr and "next:" not in result.stderr
    (row,) = json.loads(result.stdout)
    assert (row["path"], row["state"], row["verified"], row["checks"]) == (str(path), "kept", True, None)
    assert (row["model"], row["task"], row["version"]) == (NAME, "feature_vector", 4)
    assert row["bytes"] == sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    assert row["source"]["synthetic"] == {"layout": "plain", "model": NAME, "seed": 0}


def test_another_configuration_or_checkpoint_of_the_same_name_is_refused(
    own_cli: Command, tiny_checkpoint: Path, quick: Path
) -> None:
    other = own_cli.cwd / "other.yaml"
    other.write_text(yaml.safe_dump({**TINY, "title": "another"}))
    shutil.copytree(quick, own_cli.cwd / "out")
    args = ("build", other, "--no-verify", "--output", "out")
    # Before anything is fetched or read.
    assert "another configuration of tiny_nasnet" in refusal(own_cli(*args, "--checkpoint", tiny_checkpoint), 3)
    assert files_below(own_cli.cwd / "out") == files_below(quick)
