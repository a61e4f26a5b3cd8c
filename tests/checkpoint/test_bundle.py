"""Checkpoints are read without TensorFlow as TensorFlow's own reader reads them, whatever happened to their files."""

import resource
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tensorflow.core.protobuf import tensor_bundle_pb2

from exporter.checkpoint.bundle import Bundle
from exporter.checkpoint.bundle_writer import save
from exporter.checkpoint.files import index_of
from exporter.checkpoint.values import READ_ERRORS, Values
from tests.support import bundles
from tests.support.tables import masked, table

Files = dict[str, bytes]
TYPES = (
    *("float32", "float64", "float16", "complex64", "complex128", "bool"),
    *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
)


def _of_each_type(folder: Path) -> Path:
    tensors: dict[str, Any] = {name: np.arange(6).reshape(2, 3).astype(name) for name in TYPES}
    tensors |= {f"a/{name}": np.dtype(name).type(1) for name in TYPES}
    tensors |= {"text": np.array(b"word" * 40), "texts": np.array([[b"one", b""], [b"\0", b"four" * 80]])}
    tensors |= {"none": np.zeros((0, 3), np.float32), "no text": np.array([], "S1")}
    return bundles.write(folder / "model.ckpt", tensors)


def _in_parts(folder: Path) -> Path:
    """Two files with values; variables in parts, one with a name that has to be written in another way."""
    rows, other = np.arange(1000, dtype=np.float32).reshape(200, 5), np.arange(-8, 8, dtype=np.int32)
    first = {"rows": ("200 5 0,70:-", rows[:70]), "n\0\xffm": ("16 0,9", other[:9]), "all": ("4 0,4", other[:4])}
    second = {"rows": ("200 5 70,130:-", rows[70:]), "n\0\xffm": ("16 9,7", other[9:]), "step": ("", np.int64(7))}
    shards = []
    for number, held in enumerate((first, second)):
        shards.append(str(folder / f"part_{number}"))
        tf.raw_ops.SaveV2(
            prefix=shards[-1],
            tensor_names=list(held),
            shape_and_slices=[place for place, _ in held.values()],
            tensors=[tf.convert_to_tensor(value) for _, value in held.values()],
        )
    tf.raw_ops.MergeV2Checkpoints(checkpoint_prefixes=shards, destination_prefix=str(folder / "model.ckpt"))
    return folder / "model.ckpt"


def _object_based(folder: Path) -> Path:
    made = tf.train.Checkpoint(layer=tf.Variable(np.ones((3, 4), np.float32), name="dense/kernel"), step=tf.Variable(1))
    return Path(made.write(str(folder / "model.ckpt")))


def _of_many(folder: Path) -> Path:
    """More names than one block of an index has."""
    return bundles.write(folder / "model.ckpt", {f"{'name/' * 30}{number}": np.int32(number) for number in range(7000)})


KINDS: dict[str, Callable[[Path], Path]] = {
    "of each type": _of_each_type,
    "in parts": _in_parts,
    "object-based": _object_based,
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Files]:
    """The files of a checkpoint of each kind."""
    found = {}
    for kind, write in KINDS.items():
        prefix = write(tmp_path_factory.mktemp("made"))
        found[kind] = {
            file.name: file.read_bytes() for file in prefix.parent.iterdir() if file.name.startswith(prefix.name)
        }
    return found


def _with_tensorflow(prefix: Path) -> dict[str, tuple[str, Any]] | None:
    """Each value with its type's name, as TensorFlow's reader gives them; None where it refuses the files."""
    try:
        reader = tf.train.load_checkpoint(str(prefix))
        types = reader.get_variable_to_dtype_map()
        return {key: (types[key].name, reader.get_tensor(key)) for key in reader.get_variable_to_shape_map()}
    except (tf.errors.OpError, ValueError, RuntimeError, IndexError, TypeError):
        return None


def _without(prefix: Path) -> dict[str, tuple[str, Any]] | None:
    try:
        bundle = Bundle(prefix)
        found = {key: (bundle.types[key], bundle.read(key)) for key in bundle.shapes}
    except READ_ERRORS:
        return None
    assert all(np.shape(value) == bundle.shapes[key] for key, (_, value) in found.items())
    return found


def _require_same(found: dict[str, tuple[str, Any]] | None, expected: dict[str, tuple[str, Any]] | None) -> None:
    assert (found is None) == (expected is None)
    if found is None or expected is None:
        return
    assert found.keys() == expected.keys()
    for key, (type_, value) in expected.items():
        assert (type(found[key][1]), found[key][0]) == (type(value), type_), key
        assert getattr(found[key][1], "dtype", None) == getattr(value, "dtype", None), key
        assert np.array_equal(found[key][1], value), key


@pytest.mark.parametrize("write", [*KINDS.values(), _of_many])
def test_values_names_shapes_and_types_are_those_of_tensorflow(write: Callable[[Path], Path], tmp_path: Path) -> None:
    prefix = write(tmp_path)
    found = _without(prefix)
    assert found
    _require_same(found, _with_tensorflow(prefix))


