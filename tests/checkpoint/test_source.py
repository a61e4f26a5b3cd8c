"""Every way in which a user may point at a checkpoint, and those that lead nowhere."""

import hashlib
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest

from exporter.checkpoint import source
from exporter.errors import CheckpointError
from exporter.files import archive
from tests.support.command import Command, files_below, refusal, succeeded

DATA = "model.ckpt.data-00000-of-00001"


def _checkpoint(folder: Path, name: str = "model.ckpt", shards: int = 1) -> Path:
    """The prefix of files that are named like a checkpoint's; finding one needs no more."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.index").write_bytes(b"index of " + name.encode())
    for shard in range(shards):
        (folder / f"{name}.data-{shard:05d}-of-{shards:05d}").write_bytes(b"data %d" % shard)
    return folder / name


def _state(folder: Path, path: str) -> Path:
    state = folder / "checkpoint"
    state.write_text(f'model_checkpoint_path: "{path}"\nall_model_checkpoint_paths: "{path}"\n', encoding="utf-8")
    return state


def _refused(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught, source.opened(path):
        pytest.fail("it was opened")
    message = str(caught.value)
    assert str(path) in message
    assert 1 <= len(message.splitlines()) <= 2
    return message


@pytest.mark.parametrize("pointed_at", ["model.ckpt", "model.ckpt.index", DATA, "checkpoint", "."])
def test_any_part_of_a_checkpoint_stands_for_it(tmp_path: Path, pointed_at: str) -> None:
    folder = tmp_path / "unpacked"
    prefix = _checkpoint(folder)
    _state(folder, "model.ckpt")
    with source.opened(folder / pointed_at) as opened:
        assert opened.prefix == prefix
        assert opened.archive is None and opened.archive_sha256 is None
        assert opened.files == {
            file: hashlib.sha256((folder / file).read_bytes()).hexdigest() for file in ("model.ckpt.index", DATA)
        }


@pytest.mark.parametrize("pointed_at", ["model.ckpt-500000", "model.ckpt-500000.index", "."])
def test_a_step_in_the_name_belongs_to_the_prefix(tmp_path: Path, pointed_at: str) -> None:
    prefix = _checkpoint(tmp_path, "model.ckpt-500000")
    assert source.find_prefix(tmp_path / pointed_at) == prefix


@pytest.mark.parametrize(
    "named", ["/home/someone/on/another/machine/model.ckpt", "train/model.ckpt", "model.ckpt", "../model.ckpt"]
)
def test_a_state_file_finds_its_checkpoint_beside_it_wherever_it_was_written(tmp_path: Path, named: str) -> None:
    prefix = _checkpoint(tmp_path / "moved")
    assert source.find_prefix(_state(tmp_path / "moved", named)) == prefix


def test_a_state_file_follows_a_path_that_is_there(tmp_path: Path) -> None:
    prefix = _checkpoint(tmp_path / "elsewhere")
    (tmp_path / "run").mkdir()
    assert source.find_prefix(_state(tmp_path / "run", str(prefix))) == prefix
    assert source.find_prefix(_state(tmp_path / "run", "../elsewhere/model.ckpt")).resolve() == prefix.resolve()


@pytest.mark.parametrize("text", ["", "all_model_checkpoint_paths: 'x'", "\udcff"])
def test_a_state_file_that_names_nothing_is_refused(tmp_path: Path, text: str) -> None:
    _checkpoint(tmp_path)
    (tmp_path / "checkpoint").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert "names no checkpoint" in _refused(tmp_path / "checkpoint")


def test_a_state_file_whose_checkpoint_is_gone_is_refused(tmp_path: Path) -> None:
    message = _refused(_state(tmp_path, "model.ckpt-7"))
    assert "model.ckpt-7" in message
    # It is one; what it names is what is missing.
    assert "not one of a checkpoint" not in message


def test_a_nested_folder_is_searched(tmp_path: Path) -> None:
    prefix = _checkpoint(tmp_path / "archive" / "nasnet-a_mobile" / "train")
    assert source.find_prefix(tmp_path / "archive") == prefix


def test_of_several_checkpoints_the_state_file_names_one(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        _checkpoint(tmp_path, f"model.ckpt-{step}")
    message = _refused(tmp_path)
    assert "holds 3 checkpoints" in message
    assert all(f"model.ckpt-{step}" in message for step in (1, 2, 3))
    _state(tmp_path, "model.ckpt-2")
    assert source.find_prefix(tmp_path).name == "model.ckpt-2"


def test_a_path_that_is_not_there_is_refused(tmp_path: Path) -> None:
    for name in ("absent", "absent/model.ckpt", "absent.tar.gz", "model.ckpt.index", DATA, "checkpoint"):
        assert "no checkpoint at" in _refused(tmp_path / name)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    assert "folder without a checkpoint" in _refused(tmp_path)


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "weights.h5").write_bytes(b"\x89HDF\r\n")
    assert "not one of a checkpoint" in _refused(tmp_path / "weights.h5")


@pytest.mark.parametrize("pointed_at", ["model.ckpt", "model.ckpt.index", "."])
def test_an_index_without_data_is_refused(tmp_path: Path, pointed_at: str) -> None:
    _checkpoint(tmp_path)
    (tmp_path / DATA).unlink()
    assert "no data file" in _refused(tmp_path / pointed_at)


@pytest.mark.parametrize("pointed_at", ["model.ckpt", DATA, "."])
def test_data_without_an_index_is_refused(tmp_path: Path, pointed_at: str) -> None:
    _checkpoint(tmp_path)
    (tmp_path / "model.ckpt.index").unlink()
    message = _refused(tmp_path / pointed_at)
    assert "index" in message and "both" in message


def test_every_shard_must_be_there(tmp_path: Path) -> None:
    prefix = _checkpoint(tmp_path, shards=3)
    with source.opened(prefix) as opened:
        assert len(opened.files) == 4
    (tmp_path / "model.ckpt.data-00001-of-00003").unlink()
    assert "2 data files" in _refused(prefix)


def test_shards_of_two_writings_are_refused(tmp_path: Path) -> None:
    prefix = _checkpoint(tmp_path, shards=3)
    (tmp_path / "model.ckpt.data-00001-of-00003").rename(tmp_path / "model.ckpt.data-00001-of-00002")
    assert "data files" in _refused(prefix)


def test_one_of_several_files_of_before_2016_is_named_as_that(tmp_path: Path) -> None:
    """TensorFlow takes a pattern for them, which no path can be; each alone would be a checkpoint that lacks most."""
    for part in range(2):
        # Any table of TensorFlow's ends with these bytes.
        (tmp_path / f"model.ckpt-{part:05d}-of-00002").write_bytes(b"values" + bytes.fromhex("57fb808b247547db"))
    for path in (tmp_path, tmp_path / "model.ckpt-00001-of-00002"):
        assert "is one of 2 files of a checkpoint in the format before 2016 (V1)" in _refused(path)


def test_an_archive_is_unpacked_for_as_long_as_it_is_open(tmp_path: Path) -> None:
    _checkpoint(tmp_path / "inside")
    archive = tmp_path / "published.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(tmp_path / "inside", arcname=".")
    with source.opened(archive) as opened:
        assert opened.prefix.with_name(DATA).read_bytes() == b"data 0"
        assert opened.archive == "published.tar.gz"
        assert opened.archive_sha256 == hashlib.sha256(archive.read_bytes()).hexdigest()
        assert set(opened.files) == {"model.ckpt.index", DATA}
        assert str(tmp_path) not in str(opened.provenance())
    assert not opened.prefix.parent.exists()


def test_the_hash_of_an_archive_is_that_of_what_was_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another file takes its place meanwhile."""
    _checkpoint(tmp_path / "inside")
    path, other = tmp_path / "published.tar.gz", tmp_path / "other.tar.gz"
    for archive_ in (path, other):
        with tarfile.open(archive_, "w:gz") as tar:
            tar.add(tmp_path / "inside", arcname=".")
        (tmp_path / "inside" / DATA).write_bytes(b"other data")
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    copy = archive._copy

    def replacing(*args: Any) -> str:
        if other.exists():
            other.replace(path)
        return copy(*args)

    monkeypatch.setattr(archive, "_copy", replacing)
    with source.opened(path) as opened:
        assert opened.prefix.with_name(DATA).read_bytes() == b"data 0"
        assert opened.archive_sha256 == before
        assert opened.files[DATA] == hashlib.sha256(b"data 0").hexdigest()


