"""Unpacking archives: whole ones, damaged ones, and those made to do harm."""

import contextlib
import gzip
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.checkpoint.source import CHECKPOINT
from exporter.errors import CheckpointError
from exporter.files import archive
from tests.support.command import Command, files_below, refusal

INDEX, DATA = "model.ckpt.index", "model.ckpt.data-00000-of-00001"
CONTENT = {INDEX: b"the index", DATA: bytes(range(256)) * 40}

Fill = Callable[[tarfile.TarFile], None]


def _add(tar: tarfile.TarFile, name: str, content: bytes = b"x", kind: bytes = tarfile.REGTYPE, link: str = "") -> None:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, link
    member.size = len(content) if kind == tarfile.REGTYPE else 0
    tar.addfile(member, io.BytesIO(content))


def _whole(tar: tarfile.TarFile) -> None:
    for name, content in CONTENT.items():
        _add(tar, name, content)


def _archive(path: Path, *fills: Fill) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for fill in fills:
            fill(tar)
    return path


@pytest.fixture
def inside(tmp_path: Path) -> Path:
    """The folder to unpack into; what appears beside it got out."""
    folder = tmp_path / "outside" / "inside"
    folder.mkdir(parents=True)
    return folder


def _refused(path: Path, inside: Path) -> str:
    before = files_below(inside.parent)
    with pytest.raises(CheckpointError) as caught:
        archive.unpack(path, inside, CHECKPOINT)
    message = str(caught.value)
    assert str(path) in message
    assert 1 <= len(message.splitlines()) <= 2
    escaped = [file for file in files_below(inside.parent) if not file.startswith("inside/") and file not in before]
    assert escaped == []
    return message


@pytest.mark.parametrize("folder", ["", "./", "nasnet-a_mobile_04_10_2017/", "a/b/c/"])
def test_a_whole_archive_is_unpacked_with_its_folders(tmp_path: Path, inside: Path, folder: str) -> None:
    def fill(tar: tarfile.TarFile) -> None:
        for name, content in CONTENT.items():
            _add(tar, folder + name, content)
        _add(tar, folder + "README.md", b"passed over")
        _add(tar, folder + "graph.pbtxt", b"passed over")

    archive.unpack(_archive(tmp_path / "a.tar.gz", fill), inside, CHECKPOINT)
    for name, content in CONTENT.items():
        assert (inside / folder / name).read_bytes() == content
    assert len([path for path in inside.rglob("*") if path.is_file()]) == len(CONTENT)


def test_names_that_make_an_archive() -> None:
    assert archive.is_archive(Path("a.tar.gz")) and archive.is_archive(Path("b.tgz"))
    assert not archive.is_archive(Path("model.ckpt.index")) and not archive.is_archive(Path("a.zip"))


HOSTILE: dict[str, Fill] = {
    "parent": lambda tar: _add(tar, "../model.ckpt.index"),
    "parent further in": lambda tar: _add(tar, "a/../../model.ckpt.index"),
    "absolute": lambda tar: _add(tar, "/tmp/model.ckpt.index"),
    "backslashes": lambda tar: _add(tar, "..\\model.ckpt.index"),
    "drive": lambda tar: _add(tar, "C:model.ckpt.index"),
    "symbolic link": lambda tar: _add(tar, INDEX, kind=tarfile.SYMTYPE, link="/etc/passwd"),
    "symbolic link to a folder": lambda tar: _add(tar, "checkpoint", kind=tarfile.SYMTYPE, link=".."),
    "hard link": lambda tar: _add(tar, INDEX, kind=tarfile.LNKTYPE, link="/etc/passwd"),
    "character device": lambda tar: _add(tar, INDEX, kind=tarfile.CHRTYPE),
    "block device": lambda tar: _add(tar, INDEX, kind=tarfile.BLKTYPE),
    "named pipe": lambda tar: _add(tar, INDEX, kind=tarfile.FIFOTYPE),
    "harmless link beside": lambda tar: _add(tar, "latest", kind=tarfile.SYMTYPE, link=INDEX),
}


@pytest.mark.parametrize("order", ["first", "last"])
@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_member_is_refused(tmp_path: Path, inside: Path, kind: str, order: str) -> None:
    fills = (HOSTILE[kind], _whole) if order == "first" else (_whole, HOSTILE[kind])
    message = _refused(_archive(tmp_path / "a.tar.gz", *fills), inside)
    assert "leads out" in message or "link or a device" in message
    assert not (inside.parent / INDEX).exists()


def test_a_link_is_never_written_through(tmp_path: Path, inside: Path) -> None:
    def fill(tar: tarfile.TarFile) -> None:
        _add(tar, "sub", kind=tarfile.SYMTYPE, link="..")
        _add(tar, f"sub/{INDEX}")

    assert "link" in _refused(_archive(tmp_path / "a.tar.gz", fill), inside)


@pytest.mark.parametrize("again", [INDEX, f"./{INDEX}"])
def test_a_member_that_comes_twice_is_refused(tmp_path: Path, inside: Path, again: str) -> None:
    path = _archive(tmp_path / "a.tar.gz", _whole, lambda tar: _add(tar, again, b"another index"))
    assert "twice" in _refused(path, inside)
    assert (inside / INDEX).read_bytes() == CONTENT[INDEX]


