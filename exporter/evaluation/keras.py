"""Loads a Keras network for predictions."""

from pathlib import Path

import tensorflow as tf

from exporter.artifact import keras_archive
from exporter.errors import ArtifactError
from exporter.evaluation.loaded import Loaded
from exporter.probe.keras import load as load_network


def load(path: Path) -> Loaded:
    """The function of a Keras network, compiled for TensorFlow.

    Raises:
        ArtifactError: it is damaged, does not load, or is none of images.
    """
    loaded = load_network(keras_archive.read(path))
    if len(loaded.inputs) != 1 or len(loaded.outputs) != 1 or len(loaded.inputs[0].shape) != 4:
        raise ArtifactError(f"{path} is no network with one input of images and one output")
    _, height, width, _ = loaded.inputs[0].shape
    size = (int(height), int(width)) if height and width else None
    # Compiled once, whatever the number of images.
    images = tf.TensorSpec([None, height, width, loaded.inputs[0].shape[3]], tf.float32)
    call = tf.function(lambda images: loaded(images, training=False), input_signature=[images], autograph=False)
    return Loaded(call, size)
