"""Reads the checkpoints that TensorFlow writes since 2016 (its format V2, a "tensor bundle"), without TensorFlow.

The index is a sorted table of protocol buffers: a header under the empty key, and for each variable its type, its
shape, and where in which data file its bytes are, with a checksum of them. The data files are these bytes alone. Where
a variable was stored in parts, its entry names them, and each part has an entry of its own.

Numbers lie there as they do in memory, in rows. A tensor of text begins with the length of each (a varint), then has a
checksum of these lengths, as numbers of 32 bits, or 64 where one is that large; then comes the text. Its entry's
checksum is that of the lengths, as numbers again, of their checksum, and of the text.
"""

import itertools
import struct
import sys
from collections.abc import Iterable
from math import prod
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
from google.protobuf.message import DecodeError, Message
from numpy.typing import NDArray
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import tensor_bundle_pb2

from exporter.checkpoint import sorted_table
from exporter.checkpoint.files import data_file_of, data_files_of, index_of
from exporter.checkpoint.slices import Part
from exporter.checkpoint.sorted_table import unmasked, varint
from exporter.graph import data_types
from exporter.validation import shown

#: The version of the format; TensorFlow has written no other.
VERSION = 1
#: The most dimensions and values that a tensor of TensorFlow can have.
_MOST_DIMENSIONS, _MOST_VALUES = 254, 2**63 - 1
#: Bytes that are copied at a time for a checksum: what a processor's cache holds.
_PIECE = 2**18
#: NumPy's types of numbers by the numbers that TensorFlow has for them.
NUMBERS: dict[int, Any] = {
    types_pb2.DT_FLOAT: np.float32,
    types_pb2.DT_DOUBLE: np.float64,
    types_pb2.DT_HALF: np.float16,
    types_pb2.DT_INT8: np.int8,
    types_pb2.DT_INT16: np.int16,
    types_pb2.DT_INT32: np.int32,
    types_pb2.DT_INT64: np.int64,
    types_pb2.DT_UINT8: np.uint8,
    types_pb2.DT_UINT16: np.uint16,
    types_pb2.DT_UINT32: np.uint32,
    types_pb2.DT_UINT64: np.uint64,
    types_pb2.DT_BOOL: np.bool_,
    types_pb2.DT_COMPLEX64: np.complex64,
    types_pb2.DT_COMPLEX128: np.complex128,
}
#: Bytes of a value of each, by the names of types.
SIZES: dict[str, int] = {data_types.name_of(number): np.dtype(type_).itemsize for number, type_ in NUMBERS.items()}


def checksum_of(content: NDArray[np.uint8]) -> int:
    """The CRC-32C of bytes in memory. google-crc32c takes bytes objects, and written in Python nothing else."""
    checksum = 0
    for begin in range(0, len(content), _PIECE):
        checksum = google_crc32c.extend(checksum, content[begin : begin + _PIECE].tobytes())
    return checksum


class BundleError(ValueError):
    """A checkpoint that is damaged, or cut short."""


