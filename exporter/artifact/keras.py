"""The Keras network: straight from the table of cells, of stock layers alone, without Keras.

Its file, ``model.keras``, loads in any program with Keras 3.6 or newer, on each of its backends, without this package.
Kernels have the axes that they have in the checkpoint, so that every weight is a value of the checkpoint as it is.

In training, two things are Keras's own: batch norms take the variance of the batch itself for the moving one, where
TensorFlow makes an unbiased estimate of it, which is larger by ``n / (n - 1)`` for the n pixels of a batch; and what
drop path and dropout draw differs by backend.
"""

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from exporter.artifact import keras_file
from exporter.artifact.keras_file import Layer, registered
from exporter.artifact.options import ArtifactOptions
from exporter.models import architecture
from exporter.models.architecture import EPSILON, FeatureMap, Padding, same_padding
from exporter.models.config import ModelConfig, Task
from exporter.models.formats import KERAS_FILE
from exporter.models.preprocessing import usage
from exporter.models.signatures import SERVING_INPUT, SERVING_OUTPUTS
from exporter.models.variables import main_end_point

#: Stands in the name of a layer where the name of a variable in the checkpoint has a slash, which Keras refuses.
_SLASH = "__"

#: What Keras calls the weights of layers, by the last part of their names in the checkpoint.
_LEAVES = {
    "weights": "kernel",
    "biases": "bias",
    "depthwise_weights": "depthwise_kernel",
    "pointwise_weights": "pointwise_kernel",
}


#: The end points that layers give; ``Predictions`` none does.
_END_POINTS = {"cell_stem_1": "Stem", "global_pool": "global_pool", SERVING_OUTPUTS["classification"]: "Logits"}
_CELL = re.compile(r"(reduction_)?cell_\d+")


class Writer:
    """Writes the network of one task.

    Args:
        values: float32 values by checkpoint name, those of the task and maybe others.
    """

    def __init__(self, config: ModelConfig, task: Task, values: Mapping[str, Any]):
        self._config = config
        self._task = task
        self._values = values

    def write(self, version: object, folder: Path, options: ArtifactOptions) -> None:
        """Writes ``model.keras`` into ``folder``, which must not exist; the same values give the same bytes."""
        assert options.batch_norm_momentum is not None, "Keras trains its networks"
        folder.mkdir()
        output = build(self._config, self._task, self._values, options.batch_norm_momentum)
        name = f"{self._config.name}_{self._task}"
        keras_file.write(folder / KERAS_FILE, name, output, usage(self._config, self._task))


def build(config: ModelConfig, task: Task, values: Mapping[str, Any], momentum: float) -> Layer:
    """The last layer of the network of a task, with all that comes before it.

    Its input ``inputs`` is float32 [batch, size, size, 3], RGB in [0, 1], its output ``logits`` [batch, num_classes] or
    ``feature_vector`` [batch, features].

    Args:
        momentum: how much of a moving average stays when training.

    Raises:
        KeyError: ``values`` lacks a variable of the network.
    """
    built = architecture.build(config, task, _KerasOperations(config, values, momentum))
    main = built[main_end_point(task)]
    return Layer("Identity", SERVING_OUTPUTS[task], main.shape, (main,))


def layer_name(scope: str) -> str:
    """The name of the layer that has the variables of a scope of the checkpoint."""
    return scope.replace("/", _SLASH)


def scope_of(layer: str) -> str:
    """The scope whose variables the layer of that name has."""
    return layer.replace(_SLASH, "/")


def weight_path(name: str) -> str:
    """The ``path`` that Keras gives the weight with the values of a variable of the checkpoint."""
    scope, _, leaf = name.rpartition("/")
    return f"{layer_name(scope)}/{_LEAVES.get(leaf, leaf)}"


def end_point_of(layer: str) -> str | None:
    """The end point that the output of the layer of that name is; None for all other layers."""
    return _END_POINTS.get(layer, layer.title() if _CELL.fullmatch(layer) else None)


