"""The PyTorch program of a network: the walk over the table of cells, traced by ``torch.export``.

``model.pt2`` is one program, that of inference: it is loaded without nasexport, with ``torch.export.load(…).module()``,
takes float32 [batch, size, size, 3] in [0, 1], and gives logits or features. ``torch.export`` keeps what a trace has
seen: in training, batch norm would take the statistics of the batch and move its averages, dropout and drop path would
draw numbers, and that would be another program with the same weights, and not one that ``module().train()`` switches to
(PyTorch refuses that). So the file has no training. Gradients reach all parameters, with batch norm as in inference.

Weights keep their names in the checkpoint with dots for slashes, which is how modules nest.
"""

import contextlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from exporter.artifact.options import ArtifactOptions
from exporter.artifact.pytorch_file import USAGE_FILE
from exporter.artifact.torch_axes import axes
from exporter.models import architecture
from exporter.models.architecture import EPSILON, FeatureMap, Padding, same_padding
from exporter.models.config import ModelConfig, Task
from exporter.models.formats import PYTORCH_FILE
from exporter.models.preprocessing import usage
from exporter.models.signatures import END_POINTS_PROPERTY
from exporter.models.variables import STATISTICS, main_end_point, variables


class Writer:
    """Writes the program of one task of a network.

    Args:
        values: float32 values by checkpoint name, those of the task and maybe others.
    """

    def __init__(self, config: ModelConfig, task: Task, values: Mapping[str, Any]):
        self._config = config
        self._task = task
        self._values = values

    def write(self, version: object, folder: Path, options: ArtifactOptions) -> None:
        """Writes ``model.pt2`` into ``folder``, which must not exist; the same values give the same bytes."""
        folder.mkdir()
        (folder / PYTORCH_FILE).write_bytes(build(self._config, self._task, self._values))


def build(config: ModelConfig, task: Task, values: Mapping[str, Any]) -> bytes:
    """The content of the file.

    Raises:
        KeyError: ``values`` lacks a variable of the network.
    """
    network = Network(config, task, values).eval()
    # Two examples: a trace with one would be of one example only.
    images = torch.zeros(2, config.image_size, config.image_size, 3)
    batch = torch.export.Dim("batch", min=1)
    program = torch.export.export(network, (images,), dynamic_shapes=({0: batch},), strict=False)
    program.graph.eliminate_dead_code()  # the probabilities, which are no output
    described = {**usage(config, task), END_POINTS_PROPERTY: _end_points(program, network.walked)}
    _forget_sources(program)
    # Nobody needs the zeros that it was traced with, and they would be a pickle in the file.
    program.example_inputs = None
    content = io.BytesIO()
    torch.export.save(program, content, extra_files={USAGE_FILE: json.dumps(described)})
    return content.getvalue()


@dataclass
class Walked:
    """The end points by name, in order, and all that was put together on the way, one after the other."""

    end_points: dict[str, Tensor] = field(default_factory=dict)
    concatenated: list[Tensor] = field(default_factory=list)


class Network(nn.Module):
    """A network of any configuration; ``walked`` is what its last call computed."""

    def __init__(self, config: ModelConfig, task: Task, values: Mapping[str, Any]):
        super().__init__()
        self._config, self._task = config, task
        # Tensors that were attributes of a module would be part of its state, for ``torch.export``.
        self.walked = Walked()
        for spec in variables(config, task):
            order, value = axes(spec.name), np.asarray(values[spec.name])
            tensor = torch.from_numpy(np.array(value.transpose(order) if order else value, order="C"))
            scope, leaf = spec.name.rsplit("/", 1)
            module = self._module(scope)
            if leaf in STATISTICS:
                module.register_buffer(leaf, tensor)
            else:
                module.register_parameter(leaf, nn.Parameter(tensor))

    # The parameter names the input of the program: `exporter.models.signatures.SERVING_INPUT`, as in other formats.
    def forward(self, inputs: Tensor) -> Tensor:
        operations = _TorchOperations(self, inputs)
        self.walked.end_points = architecture.build(self._config, self._task, operations)
        self.walked.concatenated = operations.concatenated
        return self.walked.end_points[main_end_point(self._task)]

    def _module(self, scope: str) -> nn.Module:
        module: nn.Module = self
        for name in scope.split("/"):
            if name not in module._modules:
                module.add_module(name, nn.Module())
            module = module.get_submodule(name)
        return module


