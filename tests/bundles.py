"""Reads and writes checkpoints with TensorFlow's own means, apart from everything that the exporter does."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import trackable_object_graph_pb2

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
    prefix = copy / "variables" / "variables"
    tensors = read(prefix)
    tensors[_keys(tensors)[name]] *= np.float32(factor)
    for file in prefix.parent.iterdir():
        file.unlink()
    write(prefix, tensors)
    return copy


def _keys(tensors: Mapping[str, Any]) -> dict[str, str]:
    """Where each variable is in a SavedModel's checkpoint."""
    graph = trackable_object_graph_pb2.TrackableObjectGraph.FromString(tensors[_OBJECT_GRAPH])
    return {
        attribute.full_name: attribute.checkpoint_key
        for node in graph.nodes
        for attribute in node.attributes
        if attribute.name == "VARIABLE_VALUE"
    }
