"""Writes sorted tables as TensorFlow has them, whatever is in them."""

import struct
from collections.abc import Mapping, Sequence

import google_crc32c


def table(entries: Mapping[bytes, bytes], blocks: int = 1) -> bytes:
    """The content of a table's file, with its entries shared out among so many blocks."""
    rows = sorted(entries.items())
    size = -(-len(rows) // blocks) or 1
    content, index = b"", []
    for start in range(0, len(rows), size):
        block = _block(rows[start : start + size])
        index.append((rows[start : start + size][-1][0], _varint(len(content)) + _varint(len(block) - 5)))
        content += block
    more = _block([])
    places = _varint(len(content)) + _varint(len(more) - 5)
    content += more
    last = _block(index)
    places += _varint(len(content)) + _varint(len(last) - 5)
    return content + last + places.ljust(40, b"\0") + bytes.fromhex("57fb808b247547db")


def masked(checksum: int) -> int:
    """A checksum as TensorFlow stores it."""
    return (((checksum >> 15) | (checksum << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def _block(rows: Sequence[tuple[bytes, bytes]]) -> bytes:
    parts, before = [], b""
    for key, value in rows:
        shared = min(len(key), len(before))
        if key[:shared] != before[:shared]:
            shared = next(at for at, (a, b) in enumerate(zip(key, before, strict=False)) if a != b)
        parts += [_varint(shared), _varint(len(key) - shared), _varint(len(value)), key[shared:], value]
        before = key
    block = b"".join(parts) + struct.pack("<II", 0, 1) + b"\0"
    return block + struct.pack("<I", masked(google_crc32c.value(block)))


def _varint(number: int) -> bytes:
    digits = bytearray()
    while number >= 0x80:
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*digits, number])
