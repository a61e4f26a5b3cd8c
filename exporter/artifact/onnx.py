"""The ONNX model of a network: straight from the table of cells and the values, without a graph of TensorFlow.

Inside, feature maps are [batch, channels, height, width], as ONNX's operators want them; inputs and outputs are as
everywhere here. Batch norms are kept: runtimes fold them when they load a model, and so every initializer is a value of
the checkpoint, transposed at most, which can be checked bit for bit.
"""

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

import exporter
from exporter.artifact.onnx_serialization import Initializer, pieces
from exporter.artifact.options import ArtifactOptions
from exporter.models import architecture
from exporter.models.architecture import EPSILON, FeatureMap, Padding, same_padding
from exporter.models.config import ModelConfig, Task
from exporter.models.formats import ONNX_FILE
from exporter.models.preprocessing import usage_texts
from exporter.models.signatures import END_POINTS_PROPERTY, SERVING_INPUT, SERVING_OUTPUTS
from exporter.models.variables import main_end_point

#: Opset 17 came with onnx 1.12 in 2022. A runtime refuses a model whose IR version is newer than it knows; opset 17's
#: is 8.
OPSET, IR_VERSION = 17, 8

#: From the checkpoint's axes to ONNX's: a kernel's [height, width, channels, filters] to [filters, channels, height,
#: width], and a depthwise one's [height, width, channels, 1] to [channels, 1, height, width].
KERNEL_AXES, DEPTHWISE_AXES = (3, 2, 0, 1), (2, 3, 0, 1)


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
        """Writes ``model.onnx`` into ``folder``, which must not exist; the same values give the same bytes."""
        folder.mkdir()
        model, initializers = build(self._config, self._task, self._values, options.end_points)
        with open(folder / ONNX_FILE, "wb") as file:
            file.writelines(pieces(model, initializers))


def build(
    config: ModelConfig, task: Task, values: Mapping[str, Any], end_points: bool = False
) -> tuple[onnx.ModelProto, Mapping[str, Initializer]]:
    """The model of a task, and the initializers that belong into it.

    Its input ``inputs`` is float32 [batch, size, size, 3], RGB in [0, 1], its output ``logits`` [batch, num_classes] or
    ``feature_vector`` [batch, features].

    Args:
        end_points: whether all other end points are outputs, too, by their names; feature maps are [batch, height,
            width, channels].

    Raises:
        KeyError: ``values`` lacks a variable of the network.
    """
    operations = _OnnxOperations(values, config.image_size)
    built = architecture.build(config, task, operations)
    main = main_end_point(task)
    outputs = [operations.output(SERVING_OUTPUTS[task], built[main])]
    if end_points:
        outputs += [operations.output(name, tensor) for name, tensor in built.items() if name != main]
    graph = helper.make_graph(
        _needed(operations.nodes, {output.name for output in outputs}),
        f"{config.name}_{task}",
        [_value_info(_Tensor(SERVING_INPUT, (config.image_size, config.image_size, 3)))],
        [_value_info(output) for output in outputs],
    )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="nasexport",
        producer_version=exporter.__version__,
    )
    tensors = {name: tensor.name for name, tensor in built.items()}
    helper.set_model_props(model, {**usage_texts(config, task), END_POINTS_PROPERTY: json.dumps(tensors)})
    return model, operations.initializers


@dataclass(frozen=True)
class _Tensor:
    """A tensor in the graph: float32 [batch, *shape]; feature maps are [batch, channels, height, width]."""

    name: str
    shape: tuple[int, ...]


def _value_info(tensor: _Tensor) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(tensor.name, TensorProto.FLOAT, ["batch", *tensor.shape])


def _needed(nodes: Sequence[onnx.NodeProto], names: set[str]) -> list[onnx.NodeProto]:
    """Those nodes, in their order, that tensors of these names are computed from."""
    needed: list[onnx.NodeProto] = []
    for node in reversed(nodes):
        if names.intersection(node.output):
            names.update(node.input)
            needed.append(node)
    return needed[::-1]


