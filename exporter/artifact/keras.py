"""The Keras network: straight from the table of cells, of stock layers alone.

A file of it (``model.keras``) loads in any program with Keras 3, on each of its backends, without this package. Kernels
have the axes that they have in the checkpoint, so that every weight is a value of the checkpoint as it is.
"""

import contextlib
import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from exporter.artifact.options import ArtifactOptions
from exporter.models import architecture
from exporter.models.architecture import EPSILON, FeatureMap, Padding, same_padding
from exporter.models.config import ModelConfig, Task
from exporter.models.formats import DEFAULT_MOMENTUM
from exporter.models.preprocessing import usage
from exporter.models.signatures import SERVING_INPUT, SERVING_OUTPUTS
from exporter.models.variables import main_end_point

MODEL_FILE = "model.keras"

#: Stands in the name of a layer where the name of a variable in the checkpoint has a slash, which Keras refuses.
_SLASH = "__"

#: What Keras calls the weights of layers, by the last part of their names in the checkpoint.
LEAVES = {
    "weights": "kernel",
    "biases": "bias",
    "depthwise_weights": "depthwise_kernel",
    "pointwise_weights": "pointwise_kernel",
}

#: What newer releases of Keras add to the configurations of layers, at its default. Older ones refuse what they do not
#: know, and can do nothing else there: so it is left out. Such a file loads from Keras 3.6 on.
_ADDED_BY_KERAS: dict[str, Any] = {
    "input_axes": None,
    "output_axes": None,
    "quantization_config": None,
    "renorm": False,
    "renorm_clipping": None,
    "renorm_momentum": 0.99,
}

_Tensor: TypeAlias = Any  # a symbolic one of Keras


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
        model = build(self._config, self._task, self._values, options.batch_norm_momentum)
        _save(model, folder, usage(self._config, self._task))


def build(
    config: ModelConfig,
    task: Task,
    values: Mapping[str, Any],
    momentum: float = DEFAULT_MOMENTUM,
    end_points: bool = False,
) -> Any:
    """The network of a task, a functional ``keras.Model``.

    Its input ``inputs`` is float32 [batch, size, size, 3], RGB in [0, 1], its output ``logits`` [batch, num_classes] or
    ``feature_vector`` [batch, features].

    Args:
        momentum: how much of a moving average stays when training.
        end_points: whether the model gives all end points, by their names; feature maps are [batch, height, width,
            channels].

    Raises:
        KeyError: ``values`` lacks a variable of the network.
    """
    import keras

    operations = _KerasOperations(config, values, momentum)
    built = architecture.build(config, task, operations)
    output = keras.layers.Identity(name=SERVING_OUTPUTS[task])(built[main_end_point(task)])
    return keras.Model(operations.inputs, built if end_points else output, name=f"{config.name}_{task}")


def layer_name(scope: str) -> str:
    """The name of the layer that has the variables of a scope of the checkpoint."""
    return scope.replace("/", _SLASH)


def weight_path(name: str) -> str:
    """The ``path`` that Keras gives the weight with the values of a variable of the checkpoint."""
    scope, _, leaf = name.rpartition("/")
    return f"{layer_name(scope)}/{LEAVES.get(leaf, leaf)}"


def _save(model: Any, folder: Path, described: Mapping[str, Any]) -> None:
    """Writes what `keras.saving.save_model` does, without the time of writing, and with more in its metadata."""
    import keras

    # The name ends in what Keras asks for.
    weights = folder / "model.weights.h5"
    model.save_weights(weights)
    metadata = {"keras_version": keras.__version__, "date_saved": "1980-01-01@00:00:00", **described}
    with zipfile.ZipFile(folder / MODEL_FILE, "w") as archive:
        # A `ZipInfo` that is not told a date has always the same.
        archive.writestr(zipfile.ZipInfo("metadata.json"), json.dumps(metadata))
        archive.writestr(zipfile.ZipInfo("config.json"), json.dumps(_readable_by_older(json.loads(model.to_json()))))
        with open(weights, "rb") as source, archive.open(zipfile.ZipInfo(weights.name), "w") as stored:
            while block := source.read(2**20):
                stored.write(block)
    weights.unlink()