def test_the_checkpoints_of_the_tests_are_read_the_same(tiny_checkpoint: Path) -> None:
    found = _without(tiny_checkpoint)
    assert found and len(found) > 100
    _require_same(found, _with_tensorflow(tiny_checkpoint))


def test_a_block_of_names_is_not_lost_without_a_word(tmp_path: Path) -> None:
    """TensorFlow's reader leaves out what follows a damaged block, and says nothing."""
    index = index_of(_of_many(tmp_path))
    content = bytearray(index.read_bytes())
    content[len(content) // 2] ^= 1
    index.write_bytes(content)
    assert _without(tmp_path / "model.ckpt") is None


@st.composite
def _damages(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    """What may have happened to a file."""
    place, byte, length = draw(st.floats(0, 1, exclude_max=True)), draw(st.integers(1, 255)), draw(st.integers(1, 40))

    def damaged(content: bytes) -> bytes:
        at = int(place * len(content))
        return {
            "changed": lambda: content[:at] + bytes([content[at] ^ byte]) + content[at + 1 :],
            "cut": lambda: content[:at],
            "lacking": lambda: content[:at] + content[at + length :],
            "longer": lambda: content[:at] + bytes([byte]) * length + content[at:],
            "zero": lambda: content[:at] + bytes(min(length, len(content) - at)) + content[at + length :],
        }[kind]()

    kind = draw(st.sampled_from(["changed", "changed", "changed", "cut", "lacking", "longer", "zero"]))
    return damaged


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(sorted(KINDS)), which=st.integers(0, 5), damages=st.lists(_damages(), min_size=1, max_size=2)
)
def test_either_both_readers_refuse_or_both_give_the_same(
    tmp_path_factory: pytest.TempPathFactory,
    made: dict[str, Files],
    kind: str,
    which: int,
    damages: list[Callable[[bytes], bytes]],
) -> None:
    files = made[kind]
    # As often the index as all files with values together.
    name = sorted(files)[which % (len(files) - 1)] if which < 3 else "model.ckpt.index"
    folder = tmp_path_factory.mktemp("damaged")
    for each, content in files.items():
        for damage in damages if each == name else ():
            content = damage(content) if content else content
        (folder / each).write_bytes(content)
    _require_same(_without(folder / "model.ckpt"), _with_tensorflow(folder / "model.ckpt"))
    shutil.rmtree(folder)


HEADER = tensor_bundle_pb2.BundleHeaderProto(num_shards=1, version={"producer": 1}).SerializeToString()
_messages = st.builds(
    lambda **fields: tensor_bundle_pb2.BundleEntryProto(**fields).SerializeToString(),
    dtype=st.sampled_from([0, 1, 3, 7, 9, 14, 21, 77, 101]),
    shape=st.builds(
        lambda sizes, unknown: {"dim": [{"size": size} for size in sizes], "unknown_rank": unknown},
        st.lists(st.sampled_from([-1, 0, 1, 2, 3, 2**31, 2**62]), max_size=3),
        st.booleans() | st.just(False),
    ),
    shard_id=st.sampled_from([-1, 0, 1, 2**31 - 1]),
    offset=st.sampled_from([-(2**63), -1, 0, 4, 2**63 - 1]),
    size=st.sampled_from([-(2**63), -1, 0, 4, 12, 64, 2**40, 2**63 - 1]),
    crc32c=st.just(0xA282EAD8) | st.integers(0, 2**32 - 1),
    slices=st.lists(
        st.builds(
            lambda extents: {"extent": [{"start": start, "length": length} for start, length in extents]},
            st.lists(st.tuples(st.integers(-1, 3), st.sampled_from([-1, 0, 1, 2, 2**62])), max_size=3),
        ),
        max_size=3,
    ),
)
_text_of_keys = st.binary(min_size=1, max_size=5) | st.just(b"a")


@settings(max_examples=300, deadline=None)
@given(
    header=st.just(HEADER) | st.binary(max_size=20),
    entries=st.dictionaries(_text_of_keys, _messages | st.binary(max_size=30), max_size=4),
    data=st.binary(max_size=64),
    blocks=st.integers(1, 4),
)
@example(header=HEADER, entries={}, data=b"", blocks=1)
def test_rubbish_under_the_right_checksums_is_an_error_or_a_value(
    tmp_path_factory: pytest.TempPathFactory, header: bytes, entries: dict[bytes, bytes], data: bytes, blocks: int
) -> None:
    """TensorFlow's own reader ends the process for some of these."""
    folder = tmp_path_factory.mktemp("rubbish")
    (folder / "model.ckpt.index").write_bytes(table({b"": header, **entries}, blocks))
    (folder / "model.ckpt.data-00000-of-00001").write_bytes(data)
    if _reads_all(folder / "model.ckpt"):
        _without(folder / "model.ckpt")
    shutil.rmtree(folder)


def _reads_all(prefix: Path) -> bool:
    """Whether no value of it is left to TensorFlow."""
    try:
        bundle = Bundle(prefix)
    except READ_ERRORS:
        return False
    return all(bundle.has_plain_values(key) for key in bundle.shapes)


@settings(max_examples=150, deadline=None)
@given(content=st.binary(max_size=200), footer=st.binary(min_size=40, max_size=40))
def test_rubbish_that_ends_as_a_table_does_is_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, footer: bytes
) -> None:
    folder = tmp_path_factory.mktemp("rubbish")
    (folder / "model.ckpt.index").write_bytes(content + footer + bytes.fromhex("57fb808b247547db"))
    assert _without(folder / "model.ckpt") is None
    shutil.rmtree(folder)


