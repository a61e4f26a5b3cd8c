"""Artifacts that nasexport did not write: told with --model what they should be, they are judged all the same."""

import json
import shutil
import tarfile
from pathlib import Path

import pytest

from tests.support import bundles, foreign
from tests.support.command import Command, artifact_folder, refusal, succeeded


def _foreign(output: Path, folder: Path, version: int, task: str = "feature_vector") -> Path:
    """A copy of an artifact without what nasexport says of it."""
    copy = folder / f"{task}-{version}"
    shutil.copytree(artifact_folder(output, "tiny_nasnet", task, version), copy)
    (copy / "nasexport.json").unlink()
    return copy


def test_without_a_model_nothing_says_what_it_should_be(
    own_cli: Command, tiny_artifacts: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    copy = _foreign(tiny_artifacts, tmp_path, 5)
    message = refusal(own_cli("verify", copy, "--checkpoint", tiny_checkpoint))
    assert "nasexport did not write it" in message and "--model" in message
    assert own_cli("verify", copy, "--version", 5).returncode == 2


@pytest.mark.long
def test_every_version_is_recognized_and_judged(
    cli: Command, tiny: Path, tiny_artifacts: Path, hub_modules: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "[their] {own}*?\\"  # a path, and no pattern
    paths = [_foreign(tiny_artifacts, folder, version) for version in (4, 5)]
    paths += [_foreign(hub_modules, folder, version) for version in (1, 3)]
    paths.append(_foreign(tiny_artifacts, folder, 5, "classification"))
    # As the hub served them: its members at the root of an archive that has no extension.
    packed = tmp_path / "packed"
    with tarfile.open(packed, "w:gz") as tar:
        tar.add(paths[3], arcname=".")
    wrong = bundles.with_scaled(paths[-1], tmp_path / "wrong", "conv0/weights", 1.02)
    result = cli("verify", *paths, packed, wrong, "--model", tiny, "--checkpoint", tiny_checkpoint, "--json")
    assert result.returncode == 1
    *good, bad = json.loads(result.stdout)
    assert [report["path"] for report in good] == list(map(str, [*paths, packed]))
    for report in good:
        assert report["passed"], report
        assert "nasexport did not write it: what it should be was said by the user" in report["notes"]
    failed = {check["name"]: check["detail"] for check in bad["checks"] if not check["passed"]}
    assert failed["end points, relative difference"].endswith("first divergent end point: Stem")


@pytest.mark.long
def test_a_scope_before_the_names_of_variables_does_not_matter(
    cli: Command, tiny: Path, hub_modules: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    module = artifact_folder(hub_modules, "tiny_nasnet", "feature_vector", 3)
    theirs = foreign.as_hub_wrote_it(module, tmp_path / "3")
    with bundles.edited(theirs) as saved_model:
        for meta_graph in saved_model.meta_graphs:
            # What waits for something else cannot be run by itself.
            pooled = next(node for node in meta_graph.graph_def.node if node.name == "module/global_pool")
            pooled.input.append("^module/images")
    result = cli("verify", theirs, "--model", tiny, "--checkpoint", tiny_checkpoint, "--json")
    (report,) = json.loads(result.stdout)
    assert "its variables' names begin with 'module/'" in report["notes"]
    failed = {check["name"] for check in report["checks"] if not check["passed"]}
    # It was written by a newer TensorFlow, and not rewritten.
    assert failed == {"compatibility problems with TensorFlow 1.15"}


def test_another_model_or_version_is_refused(
    own_cli: Command, tiny: Path, tiny_pnasnet: Path, tiny_artifacts: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    copy = _foreign(tiny_artifacts, tmp_path, 5)
    message = refusal(own_cli("verify", copy, "--model", tiny, "--version", 3, "--checkpoint", tiny_checkpoint))
    assert "is of format saved_model_2" in message and "3 (hub)" in message
    message = refusal(own_cli("verify", copy, "--model", tiny_pnasnet, "--checkpoint", tiny_checkpoint))
    assert "lacks" in message


@pytest.mark.long
@pytest.mark.stops
@pytest.mark.parametrize("how", ["crash", "hang"])
def test_a_process_that_crashes_or_hangs_is_a_failed_check(
    own_cli: Command, tiny_artifacts: Path, tiny_checkpoint: Path, tiny_reference: Path, tmp_path: Path, how: str
) -> None:
    """The process that loads an artifact comes to a bad end; the command does not."""
    act = {"crash": "print('the last words', file=sys.stderr, flush=True); os.abort()", "hang": "time.sleep(600)"}[how]
    # Where processes are forked, in the one that they come from; what it imports at first is taken to load artifacts.
    program = f"""
import os, sys, time
if sys.argv[-1].endswith(":PROBE") or "serve_forks" in "".join(sys.orig_argv):
    import tensorflow_hub
    def load(*_):
        {act}
    tensorflow_hub.load = load
"""
    cli = own_cli.with_program_first(program, tmp_path)
    path = artifact_folder(tiny_artifacts, "tiny_nasnet", "feature_vector", 5)
    # With a recorded reference, no other process needs the time that the limit allows.
    options = ("--checkpoint", tiny_checkpoint, "--reference", tiny_reference, "--json")
    result = cli("verify", path, *options, *(("--time-limit", 5) if how == "hang" else ()))
    assert result.returncode == 1 and "Traceback" not in result.stderr
    (report,) = json.loads(result.stdout)
    (check,) = report["checks"]
    assert check["name"] == "loads and runs" and not check["passed"]
    assert {"crash": "the last words", "hang": "took longer than 5 s"}[how] in check["detail"]
    assert {"crash": "killed by signal 6", "hang": "--time-limit"}[how] in check["detail"]
    if how == "crash":
        assert "the last words" not in result.stderr
        assert "the last words" in cli("--debug", "verify", path, *options).stderr


@pytest.mark.long
@pytest.mark.stops
def test_debug_and_time_limit_are_of_the_process_that_looks_at_it_too(
    own_cli: Command, tiny: Path, tiny_artifacts: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    copy = _foreign(tiny_artifacts, tmp_path, 5)
    command = ("verify", copy, "--model", tiny, "--checkpoint", tiny_checkpoint)
    saying = own_cli.with_job_doing("INSPECT", "print('looking at it', file=sys.stderr)", tmp_path)
    assert "looking at it" in succeeded(saying("--debug", *command)).stderr
    assert "looking at it" not in succeeded(saying(*command)).stderr
    hanging = own_cli.with_job_doing("INSPECT", "time.sleep(600)", tmp_path)
    message = refusal(hanging(*command, "--time-limit", 2))
    assert "'inspect' took longer than 2 s" in message and "--time-limit" in message