class _TorchOperations:
    """`exporter.models.architecture.Operations` on tensors, [batch, channels, height, width] for feature maps."""

    def __init__(self, network: nn.Module, images: Tensor):
        self._network = network
        self._images = images
        self._scopes: list[str] = []
        self._rectified: dict[int, tuple[Tensor, Tensor]] = {}
        self.concatenated: list[Tensor] = []

    @contextlib.contextmanager
    def scope(self, name: str) -> Iterator[None]:
        self._scopes.append(name)
        yield
        self._scopes.pop()

    def images(self) -> Tensor:
        return (2 * self._images - 1).permute(0, 3, 1, 2)

    def relu(self, net: Tensor) -> Tensor:
        # Once for all that read a state, which is kept so that no other gets its number.
        if id(net) not in self._rectified:
            self._rectified[id(net)] = (net, functional.relu(net))
        return self._rectified[id(net)][1]

    def convolution(
        self, net: FeatureMap[Tensor], filters: int, kernel: int, stride: int, padding: Padding, scope: str
    ) -> Tensor:
        padded = _padded(net, kernel, stride) if padding == "SAME" else net.value
        return functional.conv2d(padded, self._variable(f"{scope}/weights"), stride=stride)

    def separable_convolution(
        self, net: FeatureMap[Tensor], filters: int, kernel: int, stride: int, scope: str
    ) -> Tensor:
        depthwise, pointwise = (self._variable(f"{scope}/{kind}_weights") for kind in ("depthwise", "pointwise"))
        each = functional.conv2d(_padded(net, kernel, stride), depthwise, stride=stride, groups=net.channels)
        return functional.conv2d(each, pointwise)

    def batch_norm(self, net: FeatureMap[Tensor], scope: str) -> Tensor:
        mean, variance, gamma, beta = (
            self._variable(f"{scope}/{leaf}") for leaf in ("moving_mean", "moving_variance", "gamma", "beta")
        )
        return functional.batch_norm(net.value, mean, variance, gamma, beta, training=False, eps=EPSILON)

    def pool(self, kind: str, net: FeatureMap[Tensor], kernel: int, stride: int) -> Tensor:
        # What is lacking after the last pixel comes by ``ceil_mode``, and counts for nothing.
        before, _ = same_padding(net.size, kernel, stride)
        if kind == "max":
            return functional.max_pool2d(net.value, kernel, stride, before, ceil_mode=True)
        return functional.avg_pool2d(net.value, kernel, stride, before, ceil_mode=True, count_include_pad=False)

    def factorized_reduction(self, net: FeatureMap[Tensor], filters: int) -> Tensor:
        first = functional.conv2d(net.value, self._variable("path1_conv/weights"), stride=2)
        # Of an odd size, the last pixel is beyond the edge.
        beyond = net.size % 2
        shifted = functional.pad(net.value, (-1, beyond, -1, beyond))
        second = functional.conv2d(shifted, self._variable("path2_conv/weights"), stride=2)
        return self._concatenated([first, second])

    def add(self, left: Tensor, right: Tensor) -> Tensor:
        return left + right

    def concatenate(self, states: Sequence[FeatureMap[Tensor]]) -> Tensor:
        return self._concatenated([state.value for state in states])

    def drop_path(self, net: Tensor, keep_prob: float) -> Tensor:
        return net

    def global_pool(self, net: FeatureMap[Tensor]) -> Tensor:
        return net.value.mean((2, 3))

    def dropout(self, features: Tensor, keep_prob: float) -> Tensor:
        return features

    def fully_connected(self, features: Tensor, inputs: int, outputs: int, scope: str) -> Tensor:
        return functional.linear(features, self._variable(f"{scope}/weights"), self._variable(f"{scope}/biases"))

    def softmax(self, logits: Tensor) -> Tensor:
        return functional.softmax(logits, 1)

    def _concatenated(self, tensors: list[Tensor]) -> Tensor:
        self.concatenated.append(torch.cat(tensors, 1))
        return self.concatenated[-1]

    def _variable(self, name: str) -> Any:
        scope, _, leaf = "/".join((*self._scopes, name)).rpartition("/")
        return getattr(self._network.get_submodule(scope.replace("/", ".")), leaf)


def _padded(net: FeatureMap[Tensor], kernel: int, stride: int) -> Tensor:
    """With the zeros of TensorFlow's SAME around it."""
    before, after = same_padding(net.size, kernel, stride)
    return functional.pad(net.value, (before, after, before, after)) if before or after else net.value


def _end_points(program: Any, walked: Walked) -> dict[str, str]:
    """The nodes of the program that compute the end points of a walk, by the names of these."""
    nodes = [node for node in program.graph.nodes if node.op == "call_function"]
    joined = [node.name for node in nodes if node.target is torch.ops.aten.cat.default]
    names = {id(tensor): name for tensor, name in zip(walked.concatenated, joined, strict=True)}
    found = {name: names[id(tensor)] for name, tensor in walked.end_points.items() if id(tensor) in names}
    heads = {torch.ops.aten.mean.dim: "global_pool", torch.ops.aten.linear.default: "Logits"}
    return found | {heads[node.target]: node.name for node in nodes if node.target in heads}


def _forget_sources(program: Any) -> None:
    """Takes the lines of code out of a program that its nodes came from: they tell of this machine's folders."""
    for node in program.graph.nodes:
        for key in ("stack_trace", "nn_module_stack", "source_fn_stack", "torch_fn", "from_node"):
            node.meta.pop(key, None)
