"""Folders of images, shards and files of labels: every picture counts, or one line says what is in the way."""

import io
import struct
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.errors import EvaluationError, ImageError
from exporter.evaluation import chunks, shards
from exporter.evaluation.dataset import listed
from exporter.evaluation.labels import labels_of

WNIDS = ("n01440764", "n01443537", "n02105855")
#: What systems and other programs leave beside pictures and shards; none of it is one.
STRAY = (
    *(".DS_Store", ".hidden.jpg", "Thumbs.db", "desktop.ini", "readme.txt", "labels.csv", "a.xml"),
    *("validation-00000-of-00001.idx", "validation-00000-of-00001.crc", "train-00000-of-00001.txt", "._a.jpg"),
)
PICTURES = ("a.JPEG", "b.jpg", "c.png", "d.webp", "e.tif", "f.gif")
FOLDERS_OF_SYSTEMS = ("@eaDir", ".thumbnails", "__MACOSX", "lost+found")


def record(content: bytes, length: int | None = None) -> bytes:
    """A TFRecord, whose length may be said to be another."""
    header = struct.pack("<Q", len(content) if length is None else length)
    sums = [struct.pack("<I", shards.masked_checksum(part)) for part in (header, content)]
    return header + sums[0] + content + sums[1]


def _made(folder: Path, names: Any) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):
            path.mkdir(exist_ok=True)
        elif name.startswith("validation-0000") and name[-1].isdigit():
            path.write_bytes(record(b"an example") * 2)
        else:
            path.touch()


@st.composite
def trees(draw: st.DrawFn) -> list[str]:
    """The names of files and, with a slash at the end, empty folders."""
    pictures = st.sets(st.sampled_from(PICTURES), max_size=3)
    names = list(draw(st.sets(st.sampled_from(STRAY), max_size=4)))
    names += [f"{folder}/x.jpg" for folder in draw(st.sets(st.sampled_from(FOLDERS_OF_SYSTEMS), max_size=2))]
    if draw(st.booleans()):
        names += draw(pictures)
    for wnid in draw(st.sets(st.sampled_from(WNIDS), max_size=3)):
        names += [
            f"{wnid}/{name}" for name in (*draw(pictures), *draw(st.sets(st.sampled_from(STRAY[:5]), max_size=2)))
        ]
        if draw(st.booleans()):
            names += [f"{wnid}/album.jpg/{name}" for name in draw(pictures)]
        names.append(f"{wnid}/")
    if draw(st.booleans()):
        names += [f"validation-0000{index}-of-00002" for index in draw(st.sets(st.integers(0, 1)))]
    if draw(st.booleans()):
        names += ["album.jpg/", *(f"album.jpg/{name}" for name in draw(pictures))]
    return sorted(set(names))


def _counts(name: str) -> bool:
    """Whether a name of `trees` is that of a picture."""
    parts = name.split("/")
    return (
        name.lower().endswith((".jpeg", ".jpg", ".png", ".webp", ".tif", ".gif"))
        and not any(part.startswith(".") for part in parts)
        and not parts[0].startswith(FOLDERS_OF_SYSTEMS)
    )


@settings(max_examples=200, deadline=None)
@given(trees())
def test_every_picture_counts_or_a_line_says_what_is_in_the_way(names: list[str]) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "set"
        folder.mkdir()
        _made(folder, names)
        pictures = [name for name in names if _counts(name)]
        held = [name for name in names if name.startswith("validation") and name[-1].isdigit()]
        flat = [name for name in pictures if "/" not in name]
        labels = Path(temporary) / "labels.txt"
        labels.write_text("7\n" * len(flat))
        classed = [name for name in pictures if name.startswith(WNIDS)]
        elsewhere = [name for name in pictures if name.startswith("album.jpg/")]
        if flat or held:
            fits = bool(flat) != bool(held) and not classed and not elsewhere
        else:
            fits = bool(classed) and not any(name.startswith("album.jpg/") for name in names)
        try:
            found = listed(folder, labels if flat else None, 1001)
        except EvaluationError as error:
            message = str(error)
        else:
            assert fits
            items = [item.file for item in found.items]
            assert items == ([name for name in held for _ in range(2)] if held else sorted(pictures))
            return
        assert not fits, message
        assert "\n" not in message and str(folder) in message
        for kind in (flat, held):
            if kind:
                assert kind[0] in message and " and " in message


