"""Builds that are cut off, that meet each other, that run out of disk; and what an artifact says of itself."""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.support.command import TIMEOUT, Command, artifact_folder, files_below, refusal, succeeded
from tests.support.order import one_in_make_test
from tests.support.shared import Store

#: Python that makes a checkpoint take long to be written.
SLOW_SAVING = "from exporter.checkpoint import synthetic_checkpoint as made; made.save = lambda *_: time.sleep(600)"
#: The quickest build there is: one task, not verified.
QUICK = ("--task", "feature_vector", "--no-verify")


def _started(command: Command, step: str, *args: object) -> subprocess.Popen[str]:
    """A command in a process group of its own that has begun the step of that name."""
    process = command.start(*args, start_new_session=True)
    assert process.stderr
    seen = []
    for line in process.stderr:
        seen.append(line)
        if step in line:
            return process
    raise AssertionError(f"ended before {step!r}:\n{''.join(seen)}")


def _stopped(process: subprocess.Popen[str], number: signal.Signals) -> str:
    """Ends a command, Ctrl-C with all its children as a terminal does; what it said on standard error."""
    if number == signal.SIGINT:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    stdout, stderr = process.communicate(timeout=TIMEOUT)
    assert stdout == ""
    assert process.returncode != 0
    return stderr


@pytest.mark.stops
@pytest.mark.parametrize(
    ("number", "step"),
    one_in_make_test(
        [
            (signal.SIGINT, "reading the checkpoint"),
            (signal.SIGINT, "writing feature_vector"),
            (signal.SIGTERM, "writing feature_vector"),
            (signal.SIGHUP, "computing the reference"),
            (signal.SIGTERM, "computing the reference"),
        ]
    ),
)
def test_a_build_that_is_ended_leaves_nothing(
    own_cli: Command, tiny: Path, tiny_checkpoint: Path, number: signal.Signals, step: str
) -> None:
    args = ("--task", "feature_vector", "--checkpoint", tiny_checkpoint, "--output", "out")
    # How a worker was started matters to what reaches it by itself, and to nothing else.
    cli = own_cli if number == signal.SIGINT or "writing" in step else own_cli.with_forked_workers()
    said = _stopped(_started(cli, step, "build", tiny, *args), number)
    assert "Traceback" not in said
    assert files_below(own_cli.cwd) == []
    assert files_below(own_cli.temporary) == []


@pytest.mark.long
@pytest.mark.stops
def test_a_checkpoint_that_is_not_finished_leaves_nothing(own_cli: Command, tiny: Path, tmp_path: Path) -> None:
    slow = own_cli.with_job_doing("SYNTHESIZE", SLOW_SAVING, tmp_path)
    said = _stopped(_started(slow, "writing the checkpoint", "synth", tiny, "--output", "model.ckpt"), signal.SIGTERM)
    assert "Traceback" not in said
    assert files_below(own_cli.cwd) == []
    assert files_below(own_cli.temporary) == []


@pytest.mark.long
@pytest.mark.stops
def test_a_build_that_is_killed_leaves_no_artifact_and_nothing_in_the_way(
    own_cli: Command, reducing: Path, reducing_checkpoint: Path
) -> None:
    args = ("build", reducing, *QUICK, "--checkpoint", reducing_checkpoint, "--output", "out")
    process = _started(own_cli, "writing feature_vector", *args)
    _stopped(process, signal.SIGKILL)
    target = artifact_folder(own_cli.cwd / "out", "reducing_nasnet", "feature_vector", 4)
    assert not target.exists()
    # Nothing with the name of a version is there to be taken for one.
    assert [path.name for path in target.parent.iterdir() if not path.name.startswith(".")] == []

    # Its worker ends on its own. Were it to go on, it would write into what the next build makes.
    deadline = time.monotonic() + 30
    while _group_lives(process.pid):
        assert time.monotonic() < deadline, "the worker outlived its parent"
        time.sleep(0.05)
    succeeded(own_cli(*args))
    assert [path.name for path in target.parent.iterdir()] == ["4"]


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.long
def test_builds_of_one_destination(own_cli: Command, reducing: Path, reducing_checkpoint: Path) -> None:
    args = ("build", reducing, *QUICK, "--checkpoint", reducing_checkpoint, "--output", "out")
    target = artifact_folder(own_cli.cwd / "out", "reducing_nasnet", "feature_vector", 4)

    # While one writes, which takes a while with cells enough, another is refused, and does not disturb it.
    first = _started(own_cli, "writing feature_vector", *args)
    assert "another nasexport is writing" in refusal(own_cli(*args))
    stdout, stderr = first.communicate(timeout=TIMEOUT)
    assert first.returncode == 0, stderr
    # Standard output has the paths and nothing else.
    assert stdout == f"{target.relative_to(own_cli.cwd)}\n"
    assert "NOT verified" in stderr and "SYNTHETIC" in stderr
    before = {file: (target / file).read_bytes() for file in files_below(target) if (target / file).is_file()}
    assert set(before) == {
        "nasexport.json",
        "saved_model.pb",
        "variables/variables.index",
        "variables/variables.data-00000-of-00001",
    }

    # The same is kept, and what is different is not touched unless that is asked for.
    assert "kept, the same as would be written" in succeeded(own_cli(*args)).stderr
    assert {file: (target / file).read_bytes() for file in before} == before
    message = refusal(own_cli(*args, "--batch-norm-momentum", 0.9), 3)
    assert "exists already" in message and "--overwrite" in message
    assert "its batch norm momentum is 0.99, not 0.9" in message
    assert {file: (target / file).read_bytes() for file in before} == before

    # Asked for, it is replaced, here by an artifact with another momentum.
    succeeded(own_cli(*args, "--overwrite", "--batch-norm-momentum", 0.9))
    assert [path.name for path in target.parent.iterdir()] == ["4"]
    metadata = json.loads((target / "nasexport.json").read_text())
    assert metadata["options"] == {"batch_norm_momentum": 0.9}
    assert json.loads(before["nasexport.json"])["options"] == {"batch_norm_momentum": 0.99}
    _require_momentum(target, 0.9)


