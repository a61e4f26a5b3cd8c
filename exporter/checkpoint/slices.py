"""The parts that a variable may be stored in, where it was partitioned, and the keys that they are stored under.

A key begins with a zero byte, which no name does. The order of keys as bytes is that of names, then of parts: numbers
and text are written so that this holds (TensorFlow's ``OrderedCode``).
"""

import re
from collections.abc import Sequence
from typing import Any

#: The extent of a part in a dimension that it has all of.
_ALL = -1


class Part:
    """A part of a variable: where it begins and how much it has of each dimension.

    Args:
        message: the ``TensorSliceProto`` that tells it.
        shape: of the whole variable.

    Raises:
        ValueError: it is no part of that shape.
    """

    def __init__(self, message: Any, shape: Sequence[int]):
        self._extents = [
            (extent.start, extent.length if extent.HasField("length") else _ALL) for extent in message.extent
        ]
        if len(self._extents) != len(shape):
            raise ValueError(f"a part has {len(self._extents)} dimensions, and the whole {len(shape)}")
        for (start, length), size in zip(self._extents, shape, strict=True):
            if length == _ALL and start:
                raise ValueError("a part has all of a dimension, but does not begin with it")
            if length != _ALL and not (0 <= start < start + length <= size):
                raise ValueError(f"a part has {length} of {size} values from number {start} on")
        self.place = tuple(
            slice(start, size if length == _ALL else start + length)
            for (start, length), size in zip(self._extents, shape, strict=True)
        )

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of its values."""
        return tuple(each.stop - each.start for each in self.place)

    @property
    def is_whole(self) -> bool:
        """Whether it is stored under the variable's own key, being all of it."""
        return all(length == _ALL for _, length in self._extents)

    def key(self, name: str) -> bytes:
        """The key of the part of the variable ``name``."""
        numbers = [number for extent in self._extents for number in extent]
        return b"".join(
            [_count(0), _text(name.encode()), _count(len(self._extents)), *(_number(number) for number in numbers)]
        )


def _count(number: int) -> bytes:
    """A number that is not negative: how many bytes it takes, then these."""
    digits = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return bytes([len(digits)]) + digits


def _text(text: bytes) -> bytes:
    """Text, and the mark of its end, which cannot be in it: two kinds of bytes are written as two."""
    return re.sub(rb"[\x00\xff]", lambda byte: byte[0] + bytes([0xFF ^ byte[0][0]]), text) + b"\x00\x01"


def _number(number: int) -> bytes:
    """A number of at most 62 bits: as many ones before its sign as bytes it takes, all turned where it is negative."""
    bits = (~number if number < 0 else number).bit_length()
    size = bits // 7 + 1
    # The first `size` bits are ones, the next is the sign as it is in two's complement, turned.
    ones = ((1 << size) - 1) << (7 * size)
    return (ones ^ (number & ((1 << 8 * size) - 1))).to_bytes(size, "big")