@pytest.mark.parametrize(
    "name", ["model.ckpt", "mo[d]el.ckpt", "m o.ckpt-7", "größe", "a\\b", "x*y?", "{z}", "~", "a\nb"]
)
@pytest.mark.parametrize("folder", ["plain", "[a]", "b c", "d\\e", "**"])
def test_characters_of_patterns_are_names(tmp_path: Path, folder: str, name: str) -> None:
    prefix = _checkpoint(tmp_path / folder, name)
    _checkpoint(tmp_path / "a", "model.ckpt")
    for pointed_at in ("", ".index", ".data-00000-of-00001", ".meta"):
        assert source.find_prefix(tmp_path / folder / f"{name}{pointed_at}") == prefix
    assert source.find_prefix(tmp_path / folder) == prefix
    (tmp_path / folder / f"{name}.data-00000-of-00001").unlink()
    assert "no data file" in _refused(tmp_path / folder)


def test_what_is_no_checkpoint_does_not_count_as_one(tmp_path: Path) -> None:
    prefix = _checkpoint(tmp_path / "run")
    for clutter in ("._model.ckpt.index", "images.index", ".DS_Store", "model.ckpt.meta", "graph.pbtxt"):
        (tmp_path / "run" / clutter).write_bytes(b"x")
    _checkpoint(tmp_path / "__MACOSX" / "run")
    assert source.find_prefix(tmp_path) == prefix