class Bundle:
    """A checkpoint's variables by their keys.

    Attributes:
        shapes: of each variable.
        types: the name of each one's data type, such as "float32".
        is_native: whether it was written on a machine with this one's order of bytes; only such values are read here.

    Raises:
        BundleError: the index is damaged.
        ValueError: as well.
        OSError: it cannot be read.
    """

    def __init__(self, prefix: Path):
        self._prefix = prefix
        found = sorted_table.entries(index_of(prefix).read_bytes())
        key, value = next(found, (None, b""))
        if key != b"":
            raise BundleError("its index has no header")
        header: Any = _parsed(tensor_bundle_pb2.BundleHeaderProto, value, "its header")
        _require_version(header.version)
        self._shards: int = header.num_shards
        is_little = header.endianness == tensor_bundle_pb2.BundleHeaderProto.LITTLE
        self.is_native = is_little == (sys.byteorder == "little")
        self._entries = {key: _entry(key, value) for key, value in found}
        parts = {key for name, entry in self._entries.items() if entry.slices for key in _keys_of_parts(name, entry)}
        names = {key.decode(): key for key in self._entries if key not in parts}
        self.shapes = {name: _shape(self._entries[key]) for name, key in names.items()}
        self.types = {name: data_types.name_of(self._entries[key].dtype) for name, key in names.items()}

    def has_plain_values(self, key: str) -> bool:
        """Whether a variable's values are what `read` gives: numbers that NumPy has, or text."""
        type_ = self._entries[key.encode()].dtype
        return self.is_native and (type_ in NUMBERS or type_ == types_pb2.DT_STRING)

    def read(self, key: str) -> Any:
        """The value of a variable as TensorFlow's reader gives it: an array, of bytes objects for text; where it has no
        dimensions, a number of NumPy's, or bytes.

        Raises:
            BundleError: its checksum does not match, or it is cut off.
            OSError: it cannot be read.
        """
        entry = self._entries[key.encode()]
        value = self._assembled(key, entry) if entry.slices else self._value(key, entry)
        return value if value.ndim else value[()]

    def _assembled(self, name: str, entry: Any) -> NDArray[Any]:
        shape = _shape(entry)
        if prod(shape) > sum(file.stat().st_size for file in data_files_of(self._prefix)):
            raise BundleError(f"{shown(name)} has the shape {list(shape)}, for which its files are too small")
        whole = np.empty(shape, object if entry.dtype == types_pb2.DT_STRING else NUMBERS[entry.dtype])
        filled = np.zeros(shape, np.bool_)
        for part in _parts(entry):
            key = name.encode() if part.is_whole else part.key(name)
            held = self._entries.get(key)
            if held is None or held.dtype != entry.dtype or _shape(held) != part.shape:
                raise BundleError(f"a part of {shown(name)} is not there, or not of its type and shape")
            if filled[part.place].any():
                raise BundleError(f"{shown(name)} has some values in more than one part")
            whole[part.place] = self._value(name, held)
            filled[part.place] = True
        if not filled.all():
            raise BundleError(f"the parts of {shown(name)} are not all of it")
        return whole

    def _value(self, name: str, entry: Any) -> NDArray[Any]:
        shape, is_text = _shape(entry), entry.dtype == types_pb2.DT_STRING
        needed = prod(shape) * (1 if is_text else np.dtype(NUMBERS[entry.dtype]).itemsize)
        if entry.size < needed if is_text else entry.size != needed:
            raise BundleError(f"{shown(name)} has {entry.size} bytes, which are not those of its shape {list(shape)}")
        content = self._content(entry)
        if is_text:
            texts, checksum = _texts(content.tobytes(), prod(shape))
            value = np.empty(len(texts), object)
            value[:] = texts
        else:
            checksum = checksum_of(content)
            value = content.view(NUMBERS[entry.dtype])
        if checksum != unmasked(entry.crc32c):
            raise BundleError(f"the checksum of {shown(name)} does not match")
        return value.reshape(shape)

    def _content(self, entry: Any) -> NDArray[np.uint8]:
        """The bytes of a variable, in memory of their own."""
        if not 0 <= entry.shard_id < self._shards:
            raise BundleError(f"it has no data file of number {entry.shard_id}")
        path = data_file_of(self._prefix, entry.shard_id, self._shards)
        with open(path, "rb") as file:
            # Memory is taken for what is there, whatever the index says.
            if not 0 <= entry.offset <= entry.offset + entry.size <= file.seek(0, 2):
                raise BundleError(f"{shown(path.name)} is cut short")
            file.seek(entry.offset)
            content = np.fromfile(file, np.uint8, entry.size)
        if len(content) != entry.size:
            raise BundleError(f"{shown(path.name)} became shorter")
        return content


def _parsed(kind: Any, content: bytes, what: str) -> Message:
    try:
        return kind.FromString(content)
    except DecodeError as error:
        raise BundleError(f"{what} is none") from error


def _require_version(version: Any) -> None:
    if version.min_consumer > VERSION or VERSION in version.bad_consumers:
        raise BundleError(f"it is for readers of version {version.min_consumer}, and not for those of {VERSION}")


def _entry(key: bytes, value: bytes) -> Any:
    entry: Any = _parsed(tensor_bundle_pb2.BundleEntryProto, value, f"the entry {shown(key.decode(errors='replace'))}")
    sizes = _shape(entry)
    is_shape = not entry.shape.unknown_rank and len(sizes) <= _MOST_DIMENSIONS and all(size >= 0 for size in sizes)
    if not is_shape or prod(filter(None, sizes)) > _MOST_VALUES:
        raise BundleError(f"the entry {shown(key.decode(errors='replace'))} has the shape {shown(list(sizes))}")
    return entry


def _shape(entry: Any) -> tuple[int, ...]:
    return tuple(dimension.size for dimension in entry.shape.dim)


def _parts(entry: Any) -> Iterable[Part]:
    return (Part(message, _shape(entry)) for message in entry.slices)


def _keys_of_parts(name: bytes, entry: Any) -> Iterable[bytes]:
    return (part.key(name.decode()) for part in _parts(entry))


def _texts(content: bytes, count: int) -> tuple[list[bytes], int]:
    """The texts of a tensor, and the checksum of its entry."""
    if not content:
        return [], 0
    lengths, position = [], 0
    for _ in range(count):
        length, position = varint(content, position)
        lengths.append(length)
    told = b"".join(struct.pack("<I" if length < 2**32 else "<Q", length) for length in lengths)
    stored = content[position : position + 4]
    position += 4
    if position + sum(lengths) != len(content):
        raise BundleError("texts in it are cut short")
    checksum = google_crc32c.value(told)
    if checksum != unmasked(int.from_bytes(stored, "little")):
        raise BundleError("the checksum of the lengths of texts does not match")
    ends = np.cumsum([position, *lengths]).tolist()
    texts = [content[begin:end] for begin, end in itertools.pairwise(ends)]
    return texts, google_crc32c.extend(checksum, stored + content[position:])
