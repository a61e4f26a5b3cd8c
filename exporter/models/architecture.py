"""The networks as one walk over the table of cells, whatever they are built with.

`build` reads like the architecture: stem, cells, head. It has no library in it: a library comes as an object with
`Operations`, and everything that tells the networks from others (which state goes where, strides, filters, scopes of
variables, where a ReLU comes) is decided here, once for all libraries.
"""

import dataclasses
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Generic, Literal, Protocol, TypeVar

from exporter.models.cells import FAMILIES, Branch, Cell
from exporter.models.config import ModelConfig, Task

T = TypeVar("T")

Padding = Literal["SAME", "VALID"]

#: What batch norm adds to the variance; the value that the published checkpoints were trained with.
EPSILON = 1e-3


@dataclass(frozen=True)
class FeatureMap(Generic[T]):
    """``value`` is what a library has for it; it is ``size`` pixels in height and width, and ``channels`` deep."""

    value: T
    size: int
    channels: int

    def becomes(self, value: T) -> "FeatureMap[T]":
        """Another one of this size and depth."""
        return dataclasses.replace(self, value=value)


class Operations(Protocol[T]):
    """What a library does to feature maps and features; ``T`` is its tensor, symbolic or not.

    Scopes nest, as those of the variables do: ``convolution(..., scope="1x1")`` within ``scope("cell_0")`` has the
    variable ``cell_0/1x1/weights``. SAME is TensorFlow's: an output has ``size / stride`` pixels, rounded up, and an
    odd pixel of padding comes after (`same_padding`).
    """

    def scope(self, name: str) -> AbstractContextManager[Any]:
        """Puts the variables of what is called within it below ``name``."""

    def images(self) -> T:
        """The images, [batch, size, size, 3], with [0, 1] rescaled to [-1, 1]."""

    def relu(self, net: T) -> T:
        """The larger of each element and 0."""

    def convolution(
        self, net: FeatureMap[T], filters: int, kernel: int, stride: int, padding: Padding, scope: str
    ) -> T:
        """A convolution without biases; variable ``weights`` [kernel, kernel, channels, filters]."""

    def separable_convolution(self, net: FeatureMap[T], filters: int, kernel: int, stride: int, scope: str) -> T:
        """A depthwise convolution with SAME, and a pointwise one after it.

        Variables ``depthwise_weights`` [kernel, kernel, channels, 1], ``pointwise_weights`` [1, 1, channels, filters].
        """

    def batch_norm(self, net: FeatureMap[T], scope: str) -> T:
        """Batch normalization with `EPSILON`; variables ``gamma``, ``beta``, ``moving_mean``, ``moving_variance``."""

    def pool(self, kind: str, net: FeatureMap[T], kernel: int, stride: int) -> T:
        """The mean (``avg``) or the largest element (``max``) of each window with SAME; padding counts for neither."""

    def factorized_reduction(self, net: FeatureMap[T], filters: int) -> T:
        """Halves height and width: two convolutions of a pixel at stride 2, concatenated.

        The first, ``path1_conv/weights`` with half of the filters, takes the even pixels; ``path2_conv/weights``
        takes those one down and to the right of them, and zeros where these are beyond the edge.
        """

    def add(self, left: T, right: T) -> T:
        """The sum of two feature maps."""

    def concatenate(self, states: Sequence[FeatureMap[T]]) -> T:
        """One feature map with the channels of all, in that order."""

    def drop_path(self, net: T, keep_prob: float) -> T:
        """In training, drops whole examples and rescales what it keeps; in inference nothing."""

    def global_pool(self, net: FeatureMap[T]) -> T:
        """The mean over height and width, [batch, channels]."""

    def dropout(self, features: T, keep_prob: float) -> T:
        """In training, drops single features and rescales what it keeps; in inference nothing."""

    def fully_connected(self, features: T, inputs: int, outputs: int, scope: str) -> T:
        """Variables ``weights`` [inputs, outputs] and ``biases`` [outputs]."""

    def softmax(self, logits: T) -> T:
        """The share of each class, [batch, classes]."""


def build(config: ModelConfig, task: Task, operations: Operations[T]) -> dict[str, T]:
    """Builds a network; its end points by name, in order.

    Returns:
        ``Stem``, ``Cell_i`` and ``Reduction_Cell_k``, feature maps; ``global_pool`` [batch, features]; and for
        classification ``Logits`` and ``Predictions`` [batch, num_classes].
    """
    end_points: dict[str, T] = {}
    walk = _Walk(config, operations)
    net = _stem_and_cells(config, walk, end_points)
    _head(config, task, operations, net, end_points)
    return end_points


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """How many pixels TensorFlow's SAME adds before and after ``size`` of them."""
    lacking = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return lacking // 2, lacking - lacking // 2


def drop_path_keep_prob(config: ModelConfig, cell: int) -> float:
    """The probability with which drop path keeps a branch of the cell of that number, the first of the stem being 0."""
    total = config.num_cells + FAMILIES[config.family].stem_cells_in_drop_path
    return 1 - (cell + 1) / total * (1 - config.drop_path_keep_prob)


def _stem_and_cells(config: ModelConfig, walk: "_Walk[T]", end_points: dict[str, T]) -> FeatureMap[T]:
    family = FAMILIES[config.family]
    filters = config.num_conv_filters
    states = [walk.stem_convolution()]

    def add(name: str, cell: Cell, previous: FeatureMap[T] | None, filters: int, stride: int) -> T:
        states.append(walk.cell(name, cell, states[-1], previous, filters, stride))
        return states[-1].value

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


