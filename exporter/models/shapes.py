"""The shapes of end points, by the walk over the table of cells: nothing is computed."""

import contextlib
from collections.abc import Iterator, Sequence

from exporter.models import architecture
from exporter.models.architecture import FeatureMap, Padding
from exporter.models.config import ModelConfig

Shape = tuple[int, ...]


def end_point_shapes(config: ModelConfig) -> dict[str, Shape]:
    """The shape of each end point for one image, in the order of the network: feature maps are [height, width,
    channels], ``global_pool`` is [features], ``Logits`` and ``Predictions`` are [num_classes].
    """
    return architecture.build(config, "classification", _Shapes(config.image_size))


def _map(net: FeatureMap[Shape], stride: int = 1, channels: int = 0) -> Shape:
    size = -(-net.size // stride)
    return size, size, channels or net.channels


class _Shapes:
    """`exporter.models.architecture.Operations` whose tensors are shapes."""

    def __init__(self, image_size: int):
        self._image_size = image_size

    @contextlib.contextmanager
    def scope(self, name: str) -> Iterator[None]:
        yield

    def images(self) -> Shape:
        return self._image_size, self._image_size, 3

    def relu(self, net: Shape) -> Shape:
        return net

    def convolution(
        self, net: FeatureMap[Shape], filters: int, kernel: int, stride: int, padding: Padding, scope: str
    ) -> Shape:
        size = net.size if padding == "SAME" else net.size - kernel + 1
        return _map(FeatureMap(net.value, size, net.channels), stride, filters)

    def separable_convolution(
        self, net: FeatureMap[Shape], filters: int, kernel: int, stride: int, scope: str
    ) -> Shape:
        return _map(net, stride, filters)

    def batch_norm(self, net: FeatureMap[Shape], scope: str) -> Shape:
        return net.value

    def pool(self, kind: str, net: FeatureMap[Shape], kernel: int, stride: int) -> Shape:
        return _map(net, stride)

    def factorized_reduction(self, net: FeatureMap[Shape], filters: int) -> Shape:
        return _map(net, 2, filters)

    def add(self, left: Shape, right: Shape) -> Shape:
        return left

    def concatenate(self, states: Sequence[FeatureMap[Shape]]) -> Shape:
        return _map(states[0], 1, sum(state.channels for state in states))

    def drop_path(self, net: Shape, keep_prob: float) -> Shape:
        return net

    def global_pool(self, net: FeatureMap[Shape]) -> Shape:
        return (net.channels,)

    def dropout(self, features: Shape, keep_prob: float) -> Shape:
        return features

    def fully_connected(self, features: Shape, inputs: int, outputs: int, scope: str) -> Shape:
        return (outputs,)

    def softmax(self, logits: Shape) -> Shape:
        return logits
