"""How an artifact takes its place: whole or not at all, whenever the process that writes it is cut off."""

from pathlib import Path

import pytest

from exporter.artifact import folder as artifact
from exporter.errors import ArtifactError
from tests.support.command import files_below


def _old(target: Path) -> Path:
    target.mkdir(parents=True)
    (target / "saved_model.pb").write_bytes(b"old")
    return target


def _write(folder: Path, content: bytes = b"new") -> None:
    folder.mkdir()
    (folder / "saved_model.pb").write_bytes(content)


def _fail(target: Path, error: type[BaseException]) -> None:
    with artifact.staged(target, overwrite=True) as staging:
        _write(staging)
        raise error


def test_an_artifact_takes_its_place_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "out" / "model" / "4"
    with artifact.staged(target, overwrite=False) as staging:
        _write(staging)
        assert not target.exists()
        assert staging.parent == target.parent
    assert files_below(tmp_path) == ["out", "out/model", "out/model/4", "out/model/4/saved_model.pb"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_failure_leaves_nothing_not_even_folders(tmp_path: Path, error: type[BaseException]) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(error):
        _fail(tmp_path / "out" / "model" / "4", error)
    assert files_below(tmp_path) == ["out"]


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    target = _old(tmp_path / "model" / "4")
    with pytest.raises(ValueError):  # noqa: PT011 - it is raised here
        _fail(target, ValueError)
    assert files_below(tmp_path) == ["model", "model/4", "model/4/saved_model.pb"]
    assert (target / "saved_model.pb").read_bytes() == b"old"


def test_an_existing_artifact_is_replaced_only_on_demand(tmp_path: Path) -> None:
    target = _old(tmp_path / "4")
    with pytest.raises(ArtifactError, match="exists already: pass --overwrite"), artifact.staged(target, False):
        pytest.fail("it was staged")
    with artifact.staged(target, overwrite=True) as staging:
        _write(staging)
    assert (target / "saved_model.pb").read_bytes() == b"new"
    assert files_below(tmp_path) == ["4", "4/saved_model.pb"]


@pytest.mark.parametrize("overwrite", [True, False])
def test_what_is_no_folder_is_never_replaced(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "4").write_text("a file")
    (tmp_path / "real").mkdir()
    (tmp_path / "5").symlink_to("real")
    for name in ("4", "5"):
        with pytest.raises(ArtifactError, match="not a folder"):
            artifact.require_free(tmp_path / name, overwrite)


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with (
        pytest.raises(ArtifactError, match="cannot make the folder"),
        artifact.staged(tmp_path / "file" / "model" / "4", overwrite=False),
    ):
        pytest.fail("it was staged")


def test_what_a_killed_process_left_is_cleared_away(tmp_path: Path) -> None:
    target = tmp_path / "4"
    _write(tmp_path / ".4.partial", b"half")
    (tmp_path / ".4.partial" / "variables").mkdir()
    (tmp_path / ".4.lock").touch()
    with artifact.staged(target, overwrite=False) as staging:
        assert not staging.exists()
        _write(staging)
    assert files_below(tmp_path) == ["4", "4/saved_model.pb"]


def test_a_process_killed_between_both_renames_loses_nothing(tmp_path: Path) -> None:
    target = tmp_path / "4"
    _old(tmp_path / ".4.replaced")
    with pytest.raises(ValueError):  # noqa: PT011 - it is raised here
        _fail(target, ValueError)
    assert (target / "saved_model.pb").read_bytes() == b"old"
    assert files_below(tmp_path) == ["4", "4/saved_model.pb"]


def test_a_process_killed_after_both_renames_leaves_the_new_one(tmp_path: Path) -> None:
    target = tmp_path / "4"
    _old(tmp_path / ".4.replaced")
    _write(target)
    with artifact.staged(target, overwrite=True) as staging:
        _write(staging, b"newest")
    assert (target / "saved_model.pb").read_bytes() == b"newest"
    assert files_below(tmp_path) == ["4", "4/saved_model.pb"]


def test_two_cannot_write_the_same(tmp_path: Path) -> None:
    target = tmp_path / "4"
    with artifact.staged(target, overwrite=False) as staging:
        _write(staging)
        with pytest.raises(ArtifactError, match="another nasexport is writing"), artifact.staged(target, False):
            pytest.fail("it was staged")
        assert (staging / "saved_model.pb").read_bytes() == b"new"
    assert (target / "saved_model.pb").read_bytes() == b"new"
