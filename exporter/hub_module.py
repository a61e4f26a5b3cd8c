"""The TF1 Hub module of a network (versions 1 to 3): what it holds, and how it is written.

tensorflow-hub's own writer went with TensorFlow 2.16, so this is one: a folder with one MetaGraph for each tag set, the
variables once, and ``tfhub_module.pb`` beside them.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

from exporter import gate, hub_messages, network
from exporter.config import ModelConfig, Task
from exporter.downgrade import downgrade
from exporter.formats import (
    FIRST_MOMENTUM_VERSION,
    HUB_MODULE_FILE,
    IMAGE_INPUT,
    MOMENTUM_INPUT,
    TRAINING_DECAY,
    hub_signatures,
)
from exporter.layout import variables
from exporter.network import Network

v1 = tf.compat.v1

#: One MetaGraph each: for inference, and for fine-tuning.
TAG_SETS: tuple[frozenset[str], ...] = (frozenset(), frozenset({"train"}))


class Writer:
    """Writes the versions of one task of a network; graphs that they have in common are built once."""

    def __init__(self, config: ModelConfig, task: Task, values: Mapping[str, tf.Variable]):
        """``values`` are the variables by checkpoint name; those that the task does not use are left out."""
        self._config, self._task, self._values = config, task, values
        self._written: dict[tuple[bool, float], bytes] = {}

    def write(self, version: int, folder: Path, momentum: float) -> None:
        """Writes a TF1 Hub module into ``folder``, which must not exist.

        Args:
            momentum: the default decay of the moving averages; versions before 3 have that of the original training.

        Raises:
            GateError: the file would not load in the oldest reader promised.
        """
        key = (version >= FIRST_MOMENTUM_VERSION, momentum)
        if key not in self._written:
            self._written[key] = _saved_model(self._config, self._task, version, momentum)
        (folder / "variables").mkdir(parents=True)
        (folder / "assets").mkdir()
        names = sorted(spec.name for spec in variables(self._config, self._task))
        tf.raw_ops.SaveV2(
            prefix=str(folder / "variables" / "variables"),
            tensor_names=names,
            shape_and_slices=[""] * len(names),
            tensors=[self._values[name] for name in names],
        )
        (folder / "saved_model.pb").write_bytes(self._written[key])
        (folder / HUB_MODULE_FILE).write_bytes(hub_messages.module_def())


def _saved_model(config: ModelConfig, task: Task, version: int, momentum: float) -> bytes:
    saved_model = saved_model_pb2.SavedModel(saved_model_schema_version=1)
    for tags in TAG_SETS:
        saved_model.meta_graphs.append(_meta_graph(config, task, version, tags, momentum))
    downgrade(saved_model)
    gate.require(saved_model)
    return saved_model.SerializeToString(deterministic=True)


def _meta_graph(
    config: ModelConfig, task: Task, version: int, tags: frozenset[str], momentum: float
) -> meta_graph_pb2.MetaGraphDef:
    training = "train" in tags
    with tf.Graph().as_default() as graph:
        held = {
            spec.name: v1.get_variable(
                spec.name,
                spec.shape,
                # A reader restores the value; this is the shortest graph that can stand in for it.
                initializer=v1.zeros_initializer(),
                trainable=spec.trainable,
                use_resource=True,
                collections=[],
            )
            for spec in variables(config, task)
        }
        # Legacy layers search it for each new weight; it is filled when the network is there.
        graph.clear_collection(v1.GraphKeys.TRAINABLE_VARIABLES)
        images = v1.placeholder(tf.float32, [None, config.image_size, config.image_size, 3], name=IMAGE_INPUT)
        decay: Any = TRAINING_DECAY
        if version >= FIRST_MOMENTUM_VERSION:
            decay = v1.placeholder_with_default(tf.constant(momentum, tf.float32), [], name=MOMENTUM_INPUT)
        built = network.build(config, task, images, lambda name, _: held[name], training=training, momentum=decay)
        _fill_collections(graph, config, task, held, built, training)
        meta_graph = v1.train.export_meta_graph(graph=graph, clear_devices=True, strip_default_attrs=True)
        inputs = {IMAGE_INPUT: images, MOMENTUM_INPUT: decay}
        for name, signature in hub_signatures(task, version).items():
            meta_graph.signature_def[name].CopyFrom(
                v1.saved_model.signature_def_utils.build_signature_def(
                    {key: v1.saved_model.utils.build_tensor_info(inputs[key]) for key in signature.inputs},
                    {
                        key: v1.saved_model.utils.build_tensor_info(tensor)
                        for key, tensor in _outputs(config, built, signature.end_point).items()
                    },
                )
            )
    meta_graph.meta_info_def.tags.extend(sorted(tags))
    return meta_graph


def _outputs(config: ModelConfig, built: Network, end_point: str) -> dict[str, Any]:
    named = {f"{config.name}/{name}": tensor for name, tensor in built.end_points.items()}
    return {"default": built.end_points[end_point], **named}


def _fill_collections(
    graph: tf.Graph, config: ModelConfig, task: Task, held: Mapping[str, Any], built: Network, training: bool
) -> None:
    """Adds what a reader looks for; it takes no other collections."""
    keys = v1.GraphKeys
    for spec in variables(config, task):
        for key in (
            keys.GLOBAL_VARIABLES,
            keys.MODEL_VARIABLES,
            *([keys.TRAINABLE_VARIABLES] if spec.trainable else []),
        ):
            graph.add_to_collection(key, held[spec.name])
    if training:
        for update in built.updates:
            graph.add_to_collection(keys.UPDATE_OPS, update.op)
        kernels = [held[spec.name] for spec in variables(config, task) if spec.is_kernel]
        loss = config.weight_decay * tf.add_n([tf.nn.l2_loss(kernel) for kernel in kernels])
        graph.add_to_collection(keys.REGULARIZATION_LOSSES, loss)
    graph.add_to_collection(hub_messages.ATTACHMENTS, hub_messages.image_size_attachment(config.image_size))
