"""Writes the sorted tables that `exporter.checkpoint.sorted_table` reads, in the bytes that TensorFlow writes."""

import struct
from collections.abc import Iterable

import google_crc32c

from exporter.checkpoint.sorted_table import FOOTER_BYTES, MAGIC, masked

#: A block ends with the entry that makes it as large as this, in bytes.
_BLOCK_BYTES = 2**18
#: After so many entries, a key is written whole; in the index of blocks, each is.
_WHOLE_KEYS, _WHOLE_KEYS_IN_INDEX = 16, 1


def table(entries: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The content of a table's file.

    Args:
        entries: keys with their values, in ascending order of the keys; there is at least one.
    """
    content = bytearray()
    index = _Block(_WHOLE_KEYS_IN_INDEX)
    block, handle, last = _Block(_WHOLE_KEYS), b"", b""
    for key, value in entries:
        if handle:
            index.add(_separator(last, key), handle)
            handle = b""
        block.add(key, value)
        last = key
        if block.size >= _BLOCK_BYTES:
            handle, block = _written(block, content), _Block(_WHOLE_KEYS)
    index.add(_successor(last), handle or _written(block, content))
    footer = _written(_Block(_WHOLE_KEYS), content) + _written(index, content)
    return bytes(content) + footer.ljust(FOOTER_BYTES - len(MAGIC), b"\0") + MAGIC


class _Block:
    """Entries, whose keys leave out what they share with the one before but for every ``whole``-th."""

    def __init__(self, whole: int):
        self._whole, self._count, self._last = whole, 0, b""
        self._content, self._restarts = bytearray(), [0]

    def add(self, key: bytes, value: bytes) -> None:
        shared = 0
        if self._count and self._count % self._whole == 0:
            self._restarts.append(len(self._content))
        else:
            shared = _shared(self._last, key)
        self._content += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        self._last = key
        self._count += 1

    @property
    def size(self) -> int:
        return len(self._content) + 4 * len(self._restarts) + 4

    @property
    def content(self) -> bytes:
        return bytes(self._content) + struct.pack(f"<{len(self._restarts) + 1}I", *self._restarts, len(self._restarts))


def varint(number: int) -> bytes:
    """A number that is not negative: seven bits a byte, the lowest first, the highest bit set while more come."""
    digits = bytearray()
    while number >= 0x80:
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*digits, number])


def _written(block: _Block, file: bytearray) -> bytes:
    """Appends a block to a file: not packed, and with a checksum. Returns where it is, as the index tells it."""
    content = block.content + b"\0"
    handle = varint(len(file)) + varint(len(content) - 1)
    file += content + struct.pack("<I", masked(google_crc32c.value(content)))
    return handle


def _shared(one: bytes, other: bytes) -> int:
    """How many bytes both begin with."""
    length = min(len(one), len(other))
    if one[:length] == other[:length]:
        return length
    return next(place for place in range(length) if one[place] != other[place])


def _separator(last: bytes, following: bytes) -> bytes:
    """A short key that is not before ``last``, and before ``following``."""
    place = _shared(last, following)
    if place < min(len(last), len(following)) and last[place] + 1 < following[place]:
        return last[:place] + bytes([last[place] + 1])
    return last


def _successor(last: bytes) -> bytes:
    """A short key that is not before ``last``."""
    for place, byte in enumerate(last):
        if byte != 0xFF:
            return last[:place] + bytes([byte + 1])
    return last
