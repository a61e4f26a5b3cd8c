"""Reads a checkpoint's values, without TensorFlow wherever that can be.

It takes TensorFlow's own reader for three things: the format before 2016 (V1), files of a machine whose bytes are in
the other order, and types that NumPy does not have. What is damaged is refused by whoever reads it: a checkpoint that
one reader refuses is never tried with the other.
"""

import functools
import tempfile
from pathlib import Path
from typing import Any, Protocol

from exporter.checkpoint.bundle import Bundle
from exporter.checkpoint.files import files_of, index_of
from exporter.errors import CheckpointError
from exporter.files.plain_path import is_plain
from exporter.without_tensorflow import require_tensorflow

#: What is raised for files that are damaged, or cannot be read.
READ_ERRORS = (ValueError, OSError)


class _Reader(Protocol):
    shapes: dict[str, tuple[int, ...]]
    types: dict[str, str]

    def read(self, key: str) -> Any: ...


class Values:
    """The values in a checkpoint's files by their keys.

    Args:
        prefix: its path, whatever characters that has.

    Attributes:
        shapes: of each.
        types: the name of each one's data type, such as "float32".

    Raises:
        ValueError: its files are damaged.
        OSError: they cannot be read.
        TensorFlowNeededError: this process has no TensorFlow, and they cannot be read without it.
    """

    def __init__(self, prefix: Path):
        self._prefix = prefix
        self._links: tempfile.TemporaryDirectory[str] | None = None
        self._bundle = Bundle(prefix) if index_of(prefix).is_file() else None
        reader: _Reader = self._bundle or self._tensorflow
        self.shapes, self.types = reader.shapes, reader.types

    def read(self, key: str) -> Any:
        """A value: an array, bytes for a string, or a tensor of what NumPy does not know.

        Raises:
            ValueError: it is damaged, as its checksum tells, or cut off.
            OSError, TensorFlowNeededError: as for the class.
        """
        if self._bundle and self._bundle.has_plain_values(key):
            return self._bundle.read(key)
        return self._tensorflow.read(key)

    @functools.cached_property
    def _tensorflow(self) -> _Reader:
        require_tensorflow()
        from exporter.checkpoint.tensorflow_reader import TensorFlowReader

        return TensorFlowReader(self.path, self._prefix.name)

    @functools.cached_property
    def path(self) -> Path:
        """The prefix for TensorFlow: one of links where the real one would be taken for a pattern, or is not UTF-8.

        Raises:
            CheckpointError: there is none, as the path of temporary files is no better.
        """
        if is_plain(self._prefix):
            return self._prefix
        self._links = tempfile.TemporaryDirectory(prefix="nasexport-")
        target = Path(self._links.name) / "checkpoint"
        if not is_plain(target):
            raise CheckpointError(
                f"{self._prefix} has a character that TensorFlow takes for a pattern, as has {target.parent.parent},\n"
                f"where a link to it could be: rename it, or set TMPDIR to another folder"
            )
        for file in files_of(self._prefix):
            target.with_name(target.name + file.name[len(self._prefix.name) :]).symlink_to(file.absolute())
        return target