def _message(folder: Path, labels: Path | None = None, classes: int = 1001) -> str:
    with pytest.raises(EvaluationError) as caught:
        listed(folder, labels, classes)
    return str(caught.value)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["n01440764/a.jpg", "stray.jpg"], "pictures (stray.jpg) and folders of classes (n01440764)"),
        (["n01440764/a.jpg", "validation-00000-of-00001"], "shards (validation-00000-of-00001) and folders of classes"),
        (["a.jpg", "b.jpg", "validation-00000-of-00001"], "pictures (a.jpg, …) and shards (validation-00000-of-00001)"),
        (["a.jpg", "more/deep/b.jpg"], "pictures (a.jpg) and other folders (more)"),
        (["n01440764/a.jpg", "album.jpg/b.jpg"], "album.jpg has the label 'album.jpg'"),
        (["n01440764/validation-00000-of-00001"], "holds shards (validation-00000-of-00001) and is in a folder of"),
    ],
)
def test_a_folder_of_two_kinds_is_named_with_both(tmp_path: Path, names: list[str], said: str) -> None:
    _made(tmp_path, names)
    assert said in _message(tmp_path, tmp_path / "labels.txt" if "b.jpg" in names else None)


def test_classes_that_are_not_those_of_imagenet_are_counted_from_0(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    _made(folder, [f"{index}/{index}.jpg" for index in range(5)])
    assert [item.label for item in listed(folder, None, 5).items] == [0, 1, 2, 3, 4]
    assert "the label 4, expected 0 to 3" in _message(folder, classes=4)
    assert "expected folders named by wnid" in _message(folder)  # ImageNet's have wnids

    _made(tmp_path / "flat", ["a.jpg", "b.jpg"])
    labels = tmp_path / "labels.txt"
    labels.write_text("0\n4\n")
    assert [item.label for item in listed(tmp_path / "flat", labels, 5).items] == [0, 4]
    assert "line 1 of" in _message(tmp_path / "flat", labels) and "0 is the background" in _message(
        tmp_path / "flat", labels
    )
    labels.write_text("1\n5\n")
    message = _message(tmp_path / "flat", labels, 5)
    assert "the label 5, expected 0 to 4, as the network numbers classes" in message and "background" not in message
    assert "the indices of their classes" in _message(tmp_path / "flat", None, 5)


def test_links_are_followed_once(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    _made(folder, ["n01440764/a.jpg"])
    (folder / "n01443537").symlink_to(folder / "n01440764")
    assert [item.file for item in listed(folder, None, 1001).items] == ["n01440764/a.jpg", "n01443537/a.jpg"]
    (folder / "n01440764" / "again").symlink_to(folder / "n01440764")
    assert "again is a link to a folder that it lies in" in _message(folder)
    (folder / "n01440764" / "again").unlink()
    (folder / "n01440764" / "itself.jpg").symlink_to("itself.jpg")
    # It counts as a picture, and reading it says what is wrong with it.
    assert "n01440764/itself.jpg" in [item.file for item in listed(folder, None, 1001).items]


def test_shards_that_are_there_twice_are_refused(tmp_path: Path) -> None:
    _made(tmp_path, ["validation-00000-of-00001"])
    (tmp_path / "validation-00000-of-00001.tfrecord").write_bytes(record(b"content"))
    assert "holds shards of validation twice" in _message(tmp_path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (record(b"x", 2**60), "has 1,152,921,504,606,846,976 bytes, which goes beyond the end"),
        (record(b"x") + record(b"yy")[:-1], "the record at byte 17 has 2 bytes, which goes beyond the end"),
        (record(b"x") + b"\0" * 7, "its last 7 bytes, from byte 17 on"),
        (b"\0" * 64, "at byte 0 is a length whose checksum is another one"),
        (b"\x1f\x8b\x08\0\0\0\0\0\0\x03..", "compressed with gzip"),
        (b"\x78\x9c" + b"." * 20, "compressed with zlib"),
        (b"BZh91AY&SY........", "compressed with bzip2"),
        (b"\xfd7zXZ\0........", "compressed with xz"),
        (b"\x28\xb5\x2f\xfd........", "compressed with zstd"),
    ],
)
def test_a_shard_says_what_is_wrong_with_it(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "validation-00000-of-00001"
    path.write_bytes(content)
    message = _message(tmp_path)
    assert str(path) in message and said in message


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shard") / "validation-00000-of-00001"


RECORDS = [record(bytes([65 + index]) * (10 * index)) for index in range(4)]


@st.composite
def damaged_shards(draw: st.DrawFn) -> bytes:
    """Bytes of a shard with some changed, cut out, put in, or with records whose length is a lie."""
    content = bytearray(b"".join(RECORDS))
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, max(len(content) - 1, 0)))
        kind = draw(st.sampled_from(["change", "cut", "insert", "record"]))
        if kind == "change" and content:
            content[place] = draw(st.integers(0, 255))
        elif kind == "cut":
            del content[place : place + draw(st.integers(1, 40))]
        elif kind == "insert":
            content[place:place] = draw(st.binary(max_size=20))
        else:
            content += record(b"last", draw(st.integers(0, 2**64 - 1)))
    return bytes(content)


