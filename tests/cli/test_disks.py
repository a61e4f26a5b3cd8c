"""Disks that fail, fill up, or lose the folder that is written to: told in a line, and nothing half-written stays."""

import os
import random
import shlex
import shutil
import signal
from pathlib import Path

import pytest

from tests.support import file_operations
from tests.support.command import Command, artifact_folder, files_below, refusal, succeeded
from tests.support.disks import in_namespace
from tests.support.fetching import FILE, locked, packed, pins
from tests.support.file_operations import BECOME_FILE, ERRORS, KILL, REMOVE

#: Moments that are tried of each command and error; all of them are about a hundred.
MOMENTS = max(1, int(os.environ.get("NASEXPORT_TEST_KILLS", "6")) // 2)


@pytest.fixture
def quick(own_cli: Command, tiny: Path, tiny_checkpoint: Path) -> tuple[object, ...]:
    """A build that takes little time, into ``out``."""
    return _quick(tiny, tiny_checkpoint)


def _quick(tiny: Path, tiny_checkpoint: Path) -> tuple[object, ...]:
    task = ("--task", "feature_vector", "--no-verify", "--version", 5)
    return ("build", tiny, *task, "--checkpoint", tiny_checkpoint, "--output", "out")


def _same_bytes(a: Path, b: Path) -> bool:
    contents = [
        {name: (folder / name).read_bytes() for name in files_below(folder) if (folder / name).is_file()}
        for folder in (a, b)
    ]
    return contents[0] == contents[1] != {}


@pytest.fixture(scope="module")
def moments(tiny: Path, tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> int:
    """How many moments such a build has, below all folders of a command."""
    command = Command(tmp_path_factory.mktemp("counted"))
    return file_operations.count(command, command.folder, *_quick(tiny, tiny_checkpoint))


@pytest.mark.long
@pytest.mark.stops
@pytest.mark.parametrize("error", ERRORS)
def test_a_disk_that_fails_at_any_moment_is_told(
    own_cli: Command, quick: tuple[object, ...], moments: int, tiny_artifacts: Path, error: str
) -> None:
    expected = artifact_folder(tiny_artifacts, "tiny_nasnet", "feature_vector", 5)
    target = artifact_folder(own_cli.cwd / "out", "tiny_nasnet", "feature_vector", 5)
    chance = random.Random(error)
    for _ in range(MOMENTS):
        result = file_operations.run(own_cli, error, chance.randint(1, moments), own_cli.folder, *quick)
        if result.returncode:
            assert "fault of nasexport" not in refusal(result, 3)
        # Whatever could not be removed any more: no artifact is there but a whole one.
        assert not target.exists() or _same_bytes(target, expected)
    succeeded(own_cli(*quick))
    assert _same_bytes(target, expected)
    assert files_below(own_cli.temporary) == []
    assert [path.name for path in target.parent.iterdir()] == ["5"]


@pytest.mark.long
@pytest.mark.stops
@pytest.mark.parametrize("action", [REMOVE, BECOME_FILE])
def test_an_output_folder_that_goes_away_at_any_moment_is_told(
    own_cli: Command, quick: tuple[object, ...], tiny_artifacts: Path, action: str
) -> None:
    out = own_cli.cwd / "out"
    expected = artifact_folder(tiny_artifacts, "tiny_nasnet", "feature_vector", 5)
    target = artifact_folder(out, "tiny_nasnet", "feature_vector", 5)
    moments = file_operations.count(own_cli, out, *quick)
    for moment in random.Random(action).sample(range(1, moments + 1), MOMENTS):
        shutil.rmtree(out, ignore_errors=True)
        result = file_operations.run(own_cli, action, moment, out, *quick)
        assert not target.exists() or _same_bytes(target, expected)
        if result.returncode:
            assert "fault of nasexport" not in refusal(result, 3)
        assert files_below(own_cli.temporary) == []
        if out.is_file():
            out.unlink()
    succeeded(own_cli(*quick))
    assert _same_bytes(target, expected)


# Disks that are really full


def _on_a_disk(command: Command, disk: Path, kilobytes: int, args: tuple[object, ...]) -> str:
    disk.mkdir(exist_ok=True)
    run = shlex.join(command.arguments(*args))
    mount = f"mount -t tmpfs -o size={kilobytes}k none {shlex.quote(str(disk))}"
    left = f"cd {shlex.quote(str(disk))} && find . -type f"
    result = in_namespace(command, f"{mount} && {run}; status=$?; ({left}); exit $status")
    if result.returncode:
        message = result.stderr
        assert result.returncode == 3, (kilobytes, message)
        assert message.count("nasexport: error: ") == 1 and "Traceback" not in message
        assert "No space left" in message or "disk is full" in message or "full" in message, message
        assert result.stdout == "", "something is left on the disk"
    return result.stdout


@pytest.mark.long
@pytest.mark.stops
def test_a_disk_that_is_full_at_any_write_is_told_and_left_clean(
    own_cli: Command, tiny: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    size = sum(file.stat().st_size for file in tiny_checkpoint.parent.iterdir())
    args: tuple[object, ...]
    args = ("synth", tiny, "--output", disk / "model.ckpt")
    assert _on_a_disk(own_cli, disk, size // 2 // 1024, args) == ""
    # In the middle of the values, and of the graph.
    for share in (0.2, 2.0):
        args = ("build", tiny, "--task", "feature_vector", "--no-verify", "--checkpoint", tiny_checkpoint)
        assert _on_a_disk(own_cli, disk, int(share * size / 1024), (*args, "--output", disk / "out")) == ""


# Commands that need no TensorFlow, at every moment


def _without_cache(command: Command) -> None:
    shutil.rmtree(command.cache, ignore_errors=True)


@pytest.mark.long
@pytest.mark.stops
@pytest.mark.parametrize("action", [KILL, *ERRORS])
def test_a_fetch_that_is_cut_off_at_any_moment_is_repeated(
    own_cli: Command, tiny_checkpoint: Path, tmp_path: Path, action: str
) -> None:
    content = packed(sorted(tiny_checkpoint.parent.glob("model.ckpt.*")), tmp_path)
    command = locked(own_cli, "http://127.0.0.1:9/x.tar.gz", **pins(content))
    args = ("fetch", command.folder / "tiny_nasnet.yaml", "--mirror", tmp_path)
    moments = file_operations.count(command, command.folder, *args)
    expected = [name for name in files_below(command.cache) if name.endswith(".tar.gz")]
    assert moments > 10 and len(expected) == 1
    every = range(1, moments + 1)
    for number, moment in enumerate(every if action == KILL else random.Random(action).sample(every, MOMENTS)):
        if number % 2 == 0:
            _without_cache(command)
        result = file_operations.run(command, action, moment, command.folder, *args)
        if action == KILL:
            assert result.returncode in (-signal.SIGKILL, 0)
        elif result.returncode:
            assert "fault of nasexport" not in refusal(result, 3)
        for name in files_below(command.cache):
            assert not name.endswith(FILE) or (command.cache / name).read_bytes() == content
        path = Path(succeeded(command(*args)).stdout.strip())
        assert path.read_bytes() == content
        left = [name for name in files_below(command.cache) if "/." in name or name.endswith(".part")]
        assert left == [] and files_below(command.temporary) == []
