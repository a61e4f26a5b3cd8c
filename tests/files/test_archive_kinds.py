"""Archives of every kind, told by what they hold, and those that are made to fill a machine."""

import bz2
import gzip
import hashlib
import io
import lzma
import struct
import tarfile
import time
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from exporter.checkpoint import source
from exporter.checkpoint.source import CHECKPOINT
from exporter.errors import CacheError, CheckpointError
from exporter.files import archive
from exporter.files.decompression import DamagedError
from exporter.files.members import zip_members

MIB = 2**20
Files = Mapping[str, bytes]


def _tar(files: Files, format_: int = tarfile.PAX_FORMAT) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=format_) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def _zip(files: Files, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as members:
        for name, content in files.items():
            members.writestr(name, content)
    return packed.getvalue()


KINDS: dict[str, Callable[[Files], bytes]] = {
    "tar": _tar,
    "tar of GNU": lambda files: _tar(files, tarfile.GNU_FORMAT),
    "gzip": lambda files: gzip.compress(_tar(files), 1),
    "gzip, two streams": lambda files: b"".join(gzip.compress(part, 1) for part in _halves(_tar(files))),
    "gzip, padded": lambda files: gzip.compress(_tar(files), 1) + bytes(512),
    "bzip2": lambda files: bz2.compress(_tar(files), 1),
    "xz": lambda files: lzma.compress(_tar(files), preset=0),
    "zip": _zip,
    "zip, stored": lambda files: _zip(files, zipfile.ZIP_STORED),
    "zip, bzip2": lambda files: _zip(files, zipfile.ZIP_BZIP2),
}
NAMES = [
    "nasnet.tar.gz",
    "nasnet (1).tar.gz",
    "nasnet.tgz",
    "nasnet",
    "nasnet.zip",
    "a [b] c.tar",
    "größe.tar.xz",
    "x.ckpt",
]


def _halves(content: bytes) -> Iterator[bytes]:
    yield content[: len(content) // 2]
    yield content[len(content) // 2 :]


def _checkpoint(prefix: str) -> dict[str, bytes]:
    return {f"{prefix}.index": b"index of " + prefix.encode(), f"{prefix}.data-00000-of-00001": bytes(range(256)) * 9}


CLUTTER = {
    "._model.ckpt.index": b"mac",
    "._model.ckpt.data-00000-of-00001": b"mac",
    "__MACOSX/._model.ckpt.index": b"mac",
    "__MACOSX/run/model.ckpt.index": b"mac",
    "__MACOSX/run/model.ckpt.data-00000-of-00001": b"mac",
    ".DS_Store": b"mac",
    "images.index": b"an index of something else",
    "run/faiss.index": b"another",
    "README.md": b"hello",
    "eval/events.out.tfevents": b"events",
    "a name of " + 120 * "x": b"long",
}
prefixes = st.lists(
    st.sampled_from(["model.ckpt", "run/model.ckpt-5", "a/b/model[1].ckpt", "größe/m o d.ckpt-0", "z"]),
    unique=True,
    max_size=3,
)


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(sorted(KINDS)),
    name=st.sampled_from(NAMES),
    held=prefixes,
    clutter=st.sets(st.sampled_from(sorted(CLUTTER))),
    latest=st.integers(-1, 2),
    style=st.sampled_from(["{}", "/old/home/{}", "C:\\\\\\\\train\\\\\\\\{}", "C:\\\\train\\\\{}"]),
    data=st.data(),
)
def test_the_checkpoint_in_it_is_found_or_what_is_there_is_named(
    tmp_path_factory: pytest.TempPathFactory,
    kind: str,
    name: str,
    held: list[str],
    clutter: set[str],
    latest: int,
    style: str,
    data: st.DataObject,
) -> None:
    files = {path: CLUTTER[path] for path in clutter}
    for prefix in held:
        files |= _checkpoint(prefix)
    named = held[latest] if 0 <= latest < len(held) else None
    if named:
        folder, _, last = named.rpartition("/")
        text = f'model_checkpoint_path: "{style.format(last)}"\n'
        files[f"{folder}/checkpoint" if folder else "checkpoint"] = text.encode()
    order = data.draw(st.permutations(sorted(files)))
    path = tmp_path_factory.mktemp("kinds") / name
    path.write_bytes(KINDS[kind]({each: files[each] for each in order}))

    meant = held[0] if len(held) == 1 else named
    if meant:
        with source.opened(path) as opened:
            assert str(opened.prefix).endswith(f"/{meant}")
            for file, content in _checkpoint(meant).items():
                assert (opened.prefix.parent / Path(file).name).read_bytes() == content
                assert opened.files[Path(file).name] == hashlib.sha256(content).hexdigest()
            assert opened.archive_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
            assert opened.archive == name
        return
    with pytest.raises(CheckpointError) as caught, source.opened(path):
        pytest.fail("it was opened")
    message = str(caught.value)
    _require_short(message, path)
    assert "nasexport-" not in message
    if held:
        assert f"holds {len(held)} checkpoints" in message and all(prefix in message for prefix in held)
    elif {"images.index", "run/faiss.index"} & clutter:
        assert "but no data file" in message
    elif clutter:
        assert "holds no checkpoint" in message and sorted(clutter)[0][:30] in message


def _require_short(message: str, path: Path) -> None:
    assert str(path) in message
    assert len(message.splitlines()) <= 2 and len(message.replace(str(path), "").encode()) < 1000
    assert message.replace("\n", "").isprintable()


@settings(max_examples=200, deadline=None)
@given(kind=st.sampled_from(sorted(KINDS)), data=st.data())
def test_a_changed_archive_is_refused_or_the_same(
    tmp_path_factory: pytest.TempPathFactory, kind: str, data: st.DataObject
) -> None:
    files = _checkpoint("run/model.ckpt") | {"README.md": b"hello"}
    content = bytearray(KINDS[kind](files))
    for _ in range(data.draw(st.integers(1, 3))):
        where = data.draw(st.integers(0, len(content) - 1))
        match data.draw(st.sampled_from(["set", "cut", "insert", "repeat"])):
            case "set":
                content[where] = data.draw(st.integers(0, 255))
            case "cut":
                del content[where : where + data.draw(st.integers(1, 600))]
            case "insert":
                content[where:where] = data.draw(st.binary(min_size=1, max_size=20))
            case "repeat":
                content[where:where] = content[where : where + 512]
        assume(content)
    folder = tmp_path_factory.mktemp("changed")
    path, inside = folder / "a.tar.gz", folder / "inside"
    inside.mkdir()
    path.write_bytes(content)
    try:
        unpacked = archive.unpack(path, inside, CHECKPOINT)
    except CheckpointError as error:
        _require_short(str(error), path)
        return
    # What a checksum covers is as it was; a tar file that is not compressed has one of its headers only.
    if not kind.startswith("tar"):
        for name in files.keys() & unpacked.files.keys():
            if (inside / name).is_file():
                assert (inside / name).read_bytes() == files[name]


@settings(max_examples=150, deadline=None)
@given(
    start=st.sampled_from([b"\x1f\x8b\x08", b"BZh9", b"\xfd7zXZ\x00", b"PK\x03\x04", b"PK\x05\x06", b""]),
    rest=st.binary(max_size=2000),
)
def test_anything_else_is_refused(tmp_path_factory: pytest.TempPathFactory, start: bytes, rest: bytes) -> None:
    path = tmp_path_factory.mktemp("anything") / "a.tar.gz"
    path.write_bytes(start + rest)
    with pytest.raises(CheckpointError) as caught:
        archive.unpack(path, path.parent, CHECKPOINT)
    _require_short(str(caught.value), path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\x89HDF\r\n\x1a\nrest", "an HDF5 file"),
        (b"7z\xbc\xaf\x27\x1c" + bytes(100), "a 7-Zip archive"),
        (b"Rar!\x1a\x07\x01", "a RAR archive"),
        (b"\x28\xb5\x2f\xfd" + bytes(90), "compressed with Zstandard"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "a pointer of Git LFS"),
        (b"\n<!DOCTYPE html><html>", "a page or XML"),
        (b"\x80\x04pickle", "a pickle"),
        (b"\x1b[31mred", "begins with b'\\x1b[31mred'"),
        (b"", "empty"),
    ],
)
def test_what_is_no_archive_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    for name in ("a.tar.gz", "weights"):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(CheckpointError) as caught, source.opened(path):
            pytest.fail("it was opened")
        assert said in str(caught.value)
        _require_short(str(caught.value), path)


def test_a_zip_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    locked = bytearray(_zip(_checkpoint("model.ckpt"), zipfile.ZIP_STORED))
    for magic, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        locked[locked.index(magic) + offset] |= 1
    link = zipfile.ZipInfo("model.ckpt.index")
    link.external_attr = 0o120777 << 16
    linked = io.BytesIO()
    with zipfile.ZipFile(linked, "w") as members:
        members.writestr(link, "/etc/passwd")
    for content, said in (
        (bytes(locked), "encrypted"),
        (linked.getvalue(), "a link"),
        (_zip(_checkpoint("m"), zipfile.ZIP_LZMA), "method 14"),
        (_zip({"../m.index": b"x"}), "leads out"),
    ):
        path.write_bytes(content)
        with pytest.raises(CheckpointError) as caught, source.opened(path):
            pytest.fail("it was opened")
        assert said in str(caught.value)
        _require_short(str(caught.value), path)


def test_a_state_file_does_not_lead_out_of_an_archive(tmp_path: Path) -> None:
    """What is named as coming from an archive came from it."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for name, content in _checkpoint("secret.ckpt").items():
        (elsewhere / name).write_bytes(content)
    path = tmp_path / "a.tar.gz"
    state = f'model_checkpoint_path: "{elsewhere}/secret.ckpt"\n'.encode()
    path.write_bytes(gzip.compress(_tar({"checkpoint": state, **_checkpoint("a"), **_checkpoint("b")})))
    with pytest.raises(CheckpointError) as caught, source.opened(path):
        pytest.fail("it was opened")
    assert f"{path}: checkpoint names the checkpoint" in str(caught.value)


def _header(type_: bytes, size: int, name: str = "x") -> bytes:
    member = tarfile.TarInfo(name)
    member.type, member.size = type_, max(size, 0)
    header = bytearray(member.tobuf(tarfile.GNU_FORMAT))
    if size < 0:
        header[124:136] = b"\xff" * 8 + struct.pack(">i", size)
        header[148:156] = b"%06o\0 " % (sum(header[:148]) + 256 + sum(header[156:]))
    return bytes(header)


def _pax(**fields: str) -> bytes:
    """A header of POSIX's, with its records."""
    records = b""
    for key, value in fields.items():
        rest = f" {key.replace('__', '.')}={value}\n".encode()
        records += next(b"%d" % size + rest for size in range(999) if size == len(b"%d" % size + rest))
    return _header(tarfile.XHDTYPE, len(records)) + records + bytes(-len(records) % 512)


def _zeros(count: int) -> Iterator[bytes]:
    for _ in range(count // MIB):
        yield bytes(MIB)


def _gzipped(parts: Iterator[bytes]) -> bytes:
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=1, mtime=0) as file:
        for part in parts:
            file.write(part)
    return packed.getvalue()


def _headers_without_end(type_: bytes, size: int) -> Iterator[bytes]:
    yield _header(type_, size)
    yield from _zeros(300 * MIB)


def _chain(header: bytes) -> Iterator[bytes]:
    for _ in range(5000):
        yield header
    yield _tar(_checkpoint("model.ckpt"))


def _sparse_map() -> Iterator[bytes]:
    """POSIX's third form of sparse files, with a map that says it has 10**15 numbers."""
    yield _pax(GNU__sparse__major="1", GNU__sparse__minor="0")
    yield _header(tarfile.REGTYPE, 300 * MIB) + b"1000000000000000\n" + b"1\n" * 200
    yield from _zeros(300 * MIB)


def _large_dictionary() -> bytes:
    """An xz file that says it needs 4 GiB to be unpacked."""
    content = bytearray(lzma.compress(_tar(_checkpoint("model.ckpt"))))
    start, size = 12, (content[12] + 1) * 4
    place = content.index(b"\x21\x01", start)
    content[place + 2] = 40
    content[start + size - 4 : start + size] = struct.pack("<I", zlib.crc32(content[start : start + size - 4]))
    return bytes(content)


def _nul_in_a_name() -> Iterator[bytes]:
    yield _pax(path="model\0.ckpt.index")
    yield _tar(_checkpoint("model.ckpt"))


BOMBS: dict[str, Callable[[], bytes]] = {
    "a long name": lambda: _gzipped(_headers_without_end(tarfile.GNUTYPE_LONGNAME, 3 * 2**30)),
    "a long link": lambda: _gzipped(_headers_without_end(tarfile.GNUTYPE_LONGLINK, 3 * 2**30)),
    "a header of POSIX's": lambda: _gzipped(_headers_without_end(tarfile.XHDTYPE, 3 * 2**30)),
    "a global header": lambda: _gzipped(_headers_without_end(tarfile.XGLTYPE, 3 * 2**30)),
    "a sparse file": lambda: _gzipped(_headers_without_end(tarfile.GNUTYPE_SPARSE, 2**20)),
    "a map of a sparse file": lambda: _gzipped(_sparse_map()),
    "a chain of long names": lambda: _gzipped(_chain(_header(tarfile.GNUTYPE_LONGNAME, 5) + b"name\0" + bytes(507))),
    "a chain of headers": lambda: _gzipped(_chain(_pax(path="ab"))),
    "a chain of global headers": lambda: _gzipped(_chain(_header(tarfile.XGLTYPE, 11) + b"11 path=ab\n" + bytes(501))),
    "a negative size": lambda: _gzipped(iter([_header(tarfile.REGTYPE, -512), _tar(_checkpoint("model.ckpt"))])),
    "a negative size of a name": lambda: _gzipped(iter([_header(tarfile.GNUTYPE_LONGNAME, -512), bytes(2048)])),
    "a NUL in a name": lambda: _gzipped(_nul_in_a_name()),
    "zeros": lambda: _gzipped(iter([_header(tarfile.REGTYPE, 3 * 2**30, "note"), *_zeros(300 * MIB)])),
    "zeros after the end": lambda: _gzipped(iter([_tar(_checkpoint("model.ckpt")), *_zeros(300 * MIB)])),
    "a large dictionary": _large_dictionary,
    "a zip file of zeros": lambda: _zip({"model.ckpt.index": b"x", "model.ckpt.data-00000-of-00001": bytes(270 * MIB)}),
}


@contextmanager
def _bounded() -> Iterator[None]:
    """At most 10 seconds of a processor, and 100 MB of Python's memory."""
    began = time.process_time()
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 100e6
    assert time.process_time() - began < 10


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_is_refused_in_bounds(tmp_path: Path, bomb: str) -> None:
    path, inside = tmp_path / "a.tar.gz", tmp_path / "inside"
    inside.mkdir()
    path.write_bytes(BOMBS[bomb]())
    with _bounded(), pytest.raises(CheckpointError) as caught:
        archive.unpack(path, inside, CHECKPOINT)
    _require_short(str(caught.value), path)


def test_a_zip_file_with_a_directory_of_gigabytes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    size = 3 * 2**30
    with open(path, "wb") as file:
        file.write(b"PK\x03\x04")
        file.truncate(size)
        file.seek(size)
        file.write(struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 60000, 60000, size - 4, 4, 0))
    with _bounded(), open(path, "rb") as file, pytest.raises(DamagedError, match="directory"):
        list(zip_members(file))


def test_a_disk_that_fails_is_not_the_archives_fault(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    path.write_bytes(KINDS["gzip"](_checkpoint("model.ckpt")))
    with pytest.raises(CacheError) as caught:
        archive.unpack(path, Path("/proc/nasexport-1234"), CHECKPOINT)
    assert f"cannot unpack {path} into /proc: " in str(caught.value) and "nasexport-" not in str(caught.value)
