"""Reads and writes checkpoints with TensorFlow's own means, apart from everything that the exporter does."""

import contextlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2, trackable_object_graph_pb2

_OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"


def read(prefix: Path) -> dict[str, Any]:
    """Every tensor of a checkpoint by name: arrays, and bytes for strings."""
    reader = tf.train.load_checkpoint(str(prefix))
    return {name: reader.get_tensor(name) for name in sorted(reader.get_variable_to_shape_map())}


def write(prefix: Path, tensors: Mapping[str, Any]) -> Path:
    """Writes a checkpoint and returns its prefix."""
    prefix.parent.mkdir(parents=True, exist_ok=True)
    names = sorted(tensors)
    tf.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=names,
        shape_and_slices=[""] * len(names),
        tensors=[tf.convert_to_tensor(tensors[name]) for name in names],
    )
    return prefix


def data_file(prefix: Path) -> Path:
    return prefix.with_name(prefix.name + ".data-00000-of-00001")


def values_of(artifact: Path) -> dict[str, Any]:
    """The variables of a SavedModel by name, read from its files without loading it."""
    tensors = read(artifact / "variables" / "variables")
    return {name: tensors[key] for name, key in _keys(tensors).items()}


def with_scaled(artifact: Path, copy: Path, name: str, factor: float) -> Path:
    """A copy of an artifact in which one variable is multiplied by ``factor``."""
    shutil.copytree(artifact, copy)

    def scale(values: dict[str, Any]) -> None:
        values[name] = values[name] * np.float32(factor)

    change(copy, scale)
    return copy


def change(artifact: Path, changed: Callable[[dict[str, Any]], None]) -> None:
    """Lets ``changed`` change the variables of a SavedModel or hub module, by name, and writes them in their place."""
    prefix = artifact / "variables" / "variables"
    tensors = read(prefix)
    keys = _keys(tensors) if _OBJECT_GRAPH in tensors else {name: name for name in tensors}
    values = {name: tensors[key] for name, key in keys.items()}
    changed(values)
    tensors |= {keys[name]: value for name, value in values.items()}
    for file in prefix.parent.iterdir():
        file.unlink()
    write(prefix, tensors)


@contextlib.contextmanager
def edited(artifact: Path) -> Iterator[Any]:
    """The protobuf of a SavedModel, which is written back."""
    file = artifact / "saved_model.pb"
    saved_model = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    yield saved_model
    file.write_bytes(saved_model.SerializeToString())


def _keys(tensors: Mapping[str, Any]) -> dict[str, str]:
    """Where each variable is in a SavedModel's checkpoint."""
    graph = trackable_object_graph_pb2.TrackableObjectGraph.FromString(tensors[_OBJECT_GRAPH])
    return {
        attribute.full_name: attribute.checkpoint_key
        for node in graph.nodes
        for attribute in node.attributes
        if attribute.name == "VARIABLE_VALUE"
    }
