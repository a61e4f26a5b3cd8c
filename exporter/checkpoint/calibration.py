"""Measures the statistics that go with the weights of a synthetic checkpoint, with the network itself."""

import numpy as np
import tensorflow as tf

from exporter.checkpoint import synthetic
from exporter.checkpoint.synthetic import Floats
from exporter.graph import network
from exporter.models.config import ModelConfig
from exporter.models.variables import VariableSpec, variables


def calibrate(config: ModelConfig, values: dict[VariableSpec, Floats]) -> dict[str, Floats]:
    """The batch statistics of every batch norm on the calibration images, rounded as recorded ones are."""
    tf.config.experimental.enable_op_determinism()
    specs = variables(config, "feature_vector")
    held = {spec.name: tf.Variable(values[spec], trainable=spec.trainable) for spec in specs}

    @tf.function(autograph=False)
    def measure(images):
        built = network.build(
            config, "feature_vector", images, lambda name, _: held[name], training=True, momentum=0.0, uniform=None
        )
        return built.output

    measure(tf.constant(synthetic.CALIBRATION_IMAGES.at(config.image_size)))
    statistics = {}
    for spec in specs:
        if not spec.trainable:
            measured = held[spec.name].numpy().astype(np.float16).astype(np.float32)
            is_variance = spec.name.endswith("variance")
            statistics[spec.name] = np.maximum(measured, synthetic.MIN_VARIANCE) if is_variance else measured
    return statistics
