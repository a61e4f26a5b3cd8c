"""The bytes of an ONNX model, piece by piece: no copy of the weights is made but for one at a time.

Protocol buffers hold the values of tensors as their own, and a message within a message once more when the outer one is
put into bytes: for a network of 356 MB that takes five times its weights, and most of the time. The layout is that of
https://protobuf.dev/programming-guides/encoding; the bytes are those that ``SerializeToString`` gives.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

#: The tag of a field whose value has a length before it: its number, times eight, and two.
_WITH_LENGTH = 2


@dataclass(frozen=True)
class Initializer:
    """A tensor of a model: a value, with its axes in the order ``axes`` unless that is None."""

    value: NDArray[Any]
    axes: tuple[int, ...] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        shape = self.value.shape
        return tuple(shape[axis] for axis in self.axes) if self.axes else shape

    def array(self) -> NDArray[Any]:
        """The value as it is stored: little-endian, one row after the other."""
        ordered = self.value.transpose(self.axes) if self.axes else self.value
        return np.ascontiguousarray(ordered, ordered.dtype.newbyteorder("<")).reshape(ordered.shape)

    def tensor(self, name: str) -> onnx.TensorProto:
        """The tensor but for its values."""
        kind = helper.np_dtype_to_tensor_dtype(self.value.dtype)
        return onnx.TensorProto(dims=self.shape, data_type=kind, name=name)


def pieces(model: onnx.ModelProto, initializers: Mapping[str, Initializer]) -> Iterator[bytes | memoryview]:
    """The bytes of a model with these initializers, by their names and in their order, of which it has none itself."""
    graph_before, graph_after = _around(model.graph, onnx.GraphProto.INITIALIZER_FIELD_NUMBER)
    model_before, model_after = _around(model, onnx.ModelProto.GRAPH_FIELD_NUMBER)
    raw, initializer = onnx.TensorProto.RAW_DATA_FIELD_NUMBER, onnx.GraphProto.INITIALIZER_FIELD_NUMBER
    heads = []
    size = len(graph_before) + len(graph_after)
    for name, each in initializers.items():
        own = _bytes(each.tensor(name)) + _tag(raw) + _varint(each.value.nbytes)
        head = _tag(initializer) + _varint(len(own) + each.value.nbytes) + own
        heads.append(head)
        size += len(head) + each.value.nbytes
    yield model_before + _tag(onnx.ModelProto.GRAPH_FIELD_NUMBER) + _varint(size) + graph_before
    for head, each in zip(heads, initializers.values(), strict=True):
        yield head
        yield each.array().data
    yield graph_after + model_after


def _around(message: Any, number: int) -> tuple[bytes, bytes]:
    """The bytes of all fields before one, and of all after it; fields come in the order of their numbers."""
    parts = []
    for before in (True, False):
        part = type(message)()
        part.CopyFrom(message)
        for field, _ in message.ListFields():
            if field.number == number or (field.number < number) != before:
                part.ClearField(field.name)
        parts.append(_bytes(part))
    return parts[0], parts[1]


def _bytes(message: Any) -> bytes:
    serialized: bytes = message.SerializeToString(deterministic=True)
    return serialized


def _tag(number: int) -> bytes:
    return _varint(number * 8 + _WITH_LENGTH)


def _varint(value: int) -> bytes:
    """A number as seven bits in each byte, the lowest first; all but the last have the eighth bit set."""
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)