def _require_momentum(artifact: Path, momentum: float) -> None:
    """The momentum that a call without one uses is that one, and a given one still wins."""
    loaded: Any = tf.saved_model.load(str(artifact))
    images = tf.random.stateless_uniform([2, 64, 64, 3], seed=[1, 2])
    moving = next(variable for variable in loaded.variables if variable.name == "conv0_bn/moving_mean:0")
    before = moving.numpy()
    loaded(images, training=True)
    by_default = moving.numpy()
    loaded(images, training=True, batch_norm_momentum=0.0)
    of_batch = moving.numpy()
    assert np.abs(before - of_batch).max() > 1e-3, "nothing to tell"
    np.testing.assert_allclose(by_default, momentum * before + (1 - momentum) * of_batch, rtol=1e-5, atol=1e-6)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount a small disk here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_is_told_and_leaves_nothing(
    own_cli: Command, reducing: Path, reducing_checkpoint: Path, small_disk: Path
) -> None:
    args = ("build", reducing, *QUICK, "--checkpoint", reducing_checkpoint, "--output", small_disk)
    message = refusal(own_cli(*args))
    assert re.search("No space left|disk", message)
    assert "fault of nasexport" not in message
    assert files_below(small_disk) == []
    # With the space it needs, the same command does it.
    subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
    succeeded(own_cli(*args))
    assert artifact_folder(small_disk, "reducing_nasnet", "feature_vector", 4).is_dir()


def test_a_full_disk_of_temporary_files_is_told(own_cli: Command, mobile_checkpoint: Path, small_disk: Path) -> None:
    cli = own_cli.with_variables(TMPDIR=str(small_disk))
    message = refusal(cli("build", "nasnet_mobile", "--checkpoint", mobile_checkpoint, "--output", "out"))
    assert "No space left" in message
    assert files_below(small_disk) == []
    assert files_below(own_cli.cwd) == []


@pytest.mark.skipif("os.geteuid() == 0", reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_told(own_cli: Command, tiny: Path, tiny_checkpoint: Path) -> None:
    (own_cli.cwd / "out").mkdir(mode=0o555)
    assert "out" in refusal(own_cli("build", tiny, "--checkpoint", tiny_checkpoint, "--output", "out"))
    assert files_below(own_cli.cwd) == ["out"]


def test_an_output_that_is_a_file_is_told(own_cli: Command, tiny: Path, tiny_checkpoint: Path) -> None:
    (own_cli.cwd / "out").write_text("in the way")
    message = refusal(own_cli("build", tiny, "--checkpoint", tiny_checkpoint, "--output", "out"))
    assert "cannot make the folder out/google" in message
    assert files_below(own_cli.cwd) == ["out"]


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("task", ["classification", "feature_vector"])
def test_metadata_tells_the_source_and_no_place_or_time(
    kept: Store, tiny_artifacts: Path, task: str, version: int
) -> None:
    text = (artifact_folder(tiny_artifacts, "tiny_nasnet", task, version) / "nasexport.json").read_text()
    facts = json.loads(text)
    assert facts["handle"] == f"google/imagenet/tiny_nasnet/{task}/{version}"
    assert (facts["task"], facts["version"], facts["format"]) == (task, version, "saved_model_2")
    assert facts["tool"]["tensorflow"] == tf.__version__
    assert facts["options"] == {"batch_norm_momentum": 0.99}
    assert set(facts["source"]["files"]) == {"model.ckpt.index", "model.ckpt.data-00000-of-00001"}
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in facts["source"]["files"].values())

    assert str(kept.folder) not in text and str(Path.home()) not in text
    assert not re.search(r'"/', text), "an absolute path"
    assert not re.search(r"\b20\d\d-\d\d-\d\d|\b\d\d:\d\d|\b1[6-9]\d{8}\b", text), "a time stamp"

    # Version 5 of the shared artifacts was built with --no-verify.
    if version == 5:
        assert facts["verification"] is None
        return
    assert len(facts["verification"]) > 10
    # What was measured depends on the processor, and the files of an artifact do not.
    assert all(check["passed"] and set(check) == {"name", "tolerance", "passed"} for check in facts["verification"])


def test_an_artifact_holds_its_weights_once(tiny_artifacts: Path) -> None:
    for task in ("classification", "feature_vector"):
        folder = artifact_folder(tiny_artifacts, "tiny_nasnet", task, 5)
        size = sum((folder / file).stat().st_size for file in files_below(folder))
        data = (folder / "variables" / "variables.data-00000-of-00001").stat().st_size
        assert size - data < 10_000_000
