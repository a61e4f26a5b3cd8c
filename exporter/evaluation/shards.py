"""TFRecord files, as TF-Slim writes data sets: which files are, and where their records begin."""

import re
import struct
from collections.abc import Callable, Sequence
from pathlib import Path

from exporter.errors import EvaluationError
from exporter.evaluation.opening import NoFileError, opened, size_of

_NAME = re.compile(r"(?P<split>.+?)-(?P<index>\d{5})-of-(?P<shards>\d{5})(?P<suffix>(?:\.\w+)*)", re.ASCII | re.DOTALL)
#: Suffixes of shards; those of other files beside them, such as an index, are not of shards.
_SUFFIXES = ("", ".tfrecord", ".tfrecords", ".tfrec", ".tfr", ".record", ".records", ".rec")
_COMPRESSED = (".gz", ".zz", ".z", ".bz2", ".xz", ".zst", ".zip", ".lz4")
#: How compressed files begin. A record of a TFRecord file begins with its length, of which the last bytes are zero.
_COMPRESSIONS = {
    b"\x1f\x8b": "gzip",
    b"\x78\x01": "zlib",
    b"\x78\x5e": "zlib",
    b"\x78\x9c": "zlib",
    b"\x78\xda": "zlib",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK": "zip",
}
#: A TFRecord has a header before its content (length, checksum of the length) and the checksum of the content after.
_HEADER = struct.Struct("<QI")
_FOOTER_SIZE = 4
#: The largest record that is read: that of the largest image, and what is said of it.
_LARGEST = 2**30 + 2**20


def shard(name: str) -> re.Match[str] | None:
    """The parts of a shard's name, such as ``validation-00000-of-00128``; None for other files."""
    match = _NAME.fullmatch(name)
    suffix = match["suffix"].lower() if match else None
    known = suffix is not None and (suffix in _SUFFIXES or suffix.endswith(_COMPRESSED))
    return match if known else None


def offsets(path: Path) -> list[int]:
    """The offsets of the records of a TFRecord file; only their lengths are read, each against its checksum.

    Raises:
        EvaluationError: it cannot be read, or is no whole TFRecord file.
    """
    found, offset = [], 0
    try:
        with opened(path) as file:
            size = size_of(file)
            while offset < size:
                file.seek(offset)
                header = file.read(_HEADER.size)
                if problem := _problem(header, offset, size):
                    raise EvaluationError(f"{path} is no whole TFRecord file of {size:,} bytes: {problem}")
                found.append(offset)
                offset += _HEADER.size + _HEADER.unpack(header)[0] + _FOOTER_SIZE
    except NoFileError as error:
        raise EvaluationError(f"{path} {error}: expected a TFRecord file") from error
    except OSError as error:
        raise EvaluationError(f"cannot read {path}: {error.strerror}") from error
    return found


def record_in(read: Callable[[int, int], bytes], offset: int) -> bytes | None:
    """The content of the record that begins at ``offset``; None where its checksums are others, or it is cut off.

    Args:
        read: gives bytes of the file, from an offset on, so many.
    """
    header = read(offset, _HEADER.size)
    if len(header) < _HEADER.size:
        return None
    length, checksum = _HEADER.unpack(header)
    if checksum != masked_checksum(header[:8]) or length > _LARGEST:
        return None
    found = read(offset + _HEADER.size, length + _FOOTER_SIZE)
    content, footer = found[:length], found[length:]
    whole = len(footer) == _FOOTER_SIZE and int.from_bytes(footer, "little") == masked_checksum(content)
    return content if whole else None


def _problem(header: bytes, offset: int, size: int) -> str | None:
    """What is wrong with the header of a record at ``offset`` in a file of ``size`` bytes; None where nothing is."""
    if len(header) < _HEADER.size:
        return f"its last {len(header)} bytes, from byte {offset} on, are less than the header of a record"
    length, checksum = _HEADER.unpack(header)
    if checksum != masked_checksum(header[:8]):
        compression = next((kind for start, kind in _COMPRESSIONS.items() if header.startswith(start)), None)
        if compression and not offset:
            return f"it is compressed with {compression} (compressed ones are not read)"
        return f"at byte {offset} is a length whose checksum is another one"
    if offset + _HEADER.size + length + _FOOTER_SIZE > size:
        return f"the record at byte {offset} has {length:,} bytes, which goes beyond the end"
    return None


def masked_checksum(content: bytes) -> int:
    """The checksum of TFRecord files: CRC-32C, rotated and moved."""
    import google_crc32c

    checksum = google_crc32c.value(content)
    return ((checksum >> 15 | checksum << 17) + 0xA282EAD8) & 0xFFFFFFFF


def of_one_data_set(
    folder: Path, names: Sequence[str], wanted: str | None = None, prefer: str | None = "val"
) -> tuple[list[str], list[str]]:
    """The shards of one data set among all that lie in a folder, and warnings.

    Args:
        wanted: its name, such as "train".
        prefer: what is in the name of the one that is meant where there are several; by default the validation set.

    Raises:
        EvaluationError: there are several data sets, and no name tells which is meant.
    """
    splits: dict[tuple[str, str], list[str]] = {}
    for name in names:
        match = shard(name)
        assert match
        splits.setdefault((match["split"], match["shards"]), []).append(name)
    if wanted:
        splits = {key: members for key, members in splits.items() if key[0] == wanted}
    elif len(splits) > 1 and prefer:
        splits = {key: members for key, members in splits.items() if prefer in key[0]} or splits
    if len(splits) > 1:
        sets = ", ".join(f"{split}-…-of-{count}" for split, count in splits)
        expected = "expected validation-00000-of-00128 and on" if prefer else "expected one"
        one = folder / next(iter(splits))[0]
        raise EvaluationError(f"{folder} holds several data sets ({sets}): {expected}, or --images {one}")
    ((split, count), members), *_ = splits.items()
    numbers = {match["index"] for name in members if (match := shard(name))}
    if len(numbers) != len(members):
        raise EvaluationError(f"{folder} holds shards of {split} twice: expected one file for each of {int(count)}")
    warnings = []
    if len(members) != int(count):
        warnings.append(f"{folder} holds {len(members)} of the {int(count)} shards of {split}")
    return members, warnings
