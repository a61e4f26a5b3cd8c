"""A graph that is run operation by operation gives what a session of TensorFlow gives, gradients included."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.probe import eager
from exporter.probe.eager import GraphOnlyError

v1 = tf.compat.v1

_IMAGES = np.linspace(-1, 1, 2 * 6 * 6 * 4, dtype=np.float32).reshape(2, 6, 6, 4)
_KERNEL = np.linspace(-0.5, 0.6, 3 * 3 * 4 * 4, dtype=np.float32).reshape(3, 3, 4, 4)
#: Each from a feature map and a kernel to a feature map of as many channels.
LAYERS: dict[str, Callable[[Any, Any], Any]] = {
    "convolution": lambda net, kernel: tf.nn.conv2d(net, kernel, 1, "SAME"),
    "depthwise": lambda net, kernel: tf.nn.depthwise_conv2d(net, kernel[..., :1], [1, 1, 1, 1], "SAME"),
    "batch norm": lambda net, _: v1.nn.fused_batch_norm(net, tf.ones(4), tf.zeros(4), is_training=True)[0],
    "pool": lambda net, _: tf.nn.avg_pool2d(net, 3, 1, "SAME"),
    "relu": lambda net, _: tf.nn.relu(net),
    "several outputs": lambda net, _: tf.concat(tf.split(net, 2, 3)[::-1], 3),
    "several inputs": lambda net, _: tf.add_n([net, net, -2.5 * net]),
    "padded": lambda net, _: tf.pad(net, [[0, 0], [0, 1], [0, 1], [0, 0]])[:, 1:, 1:, :],
    "shapes": lambda net, _: tf.reshape(tf.reshape(net, [-1, 4]), tf.shape(net)),
    "stopped": lambda net, _: tf.stop_gradient(net),
    "kernels used twice": lambda net, kernel: net * tf.reduce_mean(kernel) + kernel[0, 0, 0],
}


def _graph(layers: list[str]) -> tuple[tf.Graph, Any, Any, Any]:
    """A graph that ends in the mean of the last of ``layers``, with its images, its kernel and its output."""
    with tf.Graph().as_default() as graph:
        images = v1.placeholder(tf.float32, [None, None, None, 4], name="images")
        kernel = v1.placeholder(tf.float32, [3, 3, 4, 4], name="kernel")
        net = images
        for name in layers:
            net = LAYERS[name](net, kernel)
        return graph, images, kernel, tf.reduce_mean(net, [1, 2], name="output")


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from(list(LAYERS)), min_size=1, max_size=5))
def test_values_and_gradients_are_those_of_a_session(layers: list[str]) -> None:
    graph, images, kernel, output = _graph(layers)
    with graph.as_default(), v1.Session() as session:
        gradients = v1.gradients(output, [kernel])
        wanted = session.run(
            [output, *(part for part in gradients if part is not None)], {images: _IMAGES, kernel: _KERNEL}
        )
    held = {"images": tf.constant(_IMAGES), "kernel": tf.constant(_KERNEL)}
    with tf.GradientTape() as tape:
        tape.watch(held["kernel"])
        (value,) = eager.run(graph.as_graph_def(), ["output:0"], held)
    found = tape.gradient(value, held["kernel"])
    assert (found is None) == (gradients[0] is None)
    np.testing.assert_allclose(value, wanted[0], rtol=1e-4, atol=1e-5)
    if found is not None:
        np.testing.assert_allclose(tf.convert_to_tensor(found), wanted[1], rtol=1e-4, atol=1e-4)


def test_each_output_of_an_operation_can_be_asked_for_and_once_more() -> None:
    with tf.Graph().as_default() as graph:
        tf.split(v1.placeholder(tf.float32, [4], name="images"), 2, name="parts")
    parts = eager.run(graph.as_graph_def(), ["parts:1", "parts:0", "parts:1"], {"images": tf.range(4.0)})
    assert [part.numpy().tolist() for part in parts] == [[2, 3], [0, 1], [2, 3]]


def _node(graph_def: Any, name: str) -> Any:
    return next(node for node in graph_def.node if node.name == name)


def _in_a_loop(graph_def: Any) -> None:
    _node(graph_def, "Relu").input[0] = "output"


def _waiting(graph_def: Any) -> None:
    _node(graph_def, "output").input.append("^images")


def _own_gradient(graph_def: Any) -> None:
    _node(graph_def, "Relu").attr["_gradient_op_type"].s = b"ItsOwn"


def _called(graph_def: Any) -> None:
    _node(graph_def, "Relu").op = "relu_12"


def _not_given(graph_def: Any) -> None:
    _node(graph_def, "images").name = "pictures"
    _node(graph_def, "Relu").input[0] = "pictures"


@pytest.mark.parametrize("change", [_in_a_loop, _waiting, _own_gradient, _called, _not_given])
def test_what_is_not_the_same_by_itself_is_not_run(change: Callable[[Any], None]) -> None:
    graph_def = _graph(["relu"])[0].as_graph_def()
    change(graph_def)
    with pytest.raises(GraphOnlyError):
        eager.run(graph_def, ["output:0"], {"images": tf.constant(_IMAGES)})
