"""Image files of every kind and in every state: pixels as they should be, or a line that names the file."""

import io
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from exporter.errors import EvaluationError, ImageError
from exporter.evaluation import jobs, numpy_preprocessing, pillow_decoding, preprocessing, records, resizing, shards
from exporter.evaluation.decoding import MAX_PIXELS, decoded, dimensions
from exporter.evaluation.image_files import PILLOW_KINDS, content_of
from exporter.processes import run
from tests.evaluation.test_dataset import record
from tests.support import pictures
from tests.support.command import artifact_folder

SIZE = (64, 64)
PICTURE = pictures.picture(5, 20, 30)
#: By how many of 255 shades Pillow's pixels of a JPEG differ from TensorFlow's: at most, and on average. Measured were
#: 5 and 1.04 in the pictures here, 9 and 1.50 in noise at quality 95.
MOST_OFF, MEAN_OFF = 6, 1.2
#: A small picture in every format that there is, read or not.
SMALL = {
    "JPEG": pictures.encoded(PICTURE, "JPEG"),
    "progressive": pictures.encoded(PICTURE, "JPEG", progressive=True),
    "PNG": pictures.encoded(PICTURE, "PNG"),
    "palette": pictures.encoded(PICTURE.convert("P"), "PNG"),
    "GIF": pictures.encoded(PICTURE, "GIF"),
    "WebP": pictures.encoded(PICTURE, "WEBP", lossless=True),
    "BMP": pictures.encoded(PICTURE, "BMP"),
    "TIFF": pictures.encoded(PICTURE, "TIFF"),
    "deflated": pictures.encoded(PICTURE, "TIFF", compression="tiff_adobe_deflate"),
}


@pytest.mark.parametrize("kind", ["WebP", "BMP", "TIFF", "deflated"])
def test_other_kinds_are_those_pixels(kind: str) -> None:
    assert dimensions(SMALL[kind], "it") == (20, 30)
    assert np.array_equal(decoded(SMALL[kind], "it"), np.asarray(PICTURE))
    expected = preprocessing.preprocessed(SMALL["PNG"], SIZE, "it")
    assert np.array_equal(preprocessing.preprocessed(SMALL[kind], SIZE, "it"), expected)


def _refused(content: bytes) -> str:
    with pytest.raises(ImageError) as caught:
        preprocessing.preprocessed(content, SIZE, "NAME")
    message = str(caught.value)
    assert message.startswith("NAME ") and "\n" not in message
    return message


def test_grey_and_alpha_of_other_kinds() -> None:
    grey = PICTURE.convert("L")
    translucent = PICTURE.copy()
    translucent.putalpha(grey)
    stacked = np.stack([np.asarray(grey)] * 3, -1)
    for kind in PILLOW_KINDS:
        assert np.array_equal(decoded(pictures.encoded(grey, kind, **_lossless(kind)), "it"), stacked), kind
    for kind in ("WebP", "TIFF"):
        content = pictures.encoded(translucent, kind, **(_lossless(kind) | ({"exact": True} if kind == "WebP" else {})))
        assert np.array_equal(decoded(content, "it"), np.asarray(PICTURE)), kind


def _lossless(kind: str) -> dict[str, Any]:
    return {"lossless": True} if kind == "WebP" else {}


