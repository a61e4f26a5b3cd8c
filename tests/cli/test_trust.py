"""What does more than compute is refused before it is loaded, by every command that loads artifacts."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import hostile, pictures
from tests.support.command import Command, artifact_folder, refusal, succeeded
from tests.support.packing import packed


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pictures.written(tmp_path_factory.mktemp("pictures") / "ILSVRC2012_val_00000001.png", pictures.picture(0))


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """The file that nothing may write."""
    return tmp_path / "written"


def test_a_file_is_written_with_trust_alone(cli: Command, picture: Path, written: Path, tmp_path: Path) -> None:
    folder = hostile.initialized_by_writing(tmp_path / "model", written)
    (tmp_path / "labels").write_text("n01440764\n")
    commands = {
        "predict": (folder, picture),
        "evaluate": (folder, "--images", picture.parent, "--labels", tmp_path / "labels"),
    }
    for name, arguments in commands.items():
        message = refusal(cli(name, *arguments))
        assert not written.exists(), name
        said, hint = message.splitlines()
        assert said == f"{folder} was not loaded: WriteFile (node 'init/write') reads or writes files"
        assert "--trust" in hint
        succeeded(cli(name, *arguments, "--trust"))
        assert written.read_text() == "it ran"
        written.unlink()

    # To look at it is not to load it.
    text = succeeded(cli("inspect", folder)).stdout
    assert "refused      WriteFile (node 'init/write') reads or writes files" in text
    facts = json.loads(succeeded(cli("inspect", folder, "--json")).stdout)
    does = {"operation": "WriteFile", "node": "init/write", "function": "", "does": "reads or writes files"}
    assert facts["refused"] == [{**does, "tags": ["serve"]}]
    assert not written.exists()


def _copies(tiny_artifacts: Path, hub_modules: Path, tmp_path: Path, written: Path) -> Iterator[tuple[Path, Path, str]]:
    """Of each kind of artifact a good one, a hostile copy of it, and what is said of that."""
    for output, version, place in ((tiny_artifacts, 4, "of function '__inference_call_"), (hub_modules, 3, "")):
        good = artifact_folder(output, "tiny_nasnet", "feature_vector", version)
        yield good, hostile.writing_where_it_runs(good, tmp_path / str(version), written), place


def test_verify_and_diff_do_not_run_it(
    cli: Command,
    tiny: Path,
    tiny_artifacts: Path,
    hub_modules: Path,
    tiny_checkpoint: Path,
    written: Path,
    tmp_path: Path,
) -> None:
    copies = list(_copies(tiny_artifacts, hub_modules, tmp_path, written))
    paths = [copy for _, copy, _ in copies]
    result = cli("verify", *paths, "--checkpoint", tiny_checkpoint, "--json")
    assert result.returncode == 1, result.stderr
    for report, (_, copy, place) in zip(json.loads(result.stdout), copies, strict=True):
        (check,) = report["checks"]
        assert (check["name"], check["passed"]) == ("loads and runs", False)
        assert f"{copy} was not loaded: WriteFile (node 'write' {place}".rstrip() in check["detail"]
        assert "reads or writes files" in check["detail"]
    for good, copy, _ in copies:
        assert "was not loaded: WriteFile" in refusal(cli("diff", copy, good, "--only", "outputs"))
    archive = packed(paths[0], tmp_path / "packed.tar.gz")
    message = refusal(cli("diff", archive, copies[0][0], "--only", "outputs"))
    assert message.startswith(f"{archive} was not loaded: WriteFile")
    # What needs no loading is compared all the same.
    assert cli("diff", *copies[0][:2], "--only", "variables").returncode == 0
    assert not written.exists()


def test_with_trust_verify_runs_it(
    cli: Command, tiny: Path, tiny_artifacts: Path, tiny_checkpoint: Path, written: Path, tmp_path: Path
) -> None:
    good = artifact_folder(tiny_artifacts, "tiny_nasnet", "feature_vector", 4)
    copy = hostile.writing_where_it_runs(good, tmp_path / "4", written)
    result = cli("verify", copy, "--checkpoint", tiny_checkpoint, "--trust", "--json")
    assert written.read_text() == "it ran"
    (report,) = json.loads(result.stdout)
    assert "loads and runs" not in {check["name"] for check in report["checks"]}
