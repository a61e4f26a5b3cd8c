"""Batch normalization for TF-Slim graphs, in a form that every TensorFlow from 1.15 on can run.

tf-slim's own has two implementations, and neither will do: one needs internals that today's TensorFlow has dropped,
the other feeds the moving statistics to a training-mode ``FusedBatchNormV3``, which TensorFlow 1.15 refuses at run
time ("estimated_mean must be empty for training").
"""

from typing import Any

import tensorflow as tf
import tf_slim as slim

#: Added to the variance; the value the published checkpoints were trained with.
EPSILON = 1e-3


@slim.add_arg_scope
def batch_norm(net: Any, *, scope: str, training: bool, momentum: Any, updates: list[Any]) -> Any:
    """Normalizes ``net``, float32 [batch, height, width, channels], over all but its channels.

    In training it uses the statistics of the batch, and appends to ``updates`` the two operations that move the moving
    statistics: ``moving += (batch - moving) * (1 - momentum)``, with the unbiased variance, as TF-Slim does.
    """
    shape = [net.shape[3]]
    with tf.compat.v1.variable_scope(scope):
        # In the order of creation that the checkpoints have.
        gamma = slim.model_variable("gamma", shape)
        beta = slim.model_variable("beta", shape)
        mean = slim.model_variable("moving_mean", shape, trainable=False)
        variance = slim.model_variable("moving_variance", shape, trainable=False)
        if not training:
            return tf.compat.v1.nn.fused_batch_norm(
                net, gamma, beta, mean=mean, variance=variance, epsilon=EPSILON, is_training=False
            )[0]
        net, batch_mean, batch_variance = tf.compat.v1.nn.fused_batch_norm(net, gamma, beta, epsilon=EPSILON)
        for moving, batch in ((mean, batch_mean), (variance, batch_variance)):
            updates.append(moving.assign_sub((moving - batch) * (1.0 - momentum)))
        return net