def test_what_is_not_read_is_named() -> None:
    assert "is a GIF image: expected JPEG, PNG" in _refused(SMALL["GIF"])
    assert "is a HEIC image" in _refused(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    assert "is a AVIF image" in _refused(pictures.encoded(PICTURE, "AVIF")) if "AVIF" in Image.SAVE else True
    assert "is neither JPEG nor PNG" in _refused(b"text")
    assert "is empty" in _refused(b"")
    deep = Image.fromarray(np.full((4, 4), 40_000, np.uint16))
    assert "mode I;16" in _refused(pictures.encoded(deep, "TIFF"))
    two = io.BytesIO()
    PICTURE.save(two, "TIFF", save_all=True, append_images=[PICTURE])
    assert "holds 2 images: expected one" in _refused(two.getvalue())
    animated = pictures.encoded(PICTURE, "WEBP", save_all=True, append_images=[pictures.picture(6, 20, 30)])
    assert "holds 2 images: expected one" in _refused(animated)


def test_without_pillow_its_kinds_are_refused_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    for kind in PILLOW_KINDS:
        assert f"is a {kind} image, which needs Pillow: pip install 'nasexport[images]'" in _refused(SMALL[kind])
    preprocessing.preprocessed(SMALL["JPEG"], SIZE, "it")


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A small picture with bytes changed, cut out or put in."""
    content = bytearray(draw(st.sampled_from(list(SMALL.values()))))
    for _ in range(draw(st.integers(1, 4))):
        # Most of what can go wrong is at the start.
        place = draw(st.integers(0, min(len(content), draw(st.sampled_from([40, len(content)])))))
        kind = draw(st.sampled_from(["change", "change", "cut", "insert"]))
        if kind == "change":
            content[place : place + 1] = draw(st.binary(min_size=1, max_size=4))
        elif kind == "cut":
            del content[place : place + draw(st.integers(1, 60))]
        else:
            content[place:place] = draw(st.binary(max_size=8))
    return bytes(content)


@settings(max_examples=300, deadline=None)
@given(damaged())
def test_a_damaged_image_is_named_or_is_an_image(content: bytes) -> None:
    try:
        found = preprocessing.preprocessed(content, SIZE, "NAME")
    except ImageError as error:
        message = str(error)
    else:
        assert found.shape == (*SIZE, 3) and 0 <= float(tf.reduce_min(found)) <= float(tf.reduce_max(found)) <= 1
        return
    assert message.startswith("NAME ") and "\n" not in message and len(message) < 300


@settings(max_examples=100, deadline=None)
@given(height=st.integers(1, 90), width=st.integers(1, 90), size=st.tuples(st.integers(1, 60), st.integers(1, 60)))
def test_large_images_are_resized_to_the_same_bits(height: int, width: int, size: tuple[int, int]) -> None:
    pixels = np.random.RandomState(height * 100 + width).randint(0, 256, (height, width, 3)).astype(np.uint8)
    expected = preprocessing.resized(pixels, size)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(preprocessing, "_LARGE", 0)
        found = preprocessing.resized(pixels, size)
    assert found.shape == expected.shape and np.array_equal(found, expected)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP"])
def test_an_image_with_too_many_pixels_is_refused_before_it_is_decoded(kind: str) -> None:
    content = bytearray(SMALL[kind])
    if kind == "JPEG":
        place = content.index(b"\xff\xc0") + 5
        content[place : place + 4] = (65_000).to_bytes(2, "big") * 2
        sides = "65000 x 65000"
    elif kind == "PNG":
        content[16:24] = (40_000).to_bytes(4, "big") * 2
        sides = "40000 x 40000"
    else:
        content[18:26] = (40_000).to_bytes(4, "little") * 2
        sides = "40000 x 40000"
    message = _refused(bytes(content))
    assert f"has {sides} pixels, more than the {MAX_PIXELS:,}" in message or "more pixels than" in message


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.jpg"
    os.mkfifo(pipe)
    with pytest.raises(ImageError, match="is a device or a pipe"):
        content_of(pipe)
    huge = tmp_path / "huge.jpg"
    with open(huge, "wb") as file:
        file.truncate(2**31)
    with pytest.raises(ImageError, match="has 2,147,483,648 bytes, more than"):
        content_of(huge)


@pytest.mark.long
def test_a_large_picture_takes_little_more_than_its_pixels(imagenet_artifacts: Path, tmp_path: Path) -> None:
    model = jobs.ModelToLoad(artifact_folder(imagenet_artifacts, "tiny_imagenet", "classification", 4), 64, 1001)
    # The large one has nearly as many pixels as are allowed, three bytes each.
    sides = {"small.jpg": (100, 100), "large.jpg": (11_584, 11_584)}
    assert MAX_PIXELS - 11_584**2 < 11_584 * 3
    peaks = {}
    for name, side in sides.items():
        path = tmp_path / name
        Image.new("RGB", side, (200, 30, 60)).save(path)
        # Twice: they are not decoded side by side.
        finished = run.run(jobs.PREDICT, jobs.PredictRequest(model, (jobs.Image(path),) * 2, 1))
        assert [image.problem for image in finished.result.images] == [None, None]
        peaks[name] = finished.peak_memory
    assert peaks["large.jpg"] - peaks["small.jpg"] < 2.2 * 3 * 11_584**2


# Records, which are whole as TFRecords but hold anything.

NAMES = ("image/encoded", "image/class/label", "image/class/synset", "image/filename")
VALUES = st.one_of(
    st.lists(st.binary(max_size=8) | st.just(SMALL["JPEG"]), max_size=2).map(
        lambda values: tf.train.Feature(bytes_list=tf.train.BytesList(value=values))
    ),
    st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(0, 12), max_size=2).map(
        lambda values: tf.train.Feature(int64_list=tf.train.Int64List(value=values))
    ),
    st.lists(st.floats(width=32), max_size=2).map(
        lambda values: tf.train.Feature(float_list=tf.train.FloatList(value=values))
    ),
    st.just(tf.train.Feature()),
)


@st.composite
def examples(draw: st.DrawFn) -> bytes:
    """A serialized `tf.train.Example`, at times not even that."""
    features = {name: draw(VALUES) for name in draw(st.sets(st.sampled_from(NAMES)))}
    content = tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()
    if draw(st.integers(0, 3)):
        return content
    return content[: draw(st.integers(0, len(content)))] + draw(st.binary(max_size=9))


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("records") / "validation-00000-of-00001"


@settings(max_examples=200, deadline=None)
@given(content=examples(), classes=st.sampled_from([1001, 5]))
def test_a_record_is_an_image_with_a_class_or_is_named(shard: Path, content: bytes, classes: int) -> None:
    shard.write_bytes(record(content))
    try:
        _, label, name, _ = records.image_in(jobs.Image(shard, 0), classes)
    except (ImageError, EvaluationError) as error:
        message = str(error)
    else:
        assert label is not None and (classes == 1001) <= label < classes
        message = name
    assert str(shard) in message and len(message) < 1000
    assert all(sign.isprintable() for sign in message)


@pytest.mark.parametrize(
    ("features", "classes", "expected"),
    [
        ({"image": SMALL["JPEG"], "label": 0, "file_name": b"val_1.JPEG"}, 1001, (1, "val_1.JPEG")),
        ({"image": SMALL["JPEG"], "label": 999}, 1001, (1000, None)),
        ({"image": SMALL["JPEG"], "label": 4}, 5, (4, None)),
        ({"image/encoded": SMALL["JPEG"], "image/class/label": 4}, 5, (4, None)),
        ({"image": SMALL["JPEG"], "label": 7}, None, (7, None)),
        ({"image/encoded": SMALL["JPEG"], "image/filename": b"a.jpg"}, None, (None, "a.jpg")),
        ({"image": SMALL["JPEG"], "label": 1000}, 1001, "has label 1000, expected 0 to 999: TensorFlow Datasets"),
        ({"image": SMALL["JPEG"], "label": 5}, 5, "has label 5, expected 0 to 4"),
        ({"image": SMALL["JPEG"]}, 1001, "lacks image or label: label is missing, .* that TensorFlow Datasets writes"),
        ({"image/encoded": SMALL["JPEG"], "image/class/label": 5}, 5, "has label 5, expected 0 to 4"),
    ],
)
def test_records_of_both_writers_are_read(
    shard: Path, features: dict[str, Any], classes: int | None, expected: Any
) -> None:
    example = tf.train.Example()
    for name, value in features.items():
        held = example.features.feature[name]
        (held.int64_list if isinstance(value, int) else held.bytes_list).value.append(value)
    shard.write_bytes(record(b"before") + record(example.SerializeToString()))
    image = jobs.Image(shard, shards.offsets(shard)[1])
    if isinstance(expected, str):
        with pytest.raises(EvaluationError, match=expected):
            records.image_in(image, classes)
        return
    found = records.image_in(image, classes)
    assert (found.content, (found.label, found.filename)) == (SMALL["JPEG"], expected)


def test_a_damaged_record_is_named(shard: Path) -> None:
    content = bytearray(record(b"something"))
    content[14] ^= 1
    shard.write_bytes(content)
    with pytest.raises(ImageError, match="the record at byte 0, is damaged"):
        records.image_in(jobs.Image(shard, 0), 1001)


@given(st.integers(1, 3000), st.integers(1, 3000))
@settings(max_examples=100, deadline=None)
def test_the_middle_of_an_array_is_that_of_a_tensor(height: int, width: int) -> None:
    rows, columns = np.arange(height, dtype=np.uint16)[:, None, None], np.arange(width, dtype=np.uint16)[None, :, None]
    for pixels in (np.broadcast_to(rows, (height, 1, 1)), np.broadcast_to(columns, (1, width, 1))):
        np.testing.assert_array_equal(
            resizing.central(pixels), tf.image.central_crop(pixels, preprocessing.CENTRAL_FRACTION)
        )


# Without TensorFlow: Pillow decodes, NumPy does the rest.


@settings(max_examples=60, deadline=None)
@given(height=st.integers(1, 90), width=st.integers(1, 90), size=st.tuples(st.integers(1, 60), st.integers(1, 60)))
def test_without_tensorflow_the_steps_give_the_same_bits(height: int, width: int, size: tuple[int, int]) -> None:
    content = pictures.encoded(pictures.picture(height, height, width), "PNG")
    found = numpy_preprocessing.preprocessed(content, size, "it")
    assert found.dtype == np.float32
    assert np.array_equal(found, preprocessing.preprocessed(content, size, "it"))


def test_one_function_gives_the_bits_of_single_operations() -> None:
    for content in (SMALL["JPEG"], SMALL["progressive"], SMALL["PNG"], SMALL["palette"]):
        found = preprocessing.preprocessed(content, SIZE, "it")
        assert np.array_equal(found, preprocessing.resized(resizing.central(np.asarray(decoded(content, "it"))), SIZE))


def test_what_the_two_decoders_differ_in_is_known() -> None:
    """PNG is the same in every pixel; JPEG differs in the last bits of its inverse transform, and of its colours."""
    image = pictures.picture(7, 240, 320)
    grey = image.convert("L")
    translucent = image.copy()
    translucent.putalpha(grey)
    pixels = np.asarray(image)
    lossless = [
        *(pictures.encoded(each, "PNG") for each in (image, grey, translucent, image.convert("P"), grey.convert("LA"))),
        pictures.encoded(image.convert("1"), "PNG"),
        pictures.deep_png(pixels.astype(np.uint16) * 256 + 77),
        pictures.encoded(Image.fromarray(np.asarray(grey).astype(np.uint16) * 256 + 200), "PNG"),
    ]
    for content in lossless:
        assert np.array_equal(pillow_decoding.decoded(content, "it"), decoded(content, "it"))
    lossy: list[tuple[Any, dict[str, Any]]] = [
        (image, {"quality": 95}),
        (image, {"quality": 75}),
        (image, {"quality": 90, "subsampling": 0, "progressive": True}),
        (grey, {"quality": 90}),
        (image.convert("CMYK"), {"quality": 90}),
    ]
    for each, options in lossy:
        content = pictures.encoded(each, "JPEG", **options)
        difference = np.abs(pillow_decoding.decoded(content, "it").astype(int) - np.asarray(decoded(content, "it")))
        assert difference.max() <= MOST_OFF and difference.mean() <= MEAN_OFF, (options, difference.max())


@settings(max_examples=200, deadline=None)
@given(damaged())
def test_without_tensorflow_a_damaged_image_is_named_or_is_an_image(content: bytes) -> None:
    try:
        found = numpy_preprocessing.preprocessed(content, SIZE, "NAME")
    except ImageError as error:
        message = str(error)
    else:
        assert found.shape == (*SIZE, 3) and 0 <= found.min() <= found.max() <= 1
        return
    assert message.startswith("NAME ") and "\n" not in message and len(message) < 300
