"""The TF2 SavedModel of a network (versions 4 and 5): what it holds, and how it is written."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.saved_model import save_context

from exporter import gate, network
from exporter.artifact import handle
from exporter.canonical import canonicalize
from exporter.config import ModelConfig, Task
from exporter.downgrade import downgrade
from exporter.formats import DEFAULT_MOMENTUM, FIRST_SERVING_VERSION, SERVING_INPUT, SERVING_OUTPUTS
from exporter.layout import variables


class _Root(tf.Module):
    """The object that a reader gets back; plain attributes in the place of `tf.Module`'s computed ones."""

    variables: Any = None
    trainable_variables: Any = None


class Writer:
    """Writes the versions of one task of a network; what they have in common is traced once.

    A reader calls the object as ``obj(images, training=False, batch_norm_momentum=momentum)`` with float32 images
    [batch, size, size, 3] in [0, 1], and finds ``variables``, ``trainable_variables`` and ``regularization_losses``.
    """

    def __init__(self, config: ModelConfig, task: Task, values: Mapping[str, tf.Variable]):
        """``values`` are the variables by checkpoint name; those that the task does not use are left out."""
        self._config, self._task = config, task
        self._specs = variables(config, task)
        self._held = {spec.name: values[spec.name] for spec in self._specs}
        self._calls: dict[float, Any] = {}
        kernels = [self._held[spec.name] for spec in self._specs if spec.is_kernel]
        self._regularization_loss = _regularization_loss(kernels, config.weight_decay)

    def write(self, version: int, folder: Path, momentum: float = DEFAULT_MOMENTUM) -> None:
        """Writes a reusable SavedModel into ``folder``, which must not exist.

        Args:
            momentum: the default decay of the moving averages when training.

        Raises:
            GateError: the file would not load in the oldest reader promised.
        """
        root = _Root()
        root.variables = list(self._held.values())
        root.trainable_variables = [self._held[spec.name] for spec in self._specs if spec.trainable]
        if momentum not in self._calls:
            self._calls[momentum] = _call(self._config, self._task, self._held, momentum)
        call = self._calls[momentum]
        setattr(root, "__call__", call)  # noqa: B010 - on the instance: a method would be saved without its traces
        root.regularization_losses = [self._regularization_loss]
        signatures = {}
        if version >= FIRST_SERVING_VERSION:
            signatures["serving_default"] = _serving(self._config, self._task, call)
        tf.saved_model.save(root, str(folder), signatures=signatures)
        _rewrite(folder, handle(self._config, self._task, version))


def _images(config: ModelConfig, name: str) -> tf.TensorSpec:
    return tf.TensorSpec([None, config.image_size, config.image_size, 3], tf.float32, name=name)


def _call(config: ModelConfig, task: Task, held: Mapping[str, tf.Variable], momentum: float) -> Any:
    """The polymorphic function, traced once for each value of ``training``.

    A Python number for the momentum is converted by every reader to the scalar that the traces take.
    """

    def call(images, training=False, batch_norm_momentum=momentum):
        built = network.build(
            config, task, images, lambda name, _: held[name], training=training, momentum=batch_norm_momentum
        )
        return built.output

    function = tf.function(call, autograph=False)
    scalar = tf.TensorSpec([], tf.float32, name="batch_norm_momentum")
    for training in (False, True):
        # Traces made outside of a save are made again by it.
        with save_context.save_context(tf.saved_model.SaveOptions()):
            function.get_concrete_function(_images(config, "images"), training=training, batch_norm_momentum=scalar)
    return function


def _serving(config: ModelConfig, task: Task, call: Any) -> Any:
    def serve(inputs):
        return {SERVING_OUTPUTS[task]: call(inputs, training=False, batch_norm_momentum=tf.constant(0.0))}

    return tf.function(serve, autograph=False, input_signature=[_images(config, SERVING_INPUT)])


def _regularization_loss(kernels: list[tf.Variable], weight_decay: float) -> Any:
    """All L2 terms in one function, which keeps the file small and fine-tuning fast."""

    def regularization_loss():
        return weight_decay * tf.add_n([tf.nn.l2_loss(kernel) for kernel in kernels])

    return tf.function(regularization_loss, autograph=False, input_signature=[])


def _rewrite(folder: Path, handle: str) -> None:
    """Brings the written graph down to what the oldest reader knows, and proves that it is."""
    path = folder / "saved_model.pb"
    saved_model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    downgrade(saved_model)
    canonicalize(saved_model, handle)
    gate.require(saved_model)
    rewritten = path.with_suffix(".new")
    rewritten.write_bytes(saved_model.SerializeToString(deterministic=True))
    os.replace(rewritten, path)
    # It describes the graph as it was before, and no reader needs it.
    (folder / "fingerprint.pb").unlink(missing_ok=True)
    shutil.rmtree(folder / "debug", ignore_errors=True)