def test_keys_that_a_small_index_stands_for_take_no_memory(tmp_path: Path) -> None:
    """Each key is the one before and a byte more: the size of all is the square of their number."""
    (tmp_path / "model.ckpt.index").write_bytes(table({b"": HEADER} | {b"a" * size: b"" for size in range(1, 12_000)}))
    with pytest.raises(ValueError, match="its keys take more than"):
        Bundle(tmp_path / "model.ckpt")


@pytest.mark.skipif(sys.platform != "linux", reason="the largest resident set is in kB on Linux only")
def test_a_shape_takes_no_memory_for_values_that_are_not_there(tmp_path: Path) -> None:
    entry = tensor_bundle_pb2.BundleEntryProto(dtype=1, shape={"dim": [{"size": 2**33}]}, size=2**35)
    parts = tensor_bundle_pb2.BundleEntryProto()
    parts.CopyFrom(entry)
    parts.slices.add().extent.add(start=0, length=2**33)
    (tmp_path / "model.ckpt.index").write_bytes(
        table({b"": HEADER, b"parts": parts.SerializeToString(), b"whole": entry.SerializeToString()})
    )
    (tmp_path / "model.ckpt.data-00000-of-00001").write_bytes(b"few")
    bundle = Bundle(tmp_path / "model.ckpt")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for key in ("parts", "whole"):
        with pytest.raises(ValueError, match=r"too small|cut short"):
            bundle.read(key)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


def test_what_numpy_does_not_have_is_left_to_tensorflow(tmp_path: Path) -> None:
    more = {
        "iterator": tf.raw_ops.TensorListReserve(element_shape=[2], num_elements=3, element_dtype=tf.float32),
        "brain": tf.constant([1.5, 2], tf.bfloat16),
        "plain": np.ones(3, np.float32),
    }
    values = Values(bundles.write(tmp_path / "model.ckpt", more))
    assert values.types == {"iterator": "variant", "brain": "bfloat16", "plain": "float32"}
    assert np.array_equal(values.read("brain").astype(np.float32), [1.5, 2])
    assert values.read("iterator").dtype == tf.variant
    assert np.array_equal(values.read("plain"), [1, 1, 1])


def test_bytes_in_the_other_order_are_left_to_tensorflow(tmp_path: Path) -> None:
    prefix = bundles.write(tmp_path / "model.ckpt", {"a": np.arange(3, dtype=np.float32)})
    bundle = Bundle(prefix)
    big = tensor_bundle_pb2.BundleHeaderProto(num_shards=1, version={"producer": 1}, endianness=1).SerializeToString()
    entry = tensor_bundle_pb2.BundleEntryProto(dtype=1, shape={"dim": [{"size": 3}]}, size=12)
    data = np.arange(3).astype(">f4").tobytes()
    entry.crc32c = masked(google_crc32c.value(data))
    index_of(prefix).write_bytes(table({b"": big, b"a": entry.SerializeToString()}))
    bundles.data_file(prefix).write_bytes(data)
    bundle = Bundle(prefix)
    assert not bundle.has_plain_values("a")
    assert np.array_equal(Values(prefix).read("a"), [0, 1, 2])


_arrays = st.builds(
    lambda shape, type_: np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(type_),
    st.lists(st.integers(0, 4), max_size=3).map(tuple),
    st.sampled_from(TYPES),
)
_names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12)


def _require_same_bytes(folder: Path, tensors: dict[str, Any]) -> None:
    expected = bundles.write(folder / "tensorflow" / "model.ckpt", tensors)
    (folder / "own").mkdir()
    save(folder / "own" / "model.ckpt", dict(tensors))
    files = sorted(file.name for file in expected.parent.iterdir())
    assert sorted(file.name for file in (folder / "own").iterdir()) == files
    for name in files:
        assert (folder / "own" / name).read_bytes() == (expected.parent / name).read_bytes(), name


@settings(max_examples=100, deadline=None)
@given(tensors=st.dictionaries(_names, _arrays | st.binary(max_size=300), min_size=1, max_size=40))
def test_a_checkpoint_is_written_in_the_bytes_of_tensorflow(
    tmp_path_factory: pytest.TempPathFactory, tensors: dict[str, Any]
) -> None:
    folder = tmp_path_factory.mktemp("written")
    _require_same_bytes(folder, tensors)
    shutil.rmtree(folder)


@pytest.mark.parametrize("ending", ["", "/" + "\xff" * 20, "name" * 50])
def test_an_index_of_many_blocks_has_the_bytes_of_tensorflow(tmp_path: Path, ending: str) -> None:
    _require_same_bytes(tmp_path, {f"{number // 7}/{number}{ending}": np.int32(number) for number in range(14_000)})
