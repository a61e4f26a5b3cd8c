"""The layers of TF-Slim that the networks use, with exactly the same operations.

tf-slim builds each of them through a layer of Keras and its base classes, which takes several times as long as making
the operations does. They take TF-Slim's arguments, and ``slim.arg_scope`` works on them; none has an activation, an
initializer or, but for the last, biases. ``getter(name, shape)`` gives each its variables, by checkpoint name.
"""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_slim as slim

v1 = tf.compat.v1
_raw = tf.raw_ops


def variable(getter: Any, name: str, shape: Sequence[int]) -> Any:
    """The variable of that name in the current variable scope."""
    return getter(f"{v1.get_variable_scope().name}/{name}", tuple(shape))


def read(variable: Any, name: str) -> Any:
    """Its value, float32."""
    return _raw.ReadVariableOp(resource=variable.handle, dtype=tf.float32, name=f"{name}/ReadVariableOp")


def relu(net: Any) -> Any:
    """The larger of each element and 0."""
    return _raw.Relu(features=net)


@slim.add_arg_scope
def conv2d(
    net: Any, filters: int, kernel: int, *, scope: str, getter: Any, stride: int = 1, padding: str = "SAME"
) -> Any:
    """A convolution of ``net``, float32 [batch, height, width, channels], with square kernels."""
    with v1.variable_scope(scope):
        weights = read(variable(getter, "weights", [kernel, kernel, net.shape[3], filters]), "Conv2D")
        return _raw.Conv2D(input=net, filter=weights, strides=[1, stride, stride, 1], padding=padding)


@slim.add_arg_scope
def separable_conv2d(
    net: Any, filters: int, kernel: int, *, scope: str, getter: Any, stride: int = 1, padding: str = "SAME"
) -> Any:
    """A depthwise convolution with one square kernel for each channel, and a pointwise one after it."""
    channels = net.shape[3]
    with v1.variable_scope(scope):
        depthwise = variable(getter, "depthwise_weights", [kernel, kernel, channels, 1])
        pointwise = variable(getter, "pointwise_weights", [1, 1, channels, filters])
        net = _raw.DepthwiseConv2dNative(
            input=net,
            filter=read(depthwise, "depthwise"),
            strides=[1, stride, stride, 1],
            padding=padding,
            name="depthwise",
        )
        return _raw.Conv2D(
            input=net, filter=read(pointwise, "pointwise"), strides=[1, 1, 1, 1], padding="VALID", name="pointwise"
        )


@slim.add_arg_scope
def avg_pool2d(net: Any, kernel: int, *, stride: int, padding: str) -> Any:
    """The mean of each square window; what lies outside of the image does not count."""
    return _raw.AvgPool(value=net, ksize=[1, kernel, kernel, 1], strides=[1, stride, stride, 1], padding=padding)


@slim.add_arg_scope
def max_pool2d(net: Any, kernel: int, *, stride: int, padding: str) -> Any:
    """The largest element of each square window."""
    return _raw.MaxPool(input=net, ksize=[1, kernel, kernel, 1], strides=[1, stride, stride, 1], padding=padding)


@slim.add_arg_scope
def fully_connected(net: Any, outputs: int, *, scope: str, getter: Any) -> Any:
    """The product of ``net``, float32 [batch, features], with a matrix of weights, plus biases."""
    with v1.variable_scope(scope):
        weights = read(variable(getter, "weights", [net.shape[1], outputs]), "MatMul")
        biases = read(variable(getter, "biases", [outputs]), "BiasAdd")
        return _raw.BiasAdd(value=_raw.MatMul(a=net, b=weights), bias=biases)


def regularization_loss(kernels: Sequence[Any], weight_decay: float) -> Any:
    """The sum of the L2 terms of all ``kernels``, float32 []. One term keeps files small and fine-tuning fast."""
    return weight_decay * tf.add_n([tf.nn.l2_loss(read(kernel, "kernel")) for kernel in kernels])
