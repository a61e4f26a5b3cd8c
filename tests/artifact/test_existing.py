"""An artifact that is there, held against a new one: nothing that differs passes for the same."""

import shutil
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from exporter.artifact.existing import Existing
from exporter.artifact.metadata import METADATA_FILE, Metadata, read_metadata
from exporter.errors import NOT_DONE, ArtifactError
from tests.support.command import artifact_folder, files_below


@pytest.fixture(scope="module")
def sound(tiny_artifacts: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Metadata]:
    """An artifact, the same as it is written anew, without metadata, and the metadata."""
    artifact = artifact_folder(tiny_artifacts, "tiny_nasnet", "feature_vector", 4)
    metadata = read_metadata(artifact)
    assert metadata
    new = shutil.copytree(artifact, tmp_path_factory.mktemp("new") / "4")
    (new / METADATA_FILE).unlink()
    return artifact, new, metadata


def test_the_same_is_the_same(sound: tuple[Path, Path, Metadata]) -> None:
    artifact, new, metadata = sound
    Existing(artifact).require_same(new, metadata)


@pytest.mark.parametrize("name", ["saved_model.pb", "variables"])
def test_a_link_is_none(sound: tuple[Path, Path, Metadata], tmp_path: Path, name: str) -> None:
    copy = shutil.copytree(sound[0], tmp_path / "4")
    (copy / name).rename(tmp_path / "elsewhere")
    (copy / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ArtifactError, match=f"another content of {name}"):
        Existing(copy).require_same(*sound[1:])


@settings(max_examples=200, deadline=None)
@given(data=st.data(), kind=st.sampled_from(["flip", "cut", "append", "remove", "add", "link", "empty folder"]))
def test_whatever_is_changed_is_refused(
    sound: tuple[Path, Path, Metadata], tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, kind: str
) -> None:
    artifact, new, metadata = sound
    copy = tmp_path_factory.mktemp("changed") / "4"
    shutil.copytree(artifact, copy)
    names = [name for name in files_below(copy) if (copy / name).is_file()]
    path = copy / data.draw(st.sampled_from(names))
    content = path.read_bytes()
    at = data.draw(st.integers(0, len(content) - 1))
    if kind == "flip":
        path.write_bytes(content[:at] + bytes([content[at] ^ (1 << data.draw(st.integers(0, 7)))]) + content[at + 1 :])
    elif kind == "cut":
        path.write_bytes(content[:at])
    elif kind == "append":
        path.write_bytes(content + data.draw(st.binary(min_size=1, max_size=9)))
    elif kind == "remove":
        path.unlink()
    elif kind == "link":
        path.rename(copy.parent / "elsewhere")
        path.symlink_to(copy.parent / "elsewhere")
    else:
        added = data.draw(st.sampled_from([".hidden", "assets", "variables/more", "x/y", "saved_model.pbtxt"]))
        assume(added not in files_below(copy))
        (copy / added).parent.mkdir(exist_ok=True)
        (copy / added).mkdir() if kind == "empty folder" else (copy / added).touch()
    try:
        with pytest.raises(ArtifactError, match="exists already, and is not what would be written") as caught:
            Existing(copy).require_same(new, metadata)
        assert caught.value.status == NOT_DONE
    finally:
        shutil.rmtree(copy.parent)