def _head(
    config: ModelConfig, task: Task, operations: Operations[T], net: FeatureMap[T], end_points: dict[str, T]
) -> None:
    features = operations.global_pool(net.becomes(operations.relu(net.value)))
    end_points["global_pool"] = features
    if task == "feature_vector":
        return
    features = operations.dropout(features, config.dropout_keep_prob)
    with operations.scope("final_layer"):
        logits = operations.fully_connected(features, net.channels, config.num_classes, scope="FC")
    end_points["Logits"] = logits
    end_points["Predictions"] = operations.softmax(logits)


class _Walk(Generic[T]):
    """Builds the parts of one network, and counts its cells."""

    def __init__(self, config: ModelConfig, operations: Operations[T]):
        self._config = config
        self._operations = operations
        self._cells = 0

    def stem_convolution(self) -> FeatureMap[T]:
        images = FeatureMap(self._operations.images(), self._config.image_size, 3)
        return self._convolution(images, self._config.stem_filters, "conv0", "conv0_bn", 3, 2, "VALID")

    def cell(
        self,
        scope: str,
        cell: Cell,
        current: FeatureMap[T],
        previous: FeatureMap[T] | None,
        filters: int,
        stride: int,
    ) -> FeatureMap[T]:
        """The next cell, after ``current``; ``previous`` is the state before it, which the very first cell lacks."""
        keep_prob = drop_path_keep_prob(self._config, self._cells)
        self._cells += 1

        def drop_path(net: T) -> T:
            return self._operations.drop_path(net, keep_prob)

        with self._operations.scope(scope):
            previous = current if previous is None else self._match_previous(previous, current, filters)
            states = [self._convolution(self._relu(current), filters, "1x1", "beginning_bn"), previous]
            for index, branches in enumerate(cell.combinations):
                with self._operations.scope(f"comb_iter_{index}"):
                    left, right = (
                        self._branch(
                            side, branch, states[branch.state], filters, stride if branch.state < 2 else 1, drop_path
                        )
                        for side, branch in zip(("left", "right"), branches, strict=True)
                    )
                    states.append(left.becomes(self._operations.add(left.value, right.value)))
            concatenated = [states[index] for index in cell.concatenated]
            channels = sum(state.channels for state in concatenated)
            return FeatureMap(self._operations.concatenate(concatenated), concatenated[0].size, channels)

    def _match_previous(self, previous: FeatureMap[T], current: FeatureMap[T], filters: int) -> FeatureMap[T]:
        """Brings the previous state to the current one's height and width and to the cell's filters."""
        if previous.size != current.size:
            value = self._operations.factorized_reduction(self._relu(previous), filters)
            return self._batch_norm(FeatureMap(value, -(-previous.size // 2), filters), "final_path_bn")
        if previous.channels != filters:
            return self._convolution(self._relu(previous), filters, "prev_1x1", "prev_bn")
        return previous

    def _branch(
        self,
        side: str,
        branch: Branch,
        net: FeatureMap[T],
        filters: int,
        stride: int,
        drop_path: Callable[[T], T],
    ) -> FeatureMap[T]:
        with self._operations.scope(side):
            if branch.kind == "none":
                if stride == 1 and net.channels == filters:
                    return net
                return self._convolution(self._relu(net), filters, "1x1", "bn_1", stride=stride)
            if branch.kind == "sep":
                net = self._separable(net, branch.kernel, filters, stride)
            else:
                value = self._operations.pool(branch.kind, net, branch.kernel, stride)
                net = FeatureMap(value, -(-net.size // stride), net.channels)
                if net.channels != filters:
                    net = self._convolution(net, filters, "1x1", "bn_1")
            # Drop path: whole examples of a branch; an identity is never dropped.
            return net.becomes(drop_path(net.value))

    def _separable(self, net: FeatureMap[T], kernel: int, filters: int, stride: int) -> FeatureMap[T]:
        for layer, layer_stride in ((1, stride), (2, 1)):
            name = f"{kernel}x{kernel}_{layer}"
            value = self._operations.separable_convolution(
                self._relu(net), filters, kernel, layer_stride, scope=f"separable_{name}"
            )
            net = self._batch_norm(FeatureMap(value, -(-net.size // layer_stride), filters), f"bn_sep_{name}")
        return net

    def _convolution(
        self,
        net: FeatureMap[T],
        filters: int,
        scope: str,
        batch_norm_scope: str,
        kernel: int = 1,
        stride: int = 1,
        padding: Padding = "SAME",
    ) -> FeatureMap[T]:
        """A convolution and its batch norm."""
        value = self._operations.convolution(net, filters, kernel, stride, padding, scope)
        covered = net.size if padding == "SAME" else net.size - kernel + 1
        return self._batch_norm(FeatureMap(value, -(-covered // stride), filters), batch_norm_scope)

    def _batch_norm(self, net: FeatureMap[T], scope: str) -> FeatureMap[T]:
        return net.becomes(self._operations.batch_norm(net, scope))

    def _relu(self, net: FeatureMap[T]) -> FeatureMap[T]:
        return net.becomes(self._operations.relu(net.value))