class _KerasOperations:
    """`exporter.models.architecture.Operations` as layers of Keras."""

    def __init__(self, config: ModelConfig, values: Mapping[str, Any], momentum: float):
        size = config.image_size
        self._inputs = Layer("InputLayer", SERVING_INPUT, (size, size, 3))
        self._values = values
        self._momentum = momentum
        # Keras's L2 does not halve the sum of squares.
        decay = config.weight_decay
        self._penalty = registered("keras.regularizers", "L2", l2=decay / 2) if decay else None
        self._scopes: list[str] = []
        self._rectified: dict[Layer, Layer] = {}

    @contextlib.contextmanager
    def scope(self, name: str) -> Iterator[None]:
        self._scopes.append(name)
        yield
        self._scopes.pop()

    def images(self) -> Layer:
        return Layer("Rescaling", "images", self._inputs.shape, (self._inputs,), {"scale": 2.0, "offset": -1.0})

    def relu(self, net: Layer) -> Layer:
        # Once for all that read a state.
        if net not in self._rectified:
            self._rectified[net] = Layer("ReLU", f"{net.name}{_SLASH}relu", net.shape, (net,))
        return self._rectified[net]

    def convolution(
        self, net: FeatureMap[Layer], filters: int, kernel: int, stride: int, padding: Padding, scope: str
    ) -> Layer:
        return self._convolution(net.value, net.size, filters, kernel, stride, padding, scope)

    def separable_convolution(
        self, net: FeatureMap[Layer], filters: int, kernel: int, stride: int, scope: str
    ) -> Layer:
        options = {
            "filters": filters,
            **_window(kernel, stride, "same"),
            "use_bias": False,
            "depthwise_regularizer": self._penalty,
            "pointwise_regularizer": self._penalty,
        }
        size = -(-net.size // stride)
        weights = self._variables(f"{scope}/depthwise_weights", f"{scope}/pointwise_weights")
        return self._layer("SeparableConv2D", scope, (size, size, filters), net.value, options, weights)

    def batch_norm(self, net: FeatureMap[Layer], scope: str) -> Layer:
        options = {"axis": -1, "momentum": self._momentum, "epsilon": EPSILON}
        weights = self._variables(*(f"{scope}/{leaf}" for leaf in ("gamma", "beta", "moving_mean", "moving_variance")))
        return self._layer("BatchNormalization", scope, net.value.shape, net.value, options, weights)

    def pool(self, kind: str, net: FeatureMap[Layer], kernel: int, stride: int) -> Layer:
        layer, name = {"avg": "AveragePooling2D", "max": "MaxPooling2D"}[kind], f"{kind}_pool"
        size = -(-net.size // stride)
        shape = (size, size, net.channels)
        before, after = same_padding(net.size, kernel, stride)
        if kind == "max" or before == after:
            return self._layer(layer, name, shape, net.value, _pooling(kernel, stride, "same"))
        # Where more pixels are lacking after than before, Keras's average on PyTorch counts some twice. So the padding
        # is counted everywhere, and made up for.
        side = net.size + before + after
        options: dict[str, Any] = {"padding": [[before, after]] * 2, **_CHANNELS_LAST}
        padded = self._layer("ZeroPadding2D", f"{name}/pad", (side, side, net.channels), net.value, options)
        pooled = self._layer(layer, name, shape, padded, _pooling(kernel, stride, "valid"))
        options = {"scale": _shares_inside(net.size, kernel, stride), "offset": 0.0}
        return self._layer("Rescaling", f"{name}/scale", shape, pooled, options)

    def factorized_reduction(self, net: FeatureMap[Layer], filters: int) -> Layer:
        first = self._convolution(net.value, net.size, filters // 2, 1, 2, "VALID", "path1_conv")
        side = net.size - 1
        options = {"cropping": [[1, 0], [1, 0]], **_CHANNELS_LAST}
        shifted = self._layer("Cropping2D", "path2_crop", (side, side, net.channels), net.value, options)
        if net.size % 2:
            # The last pixel is beyond the edge.
            side = net.size
            options = {"padding": [[0, 1], [0, 1]], **_CHANNELS_LAST}
            shifted = self._layer("ZeroPadding2D", "path2_pad", (side, side, net.channels), shifted, options)
        second = self._convolution(shifted, side, filters - filters // 2, 1, 2, "VALID", "path2_conv")
        return Layer("Concatenate", self._scoped("paths"), (*first.shape[:2], filters), (first, second), {"axis": -1})

    def add(self, left: Layer, right: Layer) -> Layer:
        return Layer("Add", self._scoped("add"), left.shape, (left, right))

    def concatenate(self, states: Sequence[FeatureMap[Layer]]) -> Layer:
        shape = (states[0].size, states[0].size, sum(state.channels for state in states))
        values = tuple(state.value for state in states)
        return Layer("Concatenate", layer_name("/".join(self._scopes)), shape, values, {"axis": -1})

    def drop_path(self, net: Layer, keep_prob: float) -> Layer:
        if keep_prob == 1:
            return net
        # One number for each example decides about all of it.
        options = {"rate": 1 - keep_prob, "noise_shape": [None, 1, 1, 1]}
        return self._layer("Dropout", "drop_path", net.shape, net, options)

    def global_pool(self, net: FeatureMap[Layer]) -> Layer:
        return self._layer("GlobalAveragePooling2D", "global_pool", (net.channels,), net.value, _CHANNELS_LAST)

    def dropout(self, features: Layer, keep_prob: float) -> Layer:
        if keep_prob == 1:
            return features
        return self._layer("Dropout", "dropout", features.shape, features, {"rate": 1 - keep_prob})

    def fully_connected(self, features: Layer, inputs: int, outputs: int, scope: str) -> Layer:
        options = {"units": outputs, "kernel_regularizer": self._penalty}
        weights = self._variables(f"{scope}/weights", f"{scope}/biases")
        return self._layer("Dense", scope, (outputs,), features, options, weights)

    def softmax(self, logits: Layer) -> Layer:
        return self._layer("Softmax", "predictions", logits.shape, logits)

    def _convolution(
        self, net: Layer, size: int, filters: int, kernel: int, stride: int, padding: Padding, scope: str
    ) -> Layer:
        options = {
            "filters": filters,
            **_window(kernel, stride, padding.lower()),
            "use_bias": False,
            "kernel_regularizer": self._penalty,
        }
        covered = size if padding == "SAME" else size - kernel + 1
        shape = (-(-covered // stride), -(-covered // stride), filters)
        return self._layer("Conv2D", scope, shape, net, options, self._variables(f"{scope}/weights"))

    def _layer(
        self,
        kind: str,
        scope: str,
        shape: tuple[int, ...],
        net: Layer,
        options: Mapping[str, Any] | None = None,
        weights: Sequence[Any] = (),
    ) -> Layer:
        return Layer(kind, self._scoped(scope), shape, (net,), options, weights)

    def _variables(self, *names: str) -> list[Any]:
        return [np.asarray(self._values["/".join((*self._scopes, name))]) for name in names]

    def _scoped(self, scope: str) -> str:
        return layer_name("/".join((*self._scopes, scope)))


_CHANNELS_LAST = {"data_format": "channels_last"}


def _window(kernel: int, stride: int, padding: str) -> dict[str, Any]:
    return {"kernel_size": [kernel] * 2, "strides": [stride] * 2, "padding": padding, **_CHANNELS_LAST}


def _pooling(kernel: int, stride: int, padding: str) -> dict[str, Any]:
    return {"pool_size": [kernel] * 2, "strides": [stride] * 2, "padding": padding, **_CHANNELS_LAST}


def _shares_inside(size: int, kernel: int, stride: int) -> list[list[list[float]]]:
    """What the mean over each window of TensorFlow's SAME is multiplied with where padding counted.

    By row and column, the pixels of a window for each of those that lie inside of the image; the last axis has one for
    all channels.
    """
    before, _ = same_padding(size, kernel, stride)
    starts = [index * stride - before for index in range(-(-size // stride))]
    inside = [min(start + kernel, size) - max(start, 0) for start in starts]
    return [[[kernel * kernel / (rows * columns)] for columns in inside] for rows in inside]