def _readable_by_older(value: Any) -> Any:
    """A part of a network's configuration without what only newer releases of Keras know."""
    if isinstance(value, list):
        return [_readable_by_older(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        name: _readable_by_older(item)
        for name, item in value.items()
        if name not in _ADDED_BY_KERAS or item != _ADDED_BY_KERAS[name]
    }


class _KerasOperations:
    """`exporter.models.architecture.Operations` as layers of Keras."""

    def __init__(self, config: ModelConfig, values: Mapping[str, Any], momentum: float):
        import keras

        self._layers = keras.layers
        self.inputs = keras.Input((config.image_size, config.image_size, 3), name=SERVING_INPUT)
        self._values = values
        self._momentum = momentum
        # Keras's L2 does not halve the sum of squares.
        self._penalty = keras.regularizers.L2(config.weight_decay / 2) if config.weight_decay else None
        self._scopes: list[str] = []
        self._rectified: dict[int, tuple[_Tensor, _Tensor]] = {}

    @contextlib.contextmanager
    def scope(self, name: str) -> Iterator[None]:
        self._scopes.append(name)
        yield
        self._scopes.pop()

    def images(self) -> _Tensor:
        return self._layers.Rescaling(2.0, -1.0, name="images")(self.inputs)

    def relu(self, net: _Tensor) -> _Tensor:
        # Once for all that read a state.
        if id(net) not in self._rectified:
            name = f"{net._keras_history.operation.name}{_SLASH}relu"
            self._rectified[id(net)] = (net, self._layers.ReLU(name=name)(net))
        return self._rectified[id(net)][1]

    def convolution(
        self, net: FeatureMap[_Tensor], filters: int, kernel: int, stride: int, padding: Padding, scope: str
    ) -> _Tensor:
        return self._convolution(net.value, filters, kernel, stride, padding, scope)

    def separable_convolution(
        self, net: FeatureMap[_Tensor], filters: int, kernel: int, stride: int, scope: str
    ) -> _Tensor:
        layer = self._layers.SeparableConv2D(
            filters,
            kernel,
            stride,
            padding="same",
            use_bias=False,
            depthwise_regularizer=self._penalty,
            pointwise_regularizer=self._penalty,
            name=self._scoped(scope),
        )
        return self._filled(layer, net.value, f"{scope}/depthwise_weights", f"{scope}/pointwise_weights")

    def batch_norm(self, net: FeatureMap[_Tensor], scope: str) -> _Tensor:
        layer = self._layers.BatchNormalization(momentum=self._momentum, epsilon=EPSILON, name=self._scoped(scope))
        leaves = ("gamma", "beta", "moving_mean", "moving_variance")
        return self._filled(layer, net.value, *(f"{scope}/{leaf}" for leaf in leaves))

    def pool(self, kind: str, net: FeatureMap[_Tensor], kernel: int, stride: int) -> _Tensor:
        name = self._scoped(f"{kind}_pool_{kernel}x{kernel}")
        if kind == "max":
            return self._layers.MaxPooling2D(kernel, stride, padding="same", name=name)(net.value)
        before, after = same_padding(net.size, kernel, stride)
        if before == after:
            return self._layers.AveragePooling2D(kernel, stride, padding="same", name=name)(net.value)
        # Keras on PyTorch counts pixels twice where more of them are lacking after than before. So the padding is
        # counted everywhere, and made up for.
        padded = self._layers.ZeroPadding2D(((before, after),) * 2, name=f"{name}{_SLASH}pad")(net.value)
        pooled = self._layers.AveragePooling2D(kernel, stride, padding="valid", name=name)(padded)
        scale = _window_scale(net.size, kernel, stride)
        return self._layers.Rescaling(scale, name=f"{name}{_SLASH}scale")(pooled)

    def factorized_reduction(self, net: FeatureMap[_Tensor], filters: int) -> _Tensor:
        first = self._convolution(net.value, filters // 2, 1, 2, "VALID", "path1_conv")
        shifted = self._layers.Cropping2D(((1, 0), (1, 0)), name=self._scoped("path2_crop"))(net.value)
        if net.size % 2:
            # The last pixel is beyond the edge.
            shifted = self._layers.ZeroPadding2D(((0, 1), (0, 1)), name=self._scoped("path2_pad"))(shifted)
        second = self._convolution(shifted, filters - filters // 2, 1, 2, "VALID", "path2_conv")
        return self._layers.Concatenate(name=self._scoped("paths"))([first, second])

    def add(self, left: _Tensor, right: _Tensor) -> _Tensor:
        return self._layers.Add(name=self._scoped("add"))([left, right])

    def concatenate(self, states: Sequence[FeatureMap[_Tensor]]) -> _Tensor:
        return self._layers.Concatenate(name=_SLASH.join(self._scopes))([state.value for state in states])

    def drop_path(self, net: _Tensor, keep_prob: float) -> _Tensor:
        if keep_prob == 1:
            return net
        # One number for each example decides about all of it.
        return self._layers.Dropout(1 - keep_prob, (None, 1, 1, 1), name=self._scoped("drop_path"))(net)

    def global_pool(self, net: FeatureMap[_Tensor]) -> _Tensor:
        return self._layers.GlobalAveragePooling2D(name="global_pool")(net.value)

    def dropout(self, features: _Tensor, keep_prob: float) -> _Tensor:
        if keep_prob == 1:
            return features
        return self._layers.Dropout(1 - keep_prob, name="dropout")(features)

    def fully_connected(self, features: _Tensor, inputs: int, outputs: int, scope: str) -> _Tensor:
        layer = self._layers.Dense(outputs, kernel_regularizer=self._penalty, name=self._scoped(scope))
        return self._filled(layer, features, f"{scope}/weights", f"{scope}/biases")

    def softmax(self, logits: _Tensor) -> _Tensor:
        return self._layers.Softmax(name="predictions")(logits)

    def _convolution(
        self, net: _Tensor, filters: int, kernel: int, stride: int, padding: Padding, scope: str
    ) -> _Tensor:
        layer = self._layers.Conv2D(
            filters,
            kernel,
            stride,
            padding=padding.lower(),
            use_bias=False,
            kernel_regularizer=self._penalty,
            name=self._scoped(scope),
        )
        return self._filled(layer, net, f"{scope}/weights")

    def _filled(self, layer: Any, net: _Tensor, *names: str) -> _Tensor:
        """What the layer makes of ``net``; its weights get the values of these variables of the current scope."""
        result = layer(net)
        layer.set_weights([np.asarray(self._values["/".join((*self._scopes, name))]) for name in names])
        return result

    def _scoped(self, scope: str) -> str:
        return layer_name("/".join((*self._scopes, scope)))


def _window_scale(size: int, kernel: int, stride: int) -> list[list[list[float]]]:
    """By how much the mean over a window is too small where padding counted, [height, width, 1].

    The windows are those of TensorFlow's SAME.
    """
    before, _ = same_padding(size, kernel, stride)
    starts = [index * stride - before for index in range(-(-size // stride))]
    inside = [min(start + kernel, size) - max(start, 0) for start in starts]
    return [[[kernel * kernel / (rows * columns)] for columns in inside] for rows in inside]