class _OnnxOperations:
    """`exporter.models.architecture.Operations` as nodes of a graph."""

    def __init__(self, values: Mapping[str, Any], image_size: int):
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, Initializer] = {}
        self._values = values
        self._image_size = image_size
        self._scopes: list[str] = []
        self._rectified: dict[str, _Tensor] = {}

    @contextlib.contextmanager
    def scope(self, name: str) -> Iterator[None]:
        self._scopes.append(name)
        yield
        self._scopes.pop()

    def images(self) -> _Tensor:
        size = self._image_size
        two, one = (self._constant(name, np.float32(value)) for name, value in (("two", 2), ("one", 1)))
        doubled = self._node("Mul", [SERVING_INPUT, two], "doubled", (size, size, 3))
        rescaled = self._node("Sub", [doubled.name, one], "rescaled", (size, size, 3))
        return self._node("Transpose", [rescaled.name], "images", (3, size, size), perm=[0, 3, 1, 2])

    def relu(self, net: _Tensor) -> _Tensor:
        # Once for all that read a state.
        if net.name not in self._rectified:
            self._rectified[net.name] = self._node("Relu", [net.name], f"{net.name}/Relu", net.shape, scoped=False)
        return self._rectified[net.name]

    def convolution(
        self, net: FeatureMap[_Tensor], filters: int, kernel: int, stride: int, padding: Padding, scope: str
    ) -> _Tensor:
        pads = _pads(net.size, kernel, stride) if padding == "SAME" else [0] * 4
        return self._convolution(net.value, f"{scope}/weights", KERNEL_AXES, kernel, stride, pads, filters)

    def separable_convolution(
        self, net: FeatureMap[_Tensor], filters: int, kernel: int, stride: int, scope: str
    ) -> _Tensor:
        pads = _pads(net.size, kernel, stride)
        name = f"{scope}/depthwise_weights"
        depthwise = self._convolution(
            net.value, name, DEPTHWISE_AXES, kernel, stride, pads, net.channels, group=net.channels
        )
        return self._convolution(depthwise, f"{scope}/pointwise_weights", KERNEL_AXES, 1, 1, [0] * 4, filters)

    def batch_norm(self, net: FeatureMap[_Tensor], scope: str) -> _Tensor:
        inputs = [self._variable(f"{scope}/{leaf}") for leaf in ("gamma", "beta", "moving_mean", "moving_variance")]
        return self._node("BatchNormalization", [net.value.name, *inputs], scope, net.value.shape, epsilon=EPSILON)

    def pool(self, kind: str, net: FeatureMap[_Tensor], kernel: int, stride: int) -> _Tensor:
        operator = {"avg": "AveragePool", "max": "MaxPool"}[kind]
        options: dict[str, Any] = {"count_include_pad": 0} if kind == "avg" else {}
        pads = _pads(net.size, kernel, stride)
        size = -(-net.size // stride)
        shape = (net.channels, size, size)
        options |= {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": pads}
        return self._node(operator, [net.value.name], operator, shape, **options)

    def factorized_reduction(self, net: FeatureMap[_Tensor], filters: int) -> _Tensor:
        first = self._convolution(net.value, "path1_conv/weights", KERNEL_AXES, 1, 2, [0] * 4, filters // 2)
        bounds = [
            self._constant(name, np.array(value, np.int64))
            for name, value in (("starts", [1, 1]), ("ends", [net.size] * 2), ("axes", [2, 3]))
        ]
        shifted = self._node("Slice", [net.value.name, *bounds], "shifted", (net.channels, net.size - 1, net.size - 1))
        # Of an odd size, the last pixel is beyond the edge.
        pads = [0, 0, net.size % 2, net.size % 2]
        rest = filters - filters // 2
        second = self._convolution(shifted, "path2_conv/weights", KERNEL_AXES, 1, 2, pads, rest)
        shape = (filters, *first.shape[1:])
        return self._node("Concat", [first.name, second.name], "paths", shape, axis=1)

    def add(self, left: _Tensor, right: _Tensor) -> _Tensor:
        return self._node("Add", [left.name, right.name], "add", left.shape)

    def concatenate(self, states: Sequence[FeatureMap[_Tensor]]) -> _Tensor:
        channels, size = sum(state.channels for state in states), states[0].size
        return self._node(
            "Concat", [state.value.name for state in states], "cell_output", (channels, size, size), axis=1
        )

    def drop_path(self, net: _Tensor, keep_prob: float) -> _Tensor:
        return net

    def global_pool(self, net: FeatureMap[_Tensor]) -> _Tensor:
        return self._node("ReduceMean", [net.value.name], "mean", (net.channels,), axes=[2, 3], keepdims=0)

    def dropout(self, features: _Tensor, keep_prob: float) -> _Tensor:
        return features

    def fully_connected(self, features: _Tensor, inputs: int, outputs: int, scope: str) -> _Tensor:
        weights, biases = self._variable(f"{scope}/weights"), self._variable(f"{scope}/biases")
        return self._node("Gemm", [features.name, weights, biases], scope, (outputs,))

    def softmax(self, logits: _Tensor) -> _Tensor:
        return self._node("Softmax", [logits.name], "softmax", logits.shape, axis=1)

    def output(self, name: str, tensor: _Tensor) -> _Tensor:
        """The tensor under a name for users, feature maps as [batch, height, width, channels]."""
        if len(tensor.shape) == 1:
            return self._node("Identity", [tensor.name], name, tensor.shape)
        channels, *sizes = tensor.shape
        return self._node("Transpose", [tensor.name], name, (*sizes, channels), perm=[0, 2, 3, 1])

    def _convolution(
        self,
        net: _Tensor,
        weights: str,
        axes: tuple[int, ...],
        kernel: int,
        stride: int,
        pads: list[int],
        filters: int,
        group: int = 1,
    ) -> _Tensor:
        before, _, after, _ = pads
        size = (net.shape[1] + before + after - kernel) // stride + 1
        return self._node(
            "Conv",
            [net.name, self._variable(weights, axes)],
            weights.replace("_weights", "").removesuffix("/weights"),
            (filters, size, size),
            kernel_shape=[kernel] * 2,
            strides=[stride] * 2,
            pads=pads,
            group=group,
        )

    def _variable(self, name: str, axes: tuple[int, ...] | None = None) -> str:
        """The name of the initializer with the values of a variable, in ONNX's order of axes."""
        name = self._scoped(name)
        self.initializers[name] = Initializer(np.asarray(self._values[name]), axes)
        return name

    def _constant(self, name: str, value: Any) -> str:
        name = self._scoped(name)
        self.initializers[name] = Initializer(np.asarray(value))
        return name

    def _node(
        self, operator: str, inputs: list[str], name: str, shape: tuple[int, ...], scoped: bool = True, **options: Any
    ) -> _Tensor:
        """Adds a node, which has the name of what it computes."""
        name = self._scoped(name) if scoped else name
        self.nodes.append(helper.make_node(operator, inputs, [name], name, **options))
        return _Tensor(name, shape)

    def _scoped(self, name: str) -> str:
        return "/".join((*self._scopes, name))


def _pads(size: int, kernel: int, stride: int) -> list[int]:
    """TensorFlow's SAME, for both axes: what it adds at their beginnings, then at their ends."""
    before, after = same_padding(size, kernel, stride)
    return [before, before, after, after]
