"""A checkpoint's variables by name, in every format that has been one's."""

from collections import defaultdict
from math import prod
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import trackable_object_graph_pb2

from exporter.checkpoint.bundle import SIZES
from exporter.checkpoint.files import files_of, index_of
from exporter.checkpoint.values import READ_ERRORS, Values
from exporter.errors import CheckpointError
from exporter.validation import shown

#: The description that `tf.train.Checkpoint`, Keras and SavedModels of TensorFlow 2 store beside the variables.
_OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
#: How far a table of the format before 2016 may be packed; its compressor, Snappy, reaches a third of this.
_MOST_PACKED = 64


class Stored:
    """The variables in a checkpoint's files, by the names that they had in the graph.

    That is the key in the files, without the ``:0`` of a tensor; in object-based checkpoints it is what the object
    graph says.

    Attributes:
        prefix: the path that the user knows.
        keys: where each variable is in the files.
        shapes, types: of each; types by the names that TensorFlow has for them.
        object_based: whether it has an object graph.
        ambiguous: the keys of variables whose name several have; they go by their keys.

    Raises:
        CheckpointError: it cannot be read.
    """

    def __init__(self, prefix: Path):
        self.prefix = prefix
        try:
            self._values = Values(prefix)
        except READ_ERRORS as error:
            raise self.unreadable(error) from error
        shapes, types = self._values.shapes, self._values.types
        self._require_room(shapes, types)
        self.object_based = _OBJECT_GRAPH in shapes
        by_name = self._by_name(list(shapes))
        self.ambiguous = {name: tuple(sorted(keys)) for name, keys in by_name.items() if len(keys) > 1}
        self.keys: dict[str, str] = {}
        for name, keys in by_name.items():
            self.keys.update({name: keys[0]} if len(keys) == 1 else {key: key for key in keys})
        self.shapes = {name: shapes[key] for name, key in self.keys.items()}
        self.types = {name: types[key] for name, key in self.keys.items()}

    def _require_room(self, shapes: dict[str, tuple[int, ...]], types: dict[str, str]) -> None:
        """Refuses shapes of more values than the files can have: memory is taken for them before they are read."""
        factor = 1 if index_of(self.prefix).is_file() else _MOST_PACKED
        room = factor * sum(file.stat().st_size for file in files_of(self.prefix))
        for key, shape in shapes.items():
            room -= prod(shape) * SIZES.get(types[key], 1)
            if room < 0 or any(dimension < 0 for dimension in shape):
                problem = ValueError(f"{shown(key)} has the shape {shown(list(shape))}, for which they are too small")
                raise self.unreadable(problem)

    @property
    def path(self) -> str:
        """Where the checkpoint is for TensorFlow's functions; see `Values.path`."""
        return str(self._values.path)

    def read(self, name: str) -> Any:
        """The value of a variable: an array, bytes for a string, or a tensor of what NumPy does not know.

        Raises:
            CheckpointError: it is damaged, as its checksum tells, or cut off.
        """
        return self._read(self.keys[name])

    def unreadable(self, error: Exception, key: str = "") -> CheckpointError:
        """The error for files that a reader fails on; ``key`` is that of what it was to read."""
        reason = " ".join(str(error).split())
        reason = reason.replace(str(self.prefix), self.prefix.name)  # which may be in a temporary folder
        name = self.prefix.name
        what = f"{name}: {shown(key)[1:-1]} cannot be read" if key else f"the checkpoint {name} cannot be opened"
        if isinstance(error, OSError):
            return CheckpointError(f"{what}: {error.strerror or reason[:200]}")
        return CheckpointError(f"{what}: its files are damaged or cut short, get them again\n({reason[:200]})")

    def _read(self, key: str) -> Any:
        try:
            return self._values.read(key)
        except READ_ERRORS as error:
            raise self.unreadable(error, key) from error

    def _by_name(self, keys: list[str]) -> dict[str, list[str]]:
        names = self._names_of_objects() if self.object_based else {}
        found: dict[str, list[str]] = defaultdict(list)
        for key in sorted(keys):
            if key != _OBJECT_GRAPH:
                found[names.get(key, key).removesuffix(":0")].append(key)
        return found

    def _names_of_objects(self) -> dict[str, str]:
        """The name that each variable had, by its key."""
        content = self._read(_OBJECT_GRAPH)
        try:
            graph = trackable_object_graph_pb2.TrackableObjectGraph.FromString(content)
        except (DecodeError, TypeError) as error:
            raise self.unreadable(error, _OBJECT_GRAPH) from error
        return {
            attribute.checkpoint_key: attribute.full_name
            for node in graph.nodes
            for attribute in node.attributes
            if attribute.full_name
        }
