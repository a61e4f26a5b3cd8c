"""The LiteRT (TensorFlow Lite) model of a network: the graph of version 5, through TensorFlow's converter.

The converter folds batch norms into the convolutions before them, so that most weights of the file are products of the
checkpoint's values. It gets the graph with the values as constants; no SavedModel is written on the way. Given such a
graph, it leaves out signatures, and calls all outputs ``Identity``: both are set right in what it gives.
"""

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.lite.python import schema_py_generated as schema
from tensorflow.lite.tools import flatbuffer_utils

from exporter.artifact.litert_texts import texts
from exporter.artifact.options import ArtifactOptions, Precision
from exporter.graph import network
from exporter.models.config import ModelConfig, Task
from exporter.models.formats import LITERT_FILE
from exporter.models.signatures import SERVING_INPUT, SERVING_OUTPUTS
from exporter.models.variables import main_end_point

v1 = tf.compat.v1

SIGNATURE = "serving_default"


class Writer:
    """Writes the model of one task of a network.

    Args:
        values: float32 values by checkpoint name, those of the task and maybe others.
    """

    def __init__(self, config: ModelConfig, task: Task, values: Mapping[str, Any]):
        self._config = config
        self._task = task
        self._values = values

    def write(self, version: object, folder: Path, options: ArtifactOptions) -> None:
        """Writes into ``folder``, which must not exist; the same values give the same bytes.

        ``model.tflite``, ``preprocessing.json``, and for the classes of ImageNet ``labels.txt``, a name in a line.
        """
        folder.mkdir()
        (folder / LITERT_FILE).write_bytes(build(self._config, self._task, self._values, options.precision))
        for name, text in texts(self._config, self._task).items():
            (folder / name).write_text(text, encoding="utf-8")


def build(
    config: ModelConfig,
    task: Task,
    values: Mapping[str, Any],
    precision: Precision = "float32",
    end_points: bool = False,
) -> bytes:
    """The content of the file.

    The signature ``serving_default`` takes ``inputs``, float32 [batch, size, size, 3], RGB in [0, 1], and gives
    ``logits`` [batch, num_classes] or ``feature_vector`` [batch, features].

    Args:
        precision: float16 halves the file; whoever loads it makes float32 of the weights again.
        end_points: whether it gives all other end points, too, by their names.

    Raises:
        KeyError: ``values`` lacks a variable of the network.
    """
    graph, images, outputs = _frozen(config, task, values, end_points)
    # The one of TensorFlow 1 takes a graph as it is; that of TensorFlow 2 makes three copies of all constants before.
    converter = v1.lite.TFLiteConverter(graph, [images], list(outputs.values()))
    del graph
    # What it would add is which options were given, and takes the whole file apart once more.
    converter.exclude_conversion_metadata = True
    if precision == "float16":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]
    return _with_signature(converter.convert(), list(outputs))


def _frozen(
    config: ModelConfig, task: Task, values: Mapping[str, Any], end_points: bool
) -> tuple[Any, Any, dict[str, Any]]:
    """The inference graph with constants for its variables, its input, and its outputs by name."""
    graph = tf.Graph()
    with graph.as_default():
        images = v1.placeholder(tf.float32, [None, config.image_size, config.image_size, 3], name=SERVING_INPUT)
        built = network.build(config, task, images, _handle)
    main = main_end_point(task)
    outputs = {SERVING_OUTPUTS[task]: built.end_points[main]}
    if end_points:
        outputs |= {name: tensor for name, tensor in built.end_points.items() if name != main}
    definition = graph.as_graph_def()
    variables = {node.name: node.attr["shared_name"].s.decode() for node in definition.node if node.op == "VarHandleOp"}
    frozen = v1.GraphDef(versions=definition.versions)
    for node in definition.node:
        if node.op == "ReadVariableOp":
            constant = frozen.node.add(name=node.name, op="Const")
            constant.attr["dtype"].type = tf.float32.as_datatype_enum
            constant.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(np.asarray(values[variables[node.input[0]]])))
        elif node.op != "VarHandleOp":
            frozen.node.append(node)
    return frozen, images, outputs


def _handle(name: str, shape: tuple[int, ...]) -> Any:
    """What layers read a variable by."""
    return SimpleNamespace(handle=tf.raw_ops.VarHandleOp(dtype=tf.float32, shape=shape, shared_name=name))


def _with_signature(content: bytes, outputs: list[str]) -> bytes:
    """The model with a signature, whose outputs are those of the graph in that order."""
    model = flatbuffer_utils.convert_bytearray_to_object(content)
    (graph,) = model.subgraphs
    for name, index in zip(outputs, graph.outputs, strict=True):
        graph.tensors[index].name = name
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = SIGNATURE, 0
    signature.inputs = [_named(SERVING_INPUT, graph.inputs[0])]
    signature.outputs = [_named(name, index) for name, index in zip(outputs, graph.outputs, strict=True)]
    model.signatureDefs = [signature]
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def _named(name: str, index: int) -> Any:
    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = name, index
    return entry
