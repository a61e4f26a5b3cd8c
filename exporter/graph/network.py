"""The networks as TF-Slim graphs.

`exporter.models.architecture` walks over the cells; this is what its operations are in TensorFlow. No variable is
created here; each is asked for by name from a `VariableGetter`, so that the same code serves a TF1 graph with its own
variables and a ``tf.function`` over the variables of a SavedModel.

Every function here must be called while a graph is being built (``tf.Graph().as_default()`` or ``tf.function``).
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import tensorflow as tf
import tf_slim as slim

from exporter.graph import layers
from exporter.graph.batch_norm import Moving, batch_norm
from exporter.models import architecture
from exporter.models.architecture import FeatureMap, Padding
from exporter.models.config import ModelConfig, Task
from exporter.models.formats import TRAINING_DECAY

#: ``getter(name, shape)`` returns the resource variable of that checkpoint name, or raises KeyError.
VariableGetter = Callable[[str, tuple[int, ...]], Any]

#: ``uniform(shape)`` returns float32 numbers of that shape.
Uniform = Callable[[Any], Any]


@dataclass
class Network:
    """A built graph.

    ``end_points`` maps a name to its tensor, in order: ``Stem``, ``Cell_i`` and ``Reduction_Cell_k`` of shape
    [batch, height, width, channels], ``global_pool`` [batch, features], and for classification ``Logits`` and
    ``Predictions`` [batch, num_classes], all float32. ``updates`` are the operations that move the moving averages;
    they are empty unless the graph is for training.
    """

    end_points: dict[str, Any] = field(default_factory=dict)
    updates: list[Any] = field(default_factory=list)

    @property
    def output(self) -> Any:
        """The task's own output: logits, or the feature vector."""
        return self.end_points.get("Logits", self.end_points["global_pool"])


class SlimOperations:
    """`exporter.models.architecture.Operations` as TF-Slim builds them, on float32 tensors.

    Args:
        images: the network's input.
        uniform: as in `build`; None where drop path and dropout do nothing.
    """

    def __init__(self, images: Any, uniform: Uniform | None):
        self._images = images
        self.uniform = uniform
        # The shape of one number for each example; made once, as it takes several operations.
        self.examples = tf.stack([tf.shape(images)[0], 1, 1, 1]) if uniform else None

    def scope(self, name: str) -> AbstractContextManager[Any]:
        return tf.compat.v1.variable_scope(name)

    def images(self) -> Any:
        return 2 * self._images - 1

    def relu(self, net: Any) -> Any:
        return layers.relu(net)

    def convolution(
        self, net: FeatureMap[Any], filters: int, kernel: int, stride: int, padding: Padding, scope: str
    ) -> Any:
        return layers.conv2d(net.value, filters, kernel, stride=stride, padding=padding, scope=scope)

    def separable_convolution(self, net: FeatureMap[Any], filters: int, kernel: int, stride: int, scope: str) -> Any:
        return layers.separable_conv2d(net.value, filters, kernel, stride=stride, scope=scope)

    def batch_norm(self, net: FeatureMap[Any], scope: str) -> Any:
        return batch_norm(net.value, scope=scope)

    def pool(self, kind: str, net: FeatureMap[Any], kernel: int, stride: int) -> Any:
        pool = {"avg": layers.avg_pool2d, "max": layers.max_pool2d}[kind]
        return pool(net.value, kernel, stride=stride, padding="SAME")

    def factorized_reduction(self, net: FeatureMap[Any], filters: int) -> Any:
        path1 = layers.avg_pool2d(net.value, 1, stride=2, padding="VALID")
        path1 = layers.conv2d(path1, filters // 2, 1, scope="path1_conv")
        path2 = tf.pad(net.value, [[0, 0], [0, 1], [0, 1], [0, 0]])[:, 1:, 1:, :]
        path2 = layers.avg_pool2d(path2, 1, stride=2, padding="VALID")
        path2 = layers.conv2d(path2, filters - filters // 2, 1, scope="path2_conv")
        return tf.concat([path1, path2], 3)

    def add(self, left: Any, right: Any) -> Any:
        return left + right

    def concatenate(self, states: Sequence[FeatureMap[Any]]) -> Any:
        return tf.concat([state.value for state in states], 3, name="cell_output")

    def drop_path(self, net: Any, keep_prob: float) -> Any:
        return self.drop(net, keep_prob, self.examples)

    def global_pool(self, net: FeatureMap[Any]) -> Any:
        return tf.reduce_mean(net.value, [1, 2], name="global_pool")

    def dropout(self, features: Any, keep_prob: float) -> Any:
        return self.drop(features, keep_prob, tf.shape(features))

    def fully_connected(self, features: Any, inputs: int, outputs: int, scope: str) -> Any:
        return layers.fully_connected(features, outputs, scope=scope)

    def softmax(self, logits: Any) -> Any:
        return tf.nn.softmax(logits, name="predictions")

    def drop(self, net: Any, keep_prob: float, noise_shape: Any) -> Any:
        """Keeps each element of ``noise_shape`` with ``keep_prob`` and rescales, so that the expected value stays."""
        if self.uniform is None or keep_prob == 1.0:
            return net
        keep = tf.constant(keep_prob, tf.float32)
        return net / keep * tf.floor(keep + self.uniform(noise_shape))


def build(
    config: ModelConfig,
    task: Task,
    images: Any,
    getter: VariableGetter,
    *,
    training: bool = False,
    momentum: Any = TRAINING_DECAY,
    uniform: Uniform | None = tf.random.uniform,
) -> Network:
    """Builds a network on ``images``, float32 [batch, size, size, 3], RGB in [0, 1].

    Args:
        getter: gives the variables; see `exporter.models.variables.variables` for those that are asked for.
        training: batch statistics, updates of the moving averages, drop path and dropout at their final values.
        momentum: decay of the moving averages, a Python number or a float32 scalar tensor; used in training only.
        uniform: draws the numbers in [0, 1) that decide what drop path and dropout keep, given a shape. `tf.ones` keeps
            everything, rescaled; None leaves drop path and dropout out. Either makes a training graph deterministic.
    """
    operations = SlimOperations(images, uniform if training else None)
    moving = Moving(momentum) if training else None
    with (
        slim.arg_scope([batch_norm], getter=getter, moving=moving),
        slim.arg_scope([layers.conv2d, layers.separable_conv2d, layers.fully_connected], getter=getter),
    ):
        end_points = architecture.build(config, task, operations)
    return Network(end_points, moving.updates if moving else [])
