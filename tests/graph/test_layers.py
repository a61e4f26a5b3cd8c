"""The layers of the networks against those of tf-slim, in one graph with the same variables."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_slim as slim
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.graph import layers

v1 = tf.compat.v1
_BARE = {"activation_fn": None, "biases_initializer": None}
_PADDINGS = st.sampled_from(["SAME", "VALID"])


def _both(shape: tuple[int, ...], theirs: Callable[[Any], Any], ours: Callable[[Any, Any], Any]) -> None:
    """Runs both on the same input: the same numbers, bit for bit, from the same operations on the network's way."""
    with tf.Graph().as_default() as graph:
        net = v1.placeholder(tf.float32, [None, *shape[1:]])
        with v1.variable_scope("net", use_resource=True, initializer=v1.random_normal_initializer(seed=1)):
            expected = theirs(net)
            held = {variable.op.name: variable for variable in v1.global_variables()}
            made = len(graph.get_operations())
            found = ours(net, lambda name, shape: _of_shape(held[name], shape))
        kinds = [sorted(op.type for op in part if op.type in _COMPUTING) for part in _parts(graph, made)]
        assert found.shape.as_list() == expected.shape.as_list()
        assert kinds[0] == kinds[1]
        with v1.Session(graph=graph) as session:
            session.run(v1.global_variables_initializer())
            images = np.random.default_rng(0).standard_normal(shape, np.float32)
            one, other = session.run([expected, found], {net: images})
    np.testing.assert_array_equal(other, one)


_COMPUTING = {"Conv2D", "DepthwiseConv2dNative", "AvgPool", "MaxPool", "MatMul", "BiasAdd", "Relu"}


def _parts(graph: Any, made: int) -> tuple[Any, Any]:
    return graph.get_operations()[:made], graph.get_operations()[made:]


def _of_shape(variable: Any, shape: tuple[int, ...]) -> Any:
    assert tuple(variable.shape) == shape
    return variable


@settings(max_examples=15, deadline=None)
@given(
    st.integers(1, 3), st.integers(7, 12), st.integers(1, 5), st.sampled_from([1, 3, 5]), st.sampled_from([1, 2]),
    _PADDINGS,
)  # fmt: skip
def test_convolutions(batch: int, size: int, channels: int, kernel: int, stride: int, padding: str) -> None:
    options: dict[str, Any] = {"stride": stride, "padding": padding, "scope": "layer"}
    _both(
        (batch, size, size, channels),
        lambda net: slim.conv2d(net, 6, kernel, **options, **_BARE),
        lambda net, getter: layers.conv2d(net, 6, kernel, **options, getter=getter),
    )


@settings(max_examples=15, deadline=None)
@given(st.integers(7, 12), st.integers(1, 5), st.sampled_from([3, 5, 7]), st.sampled_from([1, 2]), _PADDINGS)
def test_separable_convolutions(size: int, channels: int, kernel: int, stride: int, padding: str) -> None:
    options: dict[str, Any] = {"stride": stride, "padding": padding, "scope": "layer"}
    _both(
        (2, size, size, channels),
        lambda net: slim.separable_conv2d(net, 6, kernel, depth_multiplier=1, **options, **_BARE),
        lambda net, getter: layers.separable_conv2d(net, 6, kernel, **options, getter=getter),
    )


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("kind", ["avg_pool2d", "max_pool2d"])
@pytest.mark.parametrize("kernel", [1, 3])
def test_poolings(kind: str, kernel: int, stride: int, padding: str) -> None:
    options: dict[str, Any] = {"stride": stride, "padding": padding}
    _both(
        (2, 9, 9, 4),
        lambda net: getattr(slim, kind)(net, kernel, **options),
        lambda net, _: getattr(layers, kind)(net, kernel, **options),
    )


def test_fully_connected_layers() -> None:
    _both(
        (3, 7),
        lambda net: slim.fully_connected(net, 5, activation_fn=None, scope="layer"),
        lambda net, getter: layers.fully_connected(net, 5, scope="layer", getter=getter),
    )
