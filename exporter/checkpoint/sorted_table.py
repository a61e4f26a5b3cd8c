"""Reads the sorted tables that TensorFlow keeps keys and values in, such as the index of a checkpoint.

The layout is LevelDB's: blocks of entries, whose keys leave out what they share with the one before; an index, a block
of the same kind, with the place of each block; and a footer of 48 bytes with the place of the index. After each block
come a byte for how it is packed and a checksum of both (CRC-32C, masked, as a checksum of data that holds checksums
would be weak). Sizes and lengths are "varints": seven bits a byte, the lowest first, the highest bit set while more
come. Numbers of fixed size have the lowest byte first.
"""

import struct
from collections.abc import Iterator

import google_crc32c

#: What a table ends with: the places of two blocks, zeros, and the bytes by which it is known.
FOOTER_BYTES = 48
MAGIC = bytes.fromhex("57fb808b247547db")
#: Behind each block: how it is packed, and its checksum.
_TRAILER = struct.Struct("<BI")
_UINT32 = struct.Struct("<I")
_MASK = 0xA282EAD8
#: Of all keys together, in bytes: a small file can stand for many times its size of them. Those of the largest network
#: with all that training keeps take 1 MB.
_MOST_KEYS = 2**26


class TableError(ValueError):
    """A table that is damaged, or cut short."""


def entries(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Every key with its value, in ascending order of the keys.

    Args:
        content: the whole file.

    Raises:
        TableError: a checksum does not match, or something in it is not as it must be.
    """
    if len(content) < FOOTER_BYTES or not content.endswith(MAGIC):
        raise TableError("it does not end as a table of TensorFlow's does")
    position = len(content) - FOOTER_BYTES
    _, position = _handle(content, position)  # an index of further data about the table, of which there is none
    index, _ = _handle(content, position)
    before: bytes | None = None
    taken = 0
    for _, place in _entries_of(_block(content, *index)):
        handle, _ = _handle(place, 0)
        for key, value in _entries_of(_block(content, *handle)):
            if before is not None and key <= before:
                raise TableError("its keys are not in ascending order")
            taken += len(key)
            if taken > _MOST_KEYS:
                raise TableError(f"its keys take more than {_MOST_KEYS} bytes")
            yield key, value
            before = key


def masked(checksum: int) -> int:
    """How TensorFlow stores a CRC-32C."""
    return (((checksum >> 15) | (checksum << 17)) + _MASK) & 0xFFFFFFFF


def unmasked(checksum: int) -> int:
    """The CRC-32C that TensorFlow stores as ``checksum``."""
    rotated = (checksum - _MASK) & 0xFFFFFFFF
    return (rotated >> 17) | ((rotated << 15) & 0xFFFFFFFF)


def varint(content: bytes, position: int) -> tuple[int, int]:
    """The number at a place, below 2**64, and where it ends.

    Raises:
        TableError: it is cut short, or too large.
    """
    value = shift = 0
    while shift < 70 and position < len(content):
        byte = content[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            # Of a tenth byte TensorFlow takes the lowest bit only.
            return value & 0xFFFFFFFFFFFFFFFF, position
        shift += 7
    raise TableError("a number in it is cut short, or too large")


def _handle(content: bytes, position: int) -> tuple[tuple[int, int], int]:
    """Where a block begins and how many bytes it has, and where that is said no more."""
    begin, position = varint(content, position)
    size, position = varint(content, position)
    return (begin, size), position


def _block(content: bytes, begin: int, size: int) -> bytes:
    end = begin + size
    if end + _TRAILER.size > len(content):
        raise TableError("a block of it lies behind its end")
    packing, checksum = _TRAILER.unpack_from(content, end)
    if google_crc32c.value(content[begin : end + 1]) != unmasked(checksum):
        raise TableError("the checksum of a block does not match")
    if packing:
        raise TableError(f"a block of it is packed in the way {packing}, as TensorFlow packs no index")
    return content[begin:end]


def _entries_of(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The entries of a block. At its end is where those begin whose keys are whole, which only a search needs."""
    if len(block) < _UINT32.size:
        raise TableError("a block of it is cut short")
    (restarts,) = _UINT32.unpack_from(block, len(block) - _UINT32.size)
    end = len(block) - (1 + restarts) * _UINT32.size
    if end < 0:
        raise TableError("a block of it is cut short")
    position, key = 0, b""
    while position < end:
        shared, position = varint(block, position)
        added, position = varint(block, position)
        size, position = varint(block, position)
        begin = position + added
        position = begin + size
        if shared > len(key) or position > end:
            raise TableError("an entry of it is cut short")
        key = key[:shared] + block[begin - added : begin]
        yield key, block[begin:position]