def test_a_file_where_another_member_needs_a_folder_is_refused(tmp_path: Path, inside: Path) -> None:
    def fill(tar: tarfile.TarFile) -> None:
        _add(tar, "checkpoint", b"a file")
        _add(tar, f"checkpoint/{INDEX}")

    _refused(_archive(tmp_path / "a.tar.gz", fill), inside)


def test_too_many_members_are_refused(tmp_path: Path, inside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _archive(tmp_path / "a.tar.gz", _whole, *(lambda tar: _add(tar, "note.txt"),) * 3)
    monkeypatch.setattr(archive, "MAX_MEMBERS", 5)
    archive.unpack(path, inside, CHECKPOINT)
    monkeypatch.setattr(archive, "MAX_MEMBERS", 4)
    again = tmp_path / "again" / "inside"
    again.mkdir(parents=True)
    assert "more than 4 members" in _refused(path, again)


def test_too_much_content_is_refused(tmp_path: Path, inside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _archive(tmp_path / "a.tar.gz", _whole)
    monkeypatch.setattr(archive, "MAX_UNPACKED_BYTES", sum(map(len, CONTENT.values())) - 1)
    assert "unpacks to more than" in _refused(path, inside)
    assert not (inside / DATA).exists()


def test_a_huge_size_is_refused_before_anything_of_it_is_written(tmp_path: Path, inside: Path) -> None:
    # A bomb says what it unpacks to; a few bytes of it are enough to know.
    member = tarfile.TarInfo(DATA)
    member.size = archive.MAX_UNPACKED_BYTES + 1
    path = tmp_path / "a.tar.gz"
    path.write_bytes(gzip.compress(member.tobuf(tarfile.GNU_FORMAT)))
    assert f"unpacks to more than {archive.MAX_UNPACKED_BYTES // 2**30} GiB" in _refused(path, inside)
    assert files_below(inside) == []


def test_an_archive_without_a_checkpoint_is_refused(tmp_path: Path, inside: Path) -> None:
    path = _archive(tmp_path / "a.tar.gz", lambda tar: _add(tar, "README.md"))
    assert "holds no checkpoint" in _refused(path, inside)
    assert "found README.md" in _refused(path, inside)


def test_a_plain_tar_file_by_the_name_of_another_is_unpacked(tmp_path: Path, inside: Path) -> None:
    path = _archive(tmp_path / "a.tar.gz", _whole)
    path.write_bytes(gzip.decompress(path.read_bytes()))
    archive.unpack(path, inside, CHECKPOINT)
    assert {name: (inside / name).read_bytes() for name in CONTENT} == CONTENT


DAMAGED: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda whole: b"",
    "one byte": lambda whole: whole[:1],
    "header only": lambda whole: whole[:10],
    "half": lambda whole: whole[: len(whole) // 2],
    "no checksum": lambda whole: whole[:-8],
    "last byte missing": lambda whole: whole[:-1],
    "text": lambda whole: b"<html><body>404 Not Found</body></html>",
    "gzip of no tar": lambda whole: gzip.compress(b"hello" * 500),
    "gzip of nothing": lambda whole: gzip.compress(b""),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_archive_is_refused(tmp_path: Path, inside: Path, damage: str) -> None:
    path = _archive(tmp_path / "a.tar.gz", _whole)
    path.write_bytes(DAMAGED[damage](path.read_bytes()))
    _refused(path, inside)


@settings(max_examples=150, deadline=None)
@given(position=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_never_changes_what_is_unpacked(
    tmp_path_factory: pytest.TempPathFactory, position: float, bit: int
) -> None:
    folder = tmp_path_factory.mktemp("flipped")
    path = _archive(folder / "a.tar.gz", _whole)
    content = bytearray(path.read_bytes())
    content[int(position * len(content))] ^= 1 << bit
    path.write_bytes(content)
    inside = folder / "inside"
    inside.mkdir()
    # A refusal is one of nasexport's own; anything else that is raised fails the test.
    with contextlib.suppress(CheckpointError):
        archive.unpack(path, inside, CHECKPOINT)
        # Only gzip's own header (a time stamp, the name of the packing system) may change without being noticed.
        assert {name: (inside / name).read_bytes() for name in CONTENT if (inside / name).exists()} == CONTENT


@pytest.mark.parametrize("kind", ["parent", "symbolic link"])
def test_the_command_line_refuses_a_hostile_archive(own_cli: Command, tiny: Path, kind: str) -> None:
    path = _archive(own_cli.cwd / "evil.tar.gz", _whole, HOSTILE[kind])
    message = refusal(own_cli("build", tiny, "--checkpoint", path, "--output", "out"))
    assert "evil.tar.gz" in message
    assert files_below(own_cli.cwd) == ["evil.tar.gz"]
    assert files_below(own_cli.temporary) == []


@pytest.mark.parametrize("damage", ["empty", "half", "text", "no checksum"])
def test_the_command_line_refuses_a_damaged_archive(own_cli: Command, tiny: Path, damage: str) -> None:
    path = _archive(own_cli.cwd / "torn.tar.gz", _whole)
    path.write_bytes(DAMAGED[damage](path.read_bytes()))
    message = refusal(own_cli("build", tiny, "--checkpoint", path, "--output", "out"))
    assert "torn.tar.gz" in message
    assert files_below(own_cli.cwd) == ["torn.tar.gz"]
    assert files_below(own_cli.temporary) == []
