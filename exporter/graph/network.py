"""The networks as TF-Slim graphs.

`build` reads like the architecture: stem, cells, head. It creates no variable of its own; each is asked for by name
from a `VariableGetter`, so that the same code serves a TF1 graph with its own variables and a ``tf.function`` over
the variables of a SavedModel.

Every function here must be called while a graph is being built (``tf.Graph().as_default()`` or ``tf.function``).
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import tensorflow as tf
import tf_slim as slim

from exporter.graph import layers
from exporter.graph.batch_norm import Moving, batch_norm
from exporter.models.cells import FAMILIES, Branch, Cell
from exporter.models.config import ModelConfig, Task
from exporter.models.formats import TRAINING_DECAY

#: ``getter(name, shape)`` returns the resource variable of that checkpoint name, or raises KeyError.
VariableGetter = Callable[[str, tuple[int, ...]], Any]

#: ``uniform(shape)`` returns float32 numbers of that shape.
Uniform = Callable[[Any], Any]
DropPath = Callable[[Any], Any]


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


@dataclass(frozen=True)
class _Dropping:
    """How drop path and dropout work in one graph.

    ``uniform`` is None where they do not, ``total`` counts cells, and ``examples`` is the shape of one number for each
    example, int32 [4].
    """

    uniform: Uniform | None
    keep_prob: float
    total: int
    examples: Any

    def drop_path(self, cell: int, net: Any) -> Any:
        """Drops whole examples of ``net``, with the probability that cell number ``cell`` has."""
        keep_prob = 1 - (cell + 1) / self.total * (1 - self.keep_prob)
        return self.drop(net, keep_prob, self.examples)

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
    family = FAMILIES[config.family]
    network = Network()
    total = config.num_cells + family.stem_cells_in_drop_path
    # Once for all branches; there, it would be several operations for each.
    examples = tf.stack([tf.shape(images)[0], 1, 1, 1]) if training and uniform else None
    dropping = _Dropping(uniform if training else None, config.drop_path_keep_prob, total, examples)
    moving = Moving(momentum) if training else None
    with (
        slim.arg_scope([batch_norm], getter=getter, moving=moving),
        slim.arg_scope([layers.conv2d, layers.separable_conv2d, layers.fully_connected], getter=getter),
        slim.arg_scope([layers.avg_pool2d, layers.max_pool2d], padding="SAME"),
    ):
        current = _stem_and_cells(config, dropping, 2 * images - 1, network.end_points)
        _head(config, task, dropping, current, network.end_points)
    if moving:
        network.updates = moving.updates
    return network


def _stem_and_cells(config: ModelConfig, dropping: _Dropping, images: Any, end_points: dict[str, Any]) -> Any:
    family = FAMILIES[config.family]
    filters = config.num_conv_filters
    net = layers.conv2d(images, config.stem_filters, 3, stride=2, padding="VALID", scope="conv0")
    states = [batch_norm(net, scope="conv0_bn")]
    cell_number = 0

    def add(name: str, cell: Cell, previous: Any, filters: int, stride: int) -> Any:
        nonlocal cell_number
        drop_path = functools.partial(dropping.drop_path, cell_number)
        states.append(_cell(name, cell, states[-1], previous, filters, stride, drop_path))
        cell_number += 1
        return states[-1]

    add("cell_stem_0", family.reduction, None, filters // 4, 2)
    end_points["Stem"] = add("cell_stem_1", family.reduction, states[-2], filters // 2, 2)
    for index in range(config.num_cells):
        previous = states[-2]
        stride = 1
        if index in config.reductions:
            filters *= 2
            if family.inserts_reductions:
                number = config.reductions.index(index)
                reduced = add(f"reduction_cell_{number}", family.reduction, previous, filters, 2)
                end_points[f"Reduction_Cell_{number}"] = reduced
                if not config.skip_reduction_layer_input:
                    previous = states[-2]
            else:
                stride = 2
        cell = family.normal if stride == 1 else family.reduction
        end_points[f"Cell_{index}"] = add(f"cell_{index}", cell, previous, filters, stride)
    return states[-1]


def _head(config: ModelConfig, task: Task, dropping: _Dropping, net: Any, end_points: dict[str, Any]) -> None:
    features = tf.reduce_mean(layers.relu(net), [1, 2], name="global_pool")
    end_points["global_pool"] = features
    if task == "feature_vector":
        return
    features = dropping.drop(features, config.dropout_keep_prob, tf.shape(features))
    with tf.compat.v1.variable_scope("final_layer"):
        logits = layers.fully_connected(features, config.num_classes, scope="FC")
    end_points["Logits"] = logits
    end_points["Predictions"] = tf.nn.softmax(logits, name="predictions")


def _cell(scope: str, cell: Cell, current: Any, previous: Any, filters: int, stride: int, drop_path: DropPath) -> Any:
    with tf.compat.v1.variable_scope(scope):
        previous = current if previous is None else _match_previous(previous, current, filters)
        current = layers.conv2d(layers.relu(current), filters, 1, scope="1x1")
        states = [batch_norm(current, scope="beginning_bn"), previous]
        for index, branches in enumerate(cell.combinations):
            with tf.compat.v1.variable_scope(f"comb_iter_{index}"):
                left, right = (
                    _branch(side, branch, states[branch.state], filters, stride if branch.state < 2 else 1, drop_path)
                    for side, branch in zip(("left", "right"), branches, strict=True)
                )
                states.append(left + right)
        return tf.concat([states[index] for index in cell.concatenated], 3, name="cell_output")


def _match_previous(previous: Any, current: Any, filters: int) -> Any:
    """Brings the previous state to the current one's height and width and to the cell's filters."""
    if previous.shape[2] != current.shape[2]:
        return _factorized_reduction(layers.relu(previous), filters)
    if previous.shape[3] != filters:
        previous = layers.conv2d(layers.relu(previous), filters, 1, scope="prev_1x1")
        return batch_norm(previous, scope="prev_bn")
    return previous


def _factorized_reduction(net: Any, filters: int) -> Any:
    """Halves height and width without losing the odd pixels: two strided paths, the second shifted by one pixel."""
    path1 = layers.avg_pool2d(net, 1, stride=2, padding="VALID")
    path1 = layers.conv2d(path1, filters // 2, 1, scope="path1_conv")
    path2 = tf.pad(net, [[0, 0], [0, 1], [0, 1], [0, 0]])[:, 1:, 1:, :]
    path2 = layers.avg_pool2d(path2, 1, stride=2, padding="VALID")
    path2 = layers.conv2d(path2, filters - filters // 2, 1, scope="path2_conv")
    return batch_norm(tf.concat([path1, path2], 3), scope="final_path_bn")


def _branch(side: str, branch: Branch, net: Any, filters: int, stride: int, drop_path: DropPath) -> Any:
    with tf.compat.v1.variable_scope(side):
        if branch.kind == "none":
            if stride == 1 and net.shape[3] == filters:
                return net
            net = layers.conv2d(layers.relu(net), filters, 1, stride=stride, scope="1x1")
            return batch_norm(net, scope="bn_1")
        if branch.kind == "sep":
            net = _separable(net, branch.kernel, filters, stride)
        else:
            pool = layers.avg_pool2d if branch.kind == "avg" else layers.max_pool2d
            net = pool(net, branch.kernel, stride=stride)
            if net.shape[3] != filters:
                net = batch_norm(layers.conv2d(net, filters, 1, scope="1x1"), scope="bn_1")
        # Drop path: whole examples of a branch; an identity is never dropped.
        return drop_path(net)


def _separable(net: Any, kernel: int, filters: int, stride: int) -> Any:
    for layer, layer_stride in ((1, stride), (2, 1)):
        name = f"{kernel}x{kernel}_{layer}"
        net = layers.separable_conv2d(layers.relu(net), filters, kernel, stride=layer_stride, scope=f"separable_{name}")
        net = batch_norm(net, scope=f"bn_sep_{name}")
    return net
