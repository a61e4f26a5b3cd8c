"""Writes checkpoints without TensorFlow, in the bytes that it writes; `exporter.checkpoint.bundle` has the format."""

import struct
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import tensor_bundle_pb2

from exporter.checkpoint.bundle import NUMBERS, VERSION, checksum_of
from exporter.checkpoint.files import data_file_of, index_of
from exporter.checkpoint.sorted_table import masked
from exporter.checkpoint.table_writer import table, varint

_DATA_TYPES = {np.dtype(type_): number for number, type_ in NUMBERS.items()}


def save(prefix: Path, tensors: MutableMapping[str, Any]) -> None:
    """Writes a checkpoint at ``prefix``: its values, then its index.

    Args:
        tensors: by name: arrays and numbers of NumPy's, and bytes for a text. Each is taken out once it is written, so
            that its memory can be used again.

    Raises:
        OSError: it cannot be written.
    """
    header = tensor_bundle_pb2.BundleHeaderProto(num_shards=1)
    header.version.producer = VERSION
    entries = [(b"", header.SerializeToString())]
    offset = 0
    with open(data_file_of(prefix, 0, 1), "wb") as file:
        for name in sorted(tensors):
            content, entry = _entry(tensors.pop(name))
            file.write(content)
            entry.offset, entry.size = offset, len(content)
            offset += len(content)
            entries.append((name.encode(), entry.SerializeToString()))
    index_of(prefix).write_bytes(table(entries))


def _entry(value: Any) -> tuple[Any, Any]:
    """The bytes of a value, and its entry but for their place."""
    entry = tensor_bundle_pb2.BundleEntryProto()
    entry.shape.SetInParent()
    if isinstance(value, bytes):
        entry.dtype = types_pb2.DT_STRING
        length = struct.pack("<I", len(value))
        checksum = struct.pack("<I", masked(google_crc32c.value(length)))
        entry.crc32c = masked(google_crc32c.value(length + checksum + value))
        return varint(len(value)) + checksum + value, entry
    array = np.asarray(value, order="C")
    entry.dtype = _DATA_TYPES[array.dtype]
    for size in array.shape:
        entry.shape.dim.add(size=size)
    content = array.reshape(-1).view(np.uint8)
    entry.crc32c = masked(checksum_of(content))
    return content, entry