@pytest.mark.parametrize(
    "line",
    [
        'model_checkpoint_path: "C:\\\\train\\\\model.ckpt"',
        'model_checkpoint_path: "C:\\train\\model.ckpt"',
        "model_checkpoint_path: '\\\\\\\\server\\\\runs\\\\model.ckpt'",
        'model_checkpoint_path: "D:/train/model.ckpt"',
        'model_checkpoint_path: "\\155odel.ckpt"',
    ],
)
def test_a_state_file_of_another_system_is_read(tmp_path: Path, line: str) -> None:
    prefix = _checkpoint(tmp_path)
    _checkpoint(tmp_path, "model.ckpt-2")
    (tmp_path / "checkpoint").write_text(f'{line}\nall_model_checkpoint_paths: "model.ckpt-2"\n', encoding="utf-8")
    assert source.find_prefix(tmp_path) == prefix


def test_what_is_meant_is_suggested(tmp_path: Path) -> None:
    _checkpoint(tmp_path, "model.ckpt-500000")
    assert "(there is model.ckpt-500000)" in _refused(tmp_path / "model.ckpt")


@pytest.mark.parametrize("kind", ["prefix", "index", "data", "state", "folder", "archive"])
def test_the_command_line_takes_every_form(
    own_cli: Command, tiny: Path, tiny_checkpoint: Path, tiny_pnasnet: Path, kind: str
) -> None:
    # Asked for the other network, it tells what it read: a build would take ten times as long and show no more.
    folder = own_cli.cwd / "moved"
    shutil.copytree(tiny_checkpoint.parent, folder)
    state = _state(folder, "/on/another/machine/model.ckpt")
    archive = own_cli.cwd / "archive.tgz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, arcname="nested")
    path = {
        "prefix": "moved/model.ckpt",
        "index": "moved/model.ckpt.index",
        "data": f"moved/{DATA}",
        "state": state,
        "folder": "moved",
        "archive": archive,
    }[kind]
    message = refusal(own_cli("build", tiny_pnasnet, "--checkpoint", path))
    assert f"{path}: the checkpoint lacks cell_stem_0/" in message
    assert files_below(own_cli.cwd / "dist") == []
    assert files_below(own_cli.temporary) == []


def test_the_command_line_refuses_in_two_lines_and_writes_nothing(own_cli: Command, tiny: Path) -> None:
    _checkpoint(own_cli.cwd / "torn")
    (own_cli.cwd / "torn" / DATA).unlink()
    for path, said in {"absent": "there is no checkpoint at absent", "torn": "no data file"}.items():
        assert said in refusal(own_cli("build", tiny, "--checkpoint", path, "--output", "out"))
    assert files_below(own_cli.cwd / "out") == []


@pytest.mark.skipif("os.geteuid() == 0", reason="root reads everything")
def test_a_file_that_may_not_be_read_is_refused(own_cli: Command, tiny: Path) -> None:
    _checkpoint(own_cli.cwd / "secret")
    (own_cli.cwd / "secret" / DATA).chmod(0)
    assert DATA in refusal(own_cli("build", tiny, "--checkpoint", "secret"))


def test_help_names_what_may_be_pointed_at(cli: Command) -> None:
    text = " ".join(succeeded(cli("build", "--help")).stdout.split())
    assert "Weights: a checkpoint's prefix, file, folder or .tar.gz." in text
