"""Joins the parts of feature vectors to one file: Parquet, or TFRecords of tf.train.Example. The worker's side."""

import hashlib
import io
import pkgutil
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from exporter.errors import EvaluationError
from exporter.evaluation.embedding_record import INDEX_FILE, IndexLine
from exporter.evaluation.jobs import Joined, JoinRequest
from exporter.evaluation.shards import masked_checksum
from exporter.progress import Say

#: Rows of a group of Parquet, of which a reader takes one at a time, in bytes of vectors.
_GROUP = 2**25


def join(request: JoinRequest, say: Say) -> Joined:
    """The job `exporter.evaluation.jobs.JOIN`.

    Raises:
        EvaluationError: a part is not what it was when it was written.
        OSError: the file cannot be written.
    """
    write = pkgutil.resolve_name(f"{__name__}:{'parquet' if request.kind == 'parquet' else 'tfrecords'}")
    with open(request.parts / INDEX_FILE, "rb") as index:
        lines = [line for line in index if line.strip()]
    labelled = any(line.labels is not None for line in map(_line, lines))
    rows = write(request, ((line, _vectors(request.parts, line)) for line in map(_line, lines)), labelled)
    return Joined(rows)


def _line(line: bytes) -> IndexLine:
    return msgspec.json.decode(line, type=IndexLine)


def _vectors(parts: Path, line: IndexLine) -> NDArray[np.float32]:
    path = parts / line.part
    try:
        content = path.read_bytes()
    except OSError as error:
        raise EvaluationError(f"cannot read {path}: {error.strerror}; pass --restart to compute it anew") from error
    if hashlib.sha256(content).hexdigest() != line.sha256:
        raise EvaluationError(f"{path} is damaged: its sha256 is not {line.sha256}; pass --restart to compute it anew")
    return np.load(io.BytesIO(content), allow_pickle=False)


Rows = Iterator[tuple[IndexLine, NDArray[np.float32]]]


def parquet(request: JoinRequest, parts: Rows, labelled: bool) -> int:
    """Writes one table: ``path``, ``label`` where any image has one, and ``features``, a list of fixed size."""
    import pyarrow as pa
    from pyarrow import parquet as pq

    fields = [pa.field("path", pa.string(), nullable=False)]
    fields += [pa.field("label", pa.int64())] if labelled else []
    fields.append(pa.field("features", pa.list_(pa.float32(), request.width), nullable=False))
    schema = pa.schema(fields, metadata={"nasexport": request.identity})
    rows = 0
    with pq.ParquetWriter(request.output, schema) as writer:
        for paths, labels, vectors in _groups(parts):
            values = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), request.width)
            columns = [pa.array(paths, pa.string()), *([pa.array(labels, pa.int64())] if labelled else []), values]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema), row_group_size=len(paths))
            rows += len(paths)
    return rows


def _groups(parts: Rows) -> Iterator[tuple[list[str], list[int | None], NDArray[np.float32]]]:
    """Parts put together to groups of rows."""
    paths: list[str] = []
    labels: list[int | None] = []
    vectors: list[NDArray[np.float32]] = []
    for line, found in parts:
        paths += line.paths
        labels += line.labels or (None,) * len(line.paths)
        vectors.append(found)
        if len(paths) * found.shape[1] * 4 >= _GROUP:
            yield paths, labels, np.concatenate(vectors)
            paths, labels, vectors = [], [], []
    if paths:
        yield paths, labels, np.concatenate(vectors)


def tfrecords(request: JoinRequest, parts: Rows, labelled: bool) -> int:
    """Writes a tf.train.Example for each image: ``path``, ``label`` where there is one, and ``features``."""
    from tensorflow.core.example import example_pb2

    rows = 0
    with open(request.output, "wb") as file:
        for line, vectors in parts:
            for path, label, vector in zip(line.paths, line.labels or (None,) * len(line.paths), vectors, strict=True):
                example: Any = example_pb2.Example()
                feature = example.features.feature
                feature["path"].bytes_list.value.append(path.encode())
                if label is not None:
                    feature["label"].int64_list.value.append(label)
                feature["features"].float_list.value.extend(vector.tolist())
                # The order of a map's entries is anybody's choice otherwise.
                content = example.SerializeToString(deterministic=True)
                length = struct.pack("<Q", len(content))
                file.write(length + struct.pack("<I", masked_checksum(length)))
                file.write(content + struct.pack("<I", masked_checksum(content)))
            rows += len(line.paths)
    return rows
