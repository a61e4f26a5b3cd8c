"""The variables that a SavedModel stores, by name, one in memory at a time."""

from pathlib import Path

import numpy as np
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import trackable_object_graph_pb2

from exporter.artifact import variables_file
from exporter.checkpoint.values import Values
from exporter.validation import shown

_OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"


class SavedModelVariables:
    """Stored variables: ``names`` are all of them.

    Raises:
        ArtifactError: the files are damaged.
    """

    def __init__(self, folder: Path, count: int):
        """``count`` is how many variables the graph has: without any, there need be no file."""
        self._folder = folder
        self._keys: dict[str, str] = {}
        if not count and not (folder / "variables").is_dir():
            return
        self._values = variables_file.values(folder)
        try:
            self._keys = _keys(self._values)
        except (*variables_file.UNREADABLE, DecodeError, TypeError) as error:
            raise variables_file.unreadable(folder, error) from error

    @property
    def names(self) -> list[str]:
        return list(self._keys)

    def read(self, name: str) -> np.ndarray:
        """The value of a variable.

        Raises:
            ArtifactError: the files are damaged.
        """
        try:
            return np.asarray(self._values.read(self._keys[name]))
        except variables_file.UNREADABLE as error:
            raise variables_file.unreadable(self._folder, error) from error

    def kind(self, name: str) -> str:
        """Type and shape, for example ``float32 [3, 3, 8, 1]``."""
        key = self._keys[name]
        return f"{self._values.types[key]} {list(self._values.shapes[key])}"


def _keys(values: Values) -> dict[str, str]:
    """Names and keys: one and the same in a TF1 graph's checkpoint, told by the object graph in that of TF2 objects.

    Raises:
        ValueError: the object graph has a key that the file does not have.
    """
    stored = values.shapes
    if _OBJECT_GRAPH not in stored:
        return {key: key for key in sorted(stored)}
    graph = trackable_object_graph_pb2.TrackableObjectGraph.FromString(values.read(_OBJECT_GRAPH))
    named: dict[str, set[str]] = {}
    for node in graph.nodes:
        for attribute in node.attributes:
            if attribute.name == "VARIABLE_VALUE":
                if attribute.checkpoint_key not in stored:
                    raise ValueError(f"its objects have a value {shown(attribute.checkpoint_key)} that is not there")
                named.setdefault(attribute.full_name, set()).add(attribute.checkpoint_key)
    return {
        # Objects may share a name; their places in the object graph tell them apart.
        name if name and len(held) == 1 else key: key
        for name, held in sorted(named.items())
        for key in sorted(held)
    }
