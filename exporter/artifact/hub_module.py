"""Writes the TF1 Hub module of a network (versions 1 to 3).

It is a folder with a MetaGraph for each tag set, the variables, and ``tfhub_module.pb``. tensorflow-hub's own writer
does not work with TensorFlow 2.16 and newer.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.core.framework import variable_pb2
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

from exporter.artifact import hub_messages, saved_model_files
from exporter.artifact.options import ArtifactOptions
from exporter.graph import compatibility, layers, network, nodes
from exporter.graph.downgrade import downgrade
from exporter.graph.network import Network
from exporter.graph.nodes import FLOAT
from exporter.models.config import ModelConfig, Task
from exporter.models.formats import HUB, HUB_MODULE_FILE, TRAINING_DECAY
from exporter.models.signatures import IMAGE_INPUT, MOMENTUM_INPUT, hub_signatures
from exporter.models.variables import VariableSpec, variables

v1 = tf.compat.v1

#: One MetaGraph each: for inference, and for fine-tuning.
TAG_SETS: tuple[frozenset[str], ...] = (frozenset(), frozenset({"train"}))


class Writer:
    """Writes the versions of one task of a network; graphs that they have in common are built once."""

    def __init__(self, config: ModelConfig, task: Task, values: Mapping[str, Any]):
        """``values`` are float32 tensors by checkpoint name; those that the task does not use are left out."""
        self._config, self._task, self._values = config, task, values
        self._written: dict[tuple[bool, float], bytes] = {}

    def write(self, version: int, folder: Path, options: ArtifactOptions) -> None:
        """Writes a TF1 Hub module into ``folder``, which must not exist.

        Raises:
            CompatibilityError: the file would not load in the oldest reader promised.
        """
        momentum = options.batch_norm_momentum
        assert momentum is not None  # as the format's row says
        key = (HUB.version(version).momentum_settable, momentum)
        if key not in self._written:
            self._written[key] = _saved_model(self._config, self._task, version, momentum)
        values = {spec.name: self._values[spec.name] for spec in variables(self._config, self._task)}
        saved_model_files.write(folder, self._written[key], values)
        (folder / HUB_MODULE_FILE).write_bytes(hub_messages.module_def())


def _saved_model(config: ModelConfig, task: Task, version: int, momentum: float) -> bytes:
    saved_model = saved_model_pb2.SavedModel(saved_model_schema_version=1)
    for tags in TAG_SETS:
        saved_model.meta_graphs.append(_meta_graph(config, task, version, tags, momentum))
    downgrade(saved_model)
    compatibility.require(saved_model)
    return saved_model.SerializeToString(deterministic=True)


def _meta_graph(
    config: ModelConfig, task: Task, version: int, tags: frozenset[str], momentum: float
) -> meta_graph_pb2.MetaGraphDef:
    training = "train" in tags
    with tf.Graph().as_default() as graph:
        specs = variables(config, task)
        held = {spec.name: _Variable(spec) for spec in specs}
        images = v1.placeholder(tf.float32, [None, config.image_size, config.image_size, 3], name=IMAGE_INPUT)
        decay: Any = TRAINING_DECAY
        if HUB.version(version).momentum_settable:
            decay = v1.placeholder_with_default(tf.constant(momentum, tf.float32), [], name=MOMENTUM_INPUT)
        built = network.build(config, task, images, lambda name, _: held[name], training=training, momentum=decay)
        meta_graph = meta_graph_pb2.MetaGraphDef()
        _fill_collections(meta_graph, config, task, held, built, training)
        # Faster than TensorFlow's own export, whose time grows with the square of the number of operations.
        meta_graph.graph_def.CopyFrom(graph.as_graph_def())
    _add_initialization(meta_graph.graph_def, specs)
    meta_graph.meta_info_def.tensorflow_version = tf.version.VERSION
    meta_graph.meta_info_def.tensorflow_git_version = tf.version.GIT_VERSION
    inputs = {IMAGE_INPUT: images, MOMENTUM_INPUT: decay}
    for name, signature in hub_signatures(task, version).items():
        outputs = _outputs(config, built, signature.end_point)
        meta_graph.signature_def[name].CopyFrom(
            meta_graph_pb2.SignatureDef(
                inputs={key: _tensor(inputs[key]) for key in signature.inputs},
                outputs={key: _tensor(tensor) for key, tensor in outputs.items()},
            )
        )
    meta_graph.meta_info_def.tags.extend(sorted(tags))
    return meta_graph


def _outputs(config: ModelConfig, built: Network, end_point: str) -> dict[str, Any]:
    named = {f"{config.name}/{name}": tensor for name, tensor in built.end_points.items()}
    return {"default": built.end_points[end_point], **named}


def _tensor(tensor: Any) -> meta_graph_pb2.TensorInfo:
    return meta_graph_pb2.TensorInfo(
        name=tensor.name, dtype=tensor.dtype.as_datatype_enum, tensor_shape=tensor.shape.as_proto()
    )


class _Variable:
    """A variable of the graph that is being built. Networks use nothing of it but its handle."""

    def __init__(self, spec: VariableSpec):
        self.handle = tf.raw_ops.VarHandleOp(dtype=tf.float32, shape=spec.shape, shared_name=spec.name, name=spec.name)


def _zeros(spec: VariableSpec) -> str:
    """The name of the constant that is the initial value of all variables of this shape."""
    return "zeros/" + "x".join(map(str, spec.shape))


def _add_initialization(graph: Any, specs: Sequence[VariableSpec]) -> None:
    """Adds the initializers and reads that readers expect of a variable beside its handle.

    The initial values are zeros, which take the least space; readers restore the real ones from the file of variables.
    """
    for name, shape in sorted({_zeros(spec): spec.shape for spec in specs}.items()):
        nodes.constant(graph, name, FLOAT, shape, float_val=[0.0])
    for spec in specs:
        nodes.add(graph, "AssignVariableOp", f"{spec.name}/Assign", [spec.name, _zeros(spec)], dtype=FLOAT)
        nodes.read(graph, spec)


def _variable_def(spec: VariableSpec) -> bytes:
    """The entry of a variable in a collection, with the names of what `_add_initialization` adds."""
    return variable_pb2.VariableDef(
        variable_name=f"{spec.name}:0",
        initializer_name=f"{spec.name}/Assign",
        snapshot_name=f"{spec.name}/Read/ReadVariableOp:0",
        initial_value_name=f"{_zeros(spec)}:0",
        is_resource=True,
        trainable=spec.trainable,
    ).SerializeToString(deterministic=True)


def _fill_collections(
    meta_graph: Any, config: ModelConfig, task: Task, held: Mapping[str, Any], built: Network, training: bool
) -> None:
    """Adds the collections that readers use. They refuse modules with any other."""
    keys = v1.GraphKeys
    collections = meta_graph.collection_def
    for spec in variables(config, task):
        for key in (
            keys.GLOBAL_VARIABLES,
            keys.MODEL_VARIABLES,
            *([keys.TRAINABLE_VARIABLES] if spec.trainable else []),
        ):
            collections[key].bytes_list.value.append(_variable_def(spec))
    if training:
        collections[keys.UPDATE_OPS].node_list.value.extend(update.name for update in built.updates)
        kernels = [held[spec.name] for spec in variables(config, task) if spec.is_kernel]
        loss = layers.regularization_loss(kernels, config.weight_decay)
        collections[keys.REGULARIZATION_LOSSES].node_list.value.append(loss.name)
    attachment = hub_messages.image_size_attachment(config.image_size)
    collections[hub_messages.ATTACHMENTS].bytes_list.value.append(attachment)
