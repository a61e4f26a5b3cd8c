"""Batch normalization for TF-Slim graphs, in a form that every TensorFlow from 1.15 on can run.

tf-slim's own has two implementations, and neither will do: one needs internals that today's TensorFlow has dropped,
the other feeds the moving statistics to a training-mode ``FusedBatchNormV3``, which TensorFlow 1.15 refuses at run
time ("estimated_mean must be empty for training").
"""

from typing import Any

import tensorflow as tf
import tf_slim as slim

from exporter.graph.layers import read, variable
from exporter.models.architecture import EPSILON

_raw = tf.raw_ops


class Moving:
    """What all batch norms of a network share in training.

    ``decay`` is how much of a moving average stays, a number or a float32 scalar tensor; ``updates`` are the operations
    that move them.
    """

    def __init__(self, decay: Any):
        self.updates: list[Any] = []
        # Made once for all layers, which saves two operations in each.
        self._share = tf.convert_to_tensor(1.0 - decay, tf.float32)
        self.nothing = tf.constant([], tf.float32, [0], name="no_statistics")

    def move(self, moving: Any, batch: Any, name: str) -> None:
        """``moving += (batch - moving) * (1 - decay)``"""
        step = _raw.Mul(x=_raw.Sub(x=read(moving, name), y=batch), y=self._share)
        self.updates.append(_raw.AssignSubVariableOp(resource=moving.handle, value=step))


@slim.add_arg_scope
def batch_norm(net: Any, *, scope: str, getter: Any, moving: Moving | None) -> Any:
    """Normalizes ``net``, float32 [batch, height, width, channels], over all but its channels.

    Without ``moving``, by the moving statistics. With it, in training, by those of the batch, and towards these the
    moving ones are moved; the variance is the unbiased one, as in TF-Slim.
    """
    shape = [net.shape[3]]
    with tf.compat.v1.variable_scope(scope):
        # In the order of creation that the checkpoints have.
        gamma, beta, mean, variance = (
            variable(getter, name, shape) for name in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        normalized = _raw.FusedBatchNormV3(
            x=net,
            scale=read(gamma, "gamma"),
            offset=read(beta, "beta"),
            mean=moving.nothing if moving else read(mean, "mean"),
            variance=moving.nothing if moving else read(variance, "variance"),
            epsilon=EPSILON,
            is_training=moving is not None,
        )
        if moving:
            moving.move(mean, normalized.batch_mean, "mean")
            moving.move(variance, normalized.batch_variance, "variance")
        return normalized.y
