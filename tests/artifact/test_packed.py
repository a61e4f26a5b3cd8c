"""Artifacts in a ``.tar.gz``, as the hub served them: read like folders, and never trusted."""

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import Command, artifact_folder, files_below, refusal, succeeded
from tests.support.packing import packed, with_members

MODEL = {"saved_model.pb": b"x"}


@pytest.fixture(scope="module")
def folder(tiny_artifacts: Path) -> Path:
    return artifact_folder(tiny_artifacts, "tiny_nasnet", "classification", 5)


@pytest.fixture(scope="module")
def facts(cli: Command, folder: Path) -> dict[str, Any]:
    """What `inspect` says of the folder."""
    return json.loads(succeeded(cli("inspect", folder, "--json")).stdout)


@pytest.mark.parametrize(
    ("name", "prefix"), [("nasnet.tar.gz", ""), ("nasnet.tgz", "./"), ("5", ""), ("nasnet.tar.gz", "nasnet/")]
)
def test_an_archive_is_described_like_its_folder(
    own_cli: Command, folder: Path, facts: dict[str, Any], name: str, prefix: str
) -> None:
    path = packed(folder, own_cli.cwd / name, prefix)
    described = json.loads(succeeded(own_cli("inspect", path, "--json")).stdout)
    assert described == {**facts, "path": str(path)}
    assert files_below(own_cli.temporary) == []
    assert files_below(own_cli.cwd) == [name]


def test_what_is_wrong_in_an_archive_is_told_by_its_path(own_cli: Command, folder: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(folder, damaged)
    (damaged / "saved_model.pb").write_bytes(b"not a protocol buffer")
    path = packed(damaged, own_cli.cwd / "damaged.tar.gz")
    assert refusal(own_cli("inspect", path)).startswith(f"{path}/saved_model.pb is damaged")
    assert files_below(own_cli.temporary) == []


REFUSED: dict[str, tuple[dict[str, bytes], dict[str, str], str]] = {
    "a path out": ({**MODEL, "../saved_model.pb": b"x"}, {}, "leads out"),
    "a path out further in": ({**MODEL, "variables/../../variables.index": b"x"}, {}, "leads out"),
    "an absolute path": ({**MODEL, "/tmp/nasexport.json": b"{}"}, {}, "leads out"),
    "a link": (MODEL, {"nasexport.json": "/etc/passwd"}, "link or a device"),
    "a link to a folder": ({**MODEL, "assets/x": b"x"}, {"assets": ".."}, "link or a device"),
    "the model twice": ({**MODEL, "./saved_model.pb": b"y"}, {}, "holds saved_model.pb twice"),
    "a checkpoint": ({"model.ckpt.index": b"x"}, {}, "holds no artifact"),
    "variables alone": ({"variables/variables.index": b"x"}, {}, "holds no artifact"),
    "too deep": ({"a/b/saved_model.pb": b"x"}, {}, "holds no artifact"),
    "two artifacts": ({"4/saved_model.pb": b"x", "5/saved_model.pb": b"x"}, {}, "holds 2 artifacts (4, 5)"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_an_archive_that_no_hub_served_is_refused(own_cli: Command, kind: str) -> None:
    files, links, said = REFUSED[kind]
    path = with_members(own_cli.cwd / "evil.tar.gz", files, links)
    message = refusal(own_cli("inspect", path))
    assert said in message and "evil.tar.gz" in message
    assert files_below(own_cli.temporary) == []
    assert files_below(own_cli.folder) == ["home", "temporary", "work", "work/evil.tar.gz"]


@pytest.mark.parametrize(
    ("content", "said"), [(b"", "not a whole"), (b"<html>404</html>", "not a whole"), (b"\x1f\x8b", "not a whole")]
)
def test_a_damaged_archive_is_refused(own_cli: Command, content: bytes, said: str) -> None:
    (own_cli.cwd / "torn.tar.gz").write_bytes(content)
    message = refusal(own_cli("inspect", "torn.tar.gz"))
    assert said in message and "torn.tar.gz" in message


def test_a_zip_file_is_described_like_its_folder(own_cli: Command, folder: Path, facts: dict[str, Any]) -> None:
    path = own_cli.cwd / "4"
    with zipfile.ZipFile(path, "w") as members:
        for file in sorted(folder.rglob("*")):
            members.write(file, f"nasnet/{file.relative_to(folder).as_posix()}")
    assert json.loads(succeeded(own_cli("inspect", path, "--json")).stdout) == {**facts, "path": str(path)}


def test_another_file_is_refused(own_cli: Command, folder: Path) -> None:
    assert "is a file, and no .tar.gz" in refusal(own_cli("inspect", folder / "saved_model.pb"))


def test_only_what_belongs_to_an_artifact_is_unpacked(
    own_cli: Command, folder: Path, facts: dict[str, Any], tmp_path: Path
) -> None:
    more = tmp_path / "more"
    shutil.copytree(folder, more)
    (more / "README.md").write_text("x" * 100)
    (more / "._saved_model.pb").write_text("x" * 100)
    path = packed(more, own_cli.cwd / "more.tar.gz")
    assert json.loads(succeeded(own_cli("inspect", path, "--json")).stdout)["bytes"] == facts["bytes"]
