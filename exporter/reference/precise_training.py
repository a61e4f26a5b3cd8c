"""The worker job that trains a network with batch norms in double precision, for artifacts that are probed so.

Libraries compute the variance of a batch, and what it normalizes, in different orders. In single precision, what that
rounds comes to 1.3e-4 of the statistics at the end of pnasnet_large between Keras and TensorFlow's fused batch norm;
in double precision, with TensorFlow's convolutions on both sides, to 1e-7.
"""

from collections.abc import Mapping
from typing import Any

import tensorflow as tf
import tf_slim as slim

from exporter.checkpoint.reader import Checkpoint
from exporter.checkpoint.synthetic import VERIFICATION_IMAGES
from exporter.graph import layers, unoptimized
from exporter.graph.network import SlimOperations
from exporter.models import architecture
from exporter.models.architecture import EPSILON, FeatureMap
from exporter.models.variables import variables
from exporter.progress import Say
from exporter.reference.computed import Variable, restored
from exporter.reference.jobs import ReferenceRequest, ReferenceResult
from exporter.reference.result import named_arrays, write

v1 = tf.compat.v1


class _Operations(SlimOperations):
    """``statistics`` has, by the names of moving averages, the mean and the variance of the pixels of a batch."""

    def __init__(self, images: Any, held: Mapping[str, Variable]):
        super().__init__(images, tf.ones)
        self._held = held
        self.statistics: dict[str, Any] = {}

    def batch_norm(self, net: FeatureMap[Any], scope: str) -> Any:
        with v1.variable_scope(scope):
            name = v1.get_variable_scope().name
        gamma, beta = (
            tf.cast(layers.read(self._held[f"{name}/{leaf}"], leaf), tf.float64) for leaf in ("gamma", "beta")
        )
        values = tf.cast(net.value, tf.float64)
        mean = tf.reduce_mean(values, [0, 1, 2])
        centered = values - mean
        variance = tf.reduce_mean(tf.square(centered), [0, 1, 2])
        self.statistics[f"{name}/moving_mean"] = tf.cast(mean, tf.float32)
        self.statistics[f"{name}/moving_variance"] = tf.cast(variance, tf.float32)
        return tf.cast(centered / tf.sqrt(variance + EPSILON) * gamma + beta, tf.float32)


def precise_training(request: ReferenceRequest, say: Say) -> ReferenceResult:
    """The job `exporter.reference.jobs.PRECISE_TRAINING`: end points in training, and statistics of the batch.

    Writes the folder ``request.output`` for `exporter.reference.result.read`. The variance is that of the batch's
    pixels, not the larger one that is estimated from it for all images. Drop path and dropout keep everything,
    rescaled.

    Raises:
        CheckpointError: the checkpoint is not the model's.
    """
    config, task = request.config, request.task
    specs = variables(config, task)
    say("computing the reference for training")
    checkpoint = Checkpoint(request.prefix, config, specs)
    with tf.Graph().as_default():
        held = {spec.name: Variable.declared(spec) for spec in specs}
        images = v1.placeholder(tf.float32, [None, config.image_size, config.image_size, 3])
        operations = _Operations(images, held)
        read = [layers.conv2d, layers.separable_conv2d, layers.fully_connected]
        with slim.arg_scope(read, getter=lambda name, _: held[name]):
            end_points = architecture.build(config, task, operations)
        with v1.Session(config=unoptimized.CONFIG) as session:
            session.run(restored(checkpoint, held))
            feed = {images: VERIFICATION_IMAGES.at(config.image_size)}
            trained, batch = session.run([end_points, operations.statistics], feed)
    write(request.output, named_arrays(training_end_points=trained, batch_statistics=batch))
    return ReferenceResult(checkpoint.synthetic, tf.__version__)