@settings(max_examples=300, deadline=None)
@given(content=damaged_shards())
def test_a_damaged_shard_is_named_or_its_records_fill_it(shard: Path, content: bytes) -> None:
    shard.write_bytes(content)
    try:
        found = shards.offsets(shard)
    except EvaluationError as error:
        message = str(error)
    else:
        message = ""
    if message:
        assert str(shard) in message and "\n" not in message and len(message) < 1000
        return
    place = 0
    for offset in found:
        assert offset == place
        place += 16 + int.from_bytes(content[offset : offset + 8], "little")
    assert place == len(content)


def test_names_in_a_file_of_labels_are_those_of_files(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_text("val\\my photo 2.jpg 7 boxes 1 2\r\nval/b\u2028c.jpg 8\r\n")
    assert labels_of(["b\u2028c.jpg", "my photo 2.jpg"], path, 1001) == [8, 7]


LINES = st.one_of(
    st.text(max_size=30),
    st.from_regex(r"n\d{8}", fullmatch=True),
    st.sampled_from(
        ["7", "0", "1001", "-1", "٣", "9" * 5000, "a.jpg,7", "b.jpg\t8", "a.jpg 9", "n01440764", "\0", "\x1b[2J"]
    ),
)


@settings(max_examples=200, deadline=None)
@given(
    content=st.one_of(st.binary(max_size=60), st.lists(LINES, max_size=4).map(lambda lines: "\n".join(lines).encode())),
    classes=st.sampled_from([1001, 5]),
)
def test_labels_are_classes_or_a_line_is_named(shard: Path, content: bytes, classes: int) -> None:
    path = shard.with_name("labels.txt")
    path.write_bytes(content)
    try:
        found = labels_of(["a.jpg", "b.jpg"], path, classes)
    except EvaluationError as error:
        message = str(error)
        assert str(path) in message and len(message) < 1000 and len(message.splitlines()) <= 2
        assert all(sign.isprintable() or sign == "\n" for sign in message)
        return
    assert len(found) == 2 and all((classes == 1001) <= label < classes for label in found)


# Data sets that are files: lists, tar files, shards of one of several sets.


def _tar(path: Path, members: list[tuple[str, bytes]], kind: int = tarfile.PAX_FORMAT) -> Path:
    with tarfile.open(path, "w", format=kind) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


@pytest.mark.parametrize("kind", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_members_of_a_tar_file_are_where_they_are_said_to_be(tmp_path: Path, kind: int) -> None:
    deep = "folder/" * 12 + "x" * 60 + ".jpg"  # more than the header has room for
    members = [
        ("0001.jpg", b"first" * 300),
        ("0001.cls", b"7\n"),
        ("0001.json", b"{}"),
        ("readme.txt", b"no picture"),
        (deep, b"second"),
        (deep.replace(".jpg", ".cls"), b"8"),
        (".hidden.jpg", b"none"),
        ("0003.seg.png", b"no picture of ours"),
        ("0003.png", b"third" * 500),
        ("0003.cls", b"9"),
    ]
    path = _tar(tmp_path / "000000.tar", members, kind)
    found = listed(tmp_path, None, 5_000)
    assert (found.arrangement, [item.label for item in found.items]) == ("tars", [7, 8, 9])
    assert [item.member for item in found.items] == ["0001.jpg", deep, "0003.png"]
    contents = dict(members)
    for place, item in enumerate(found.items):
        image = found.image(place)
        assert image.name == f"{path}/{item.member}"
        assert chunks._member(image) == contents[str(item.member)]
    assert list(listed(path, None, 5_000).items) == list(found.items)

    path.write_bytes(path.read_bytes()[:1024])
    with pytest.raises(ImageError, match=r"0001\.jpg is damaged: .* ends within it"):
        chunks._member(found.image(0))
    with pytest.raises(ImageError, match=r"0003\.png is not where it was when"):
        chunks._member(found.image(2))


def test_labels_of_tar_files_are_counted_from_0(tmp_path: Path) -> None:
    path = _tar(tmp_path / "a.tar", [("a.jpg", b"x"), ("a.cls", b"0"), ("b.jpg", b"x"), ("b.cls", b"n01443537")])
    # ImageNet's networks have a class for the background before them.
    assert [item.label for item in listed(tmp_path, None, 1001).items] == [1, 2]
    assert [item.label for item in listed(tmp_path, None, None).items] == [0, 2]
    assert "has the wnid n01443537" in _message(tmp_path, classes=5)
    for label, said in {b"1000": "the label 1000, expected 0 to 999", b"cat": "the label 'cat'"}.items():
        _tar(path, [("a.jpg", b"x"), ("a.cls", label)])
        assert f"{path}/a.jpg" in _message(tmp_path) and said in _message(tmp_path)
    _tar(path, [("a.jpg", b"x"), ("a.txt", b"1")])
    assert "has no label: expected a .cls file after it" in _message(tmp_path)
    assert [item.label for item in listed(tmp_path, None, None).items] == [None]
    _tar(path, [("a.jpg", b"x"), ("a.png", b"x")])
    assert "two pictures of one name, a.jpg and a.png" in _message(tmp_path)
    path.write_bytes(b"no tar file" * 100)
    assert "is no whole tar file" in _message(tmp_path)
    path.rename(tmp_path / "a.tar.gz")
    assert "is compressed (compressed ones are not read)" in _message(tmp_path)
    # Beside pictures it is what they were unpacked from.
    _made(tmp_path, ["n01440764/a.jpg"])
    assert listed(tmp_path, None, 1001).arrangement == "folders"


@settings(max_examples=150, deadline=None)
@given(cut=st.integers(0, 6000), place=st.integers(0, 5999), value=st.integers(0, 255))
def test_a_damaged_tar_file_is_named_or_its_members_are_in_it(shard: Path, cut: int, place: int, value: int) -> None:
    path = _tar(shard.with_name("a.tar"), [("a.jpg", b"x" * 700), ("a.cls", b"1"), ("b.jpg", b"y"), ("b.cls", b"2")])
    content = bytearray(path.read_bytes())[: len(path.read_bytes()) - cut]
    if place < len(content):
        content[place] = value
    path.write_bytes(content)
    try:
        found = listed(path, None, None)
    except EvaluationError as error:
        message = str(error)
    else:
        assert all(item.offset is not None and item.offset + 512 <= len(content) for item in found.items)
        return
    assert str(path) in message and len(message.splitlines()) == 1 and message.isprintable()


LISTS = {
    "paths.txt": ("a.jpg\n\n b c.png \n/else/d.jpg\n", ["a.jpg", "b c.png", "/else/d.jpg"], None),
    "labels.txt": ("a.jpg\t3\nb c.png 4\n", ["a.jpg", "b c.png"], [3, 4]),
    "table.tsv": ("path\tlabel\na.jpg\t3\nb\tn01440764\n", ["a.jpg", "b"], [3, 1]),
    "quoted.csv": ('\ufeffFile,class,more\n"a, b.jpg",3,x\n"say ""c"".jpg", 4\nd.jpg,5\n', None, [3, 4, 5]),
}


@pytest.mark.parametrize(("content", "names", "labels"), LISTS.values(), ids=LISTS)
def test_a_list_has_paths_and_perhaps_labels(
    tmp_path: Path, request: pytest.FixtureRequest, content: str, names: list[str] | None, labels: list[int] | None
) -> None:
    path = tmp_path / str(request.node.callspec.id)
    path.write_text(content, encoding="utf-8")
    found = listed(path, None, None)
    assert [item.file for item in found.items] == (names or ["a, b.jpg", 'say "c".jpg', "d.jpg"])
    wanted: list[int] | list[None] = labels or [None] * len(found.items)
    assert [item.label for item in found.items] == wanted
    assert found.image(0).file == tmp_path / found.items[0].file
    if labels:
        assert [item.label for item in listed(path, None, 1001).items] == labels
    else:
        assert f"line 1 of {path} has no label" in _message(path)


def test_what_is_no_list_is_named(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    for content, said in {
        b"\0\0": "line 1 of .* is no path",
        b"a" * 70_000: "line 1 of .* is no path",
        b"": "holds list, but no image",
        b"a.jpg\tcat\n": "line 1 of .* has the label 'cat': expected a wnid such as n01440764 or a number",
    }.items():
        path.write_bytes(content)
        with pytest.raises(EvaluationError, match=said):
            listed(path, None, None)
    path.with_suffix(".csv").write_text(',"a"\n')
    assert "line 1 of" in _message(path.with_suffix(".csv"), classes=5)


@settings(max_examples=150, deadline=None)
@given(
    content=st.binary(max_size=80),
    suffix=st.sampled_from([".txt", ".csv", ".tsv"]),
    classes=st.sampled_from([None, 5]),
)
def test_a_list_of_anything_is_read_or_named(shard: Path, content: bytes, suffix: str, classes: int | None) -> None:
    path = shard.with_name(f"list{suffix}")
    path.write_bytes(content)
    try:
        found = listed(path, None, classes)
    except EvaluationError as error:
        message = str(error)
        assert str(path) in message and len(message) < 1000 and len(message.splitlines()) <= 2
        return
    assert all(item.file and "\0" not in item.file for item in found.items)


def test_one_of_several_sets_is_named_by_its_beginning(tmp_path: Path) -> None:
    _made(tmp_path, ["validation-00000-of-00001"])
    (tmp_path / "train-00000-of-00001").write_bytes(record(b"x") * 3)
    assert len(listed(tmp_path, None, 1001).items) == 2
    assert len(listed(tmp_path / "train", None, 1001).items) == 3
    assert len(listed(tmp_path / "train-00000-of-00001", None, 1001).items) == 3
    # Without labels, none is meant more than another.
    with pytest.raises(EvaluationError, match=r"holds several data sets \(.*\): expected one, or --images .*/train"):
        listed(tmp_path, None, None)


@pytest.mark.long
def test_a_million_images_take_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    with open(path, "w") as file:
        for number in range(10**6):
            file.write(f"photos/{number % 997:03}/IMG_{number:07}.jpg\t{number % 1000 + 1}\n")
    program = (
        "import sys\nfrom pathlib import Path\nfrom exporter.evaluation.dataset import listed\n"
        f"found = listed(Path({str(path)!r}), None, 1001)\nassert len(found.items) == 10**6\nfound.digest()\n"
        "print([line for line in open('/proc/self/status') if line.startswith('VmHWM')][0].split()[1])\n"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(result.stdout) * 1024 < 150 * 10**6
