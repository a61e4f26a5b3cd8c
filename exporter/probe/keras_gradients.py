"""Finds which weights of a Keras network gradients reach, and how much its L2 losses weigh each of them."""

import copy
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from exporter.artifact.keras import scope_of
from exporter.artifact.keras_archive import KerasFile
from exporter.artifact.keras_weights import LEAVES
from exporter.checkpoint.synthetic import VERIFICATION_IMAGES
from exporter.probe.observations import Gradients
from exporter.probe.writer import ProbeWriter

#: Height and width of images for gradients, in pixels: at least the first, and as much less as comes to whole steps of
#: the second. With those, what is halved four times is odd or even as it was, and so are the paddings.
_SMALL, _STEP = 64, 32


def names_of(loaded: Any) -> dict[str, str]:
    """The name in the checkpoint of each weight, by the weight's path."""
    names = {}
    for layer in loaded.layers:
        leaves = {"kernel": LEAVES.get(type(layer).__name__, ("kernel",))[0], "bias": "biases"}
        own = {"depthwise_kernel": "depthwise_weights", "pointwise_kernel": "pointwise_weights", **leaves}
        for weight in layer.weights:
            names[weight.path] = f"{scope_of(layer.name)}/{own.get(weight.name, weight.name)}"
    return names


def keep_all(loaded: Any) -> None:
    """Makes drop path and dropout keep everything, rescaled, as where the reference was computed."""
    import keras

    def keeping(rate: float) -> Callable[..., Any]:
        return lambda inputs, training=False: inputs / (1 - rate) if training else inputs

    for layer in loaded.layers:
        if isinstance(layer, keras.layers.Dropout):
            layer.call = keeping(layer.rate)


def normalize_in_double(loaded: Any) -> None:
    """Makes batch norms compute in double precision what they compute in single precision for their users.

    Keras takes the variance of a batch for the mean of squares less the square of the mean, and normalizes by one
    product and one sum. What both round comes to 1.3e-4 of the statistics at the end of a large network, more than what
    is to be found.
    """
    import keras

    def in_double(call: Callable[..., Any]) -> Callable[..., Any]:
        return lambda inputs, training=None, mask=None: tf.cast(
            call(tf.cast(inputs, tf.float64), training=training, mask=mask), inputs.dtype
        )

    for layer in loaded.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.call = in_double(layer.call)


def penalize(loaded: Any, names: Mapping[str, str], found: ProbeWriter) -> None:
    """The L2 losses, and what each weighs the variable with that it is of."""
    values = {names[weight.path]: weight.value for weight in loaded.weights}
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(list(values.values()))
        losses = loaded.losses
        total = tf.add_n([tf.zeros([]), *losses])
    found.regularization_losses(np.array([loss.numpy() for loss in losses], np.float32))
    gradients = tape.gradient(total, values)
    found.l2_weights(
        {
            name: _weight(values[name].numpy(), gradient.numpy())
            for name, gradient in gradients.items()
            if gradient is not None
        }
    )


def _weight(value: np.ndarray, gradient: np.ndarray) -> float:
    """The factor between a variable and its gradient, by least squares; 0 if the variable is zero."""
    value = value.astype(np.float64)
    squares = float(np.vdot(value, value))
    return float(np.vdot(value, gradient)) / squares if squares else 0.0


def gradients(file: KerasFile, loaded: Any, image_size: int) -> Gradients:
    """Which variables the gradient of a loss of the output reaches, among those that say they are trained.

    Gradients reach the same with images of any size, but large ones need more memory.
    """
    try:
        network, size = _small(file, loaded, image_size), _small_size(image_size)
    except (LookupError, TypeError, ValueError):
        network, size = loaded, image_size  # it takes images of one size only
    names = names_of(network)
    trained = {names[weight.path]: weight.value for weight in network.trainable_weights}
    image = tf.constant(VERIFICATION_IMAGES.at(size)[:1])
    with tf.GradientTape() as tape:
        (output, *_) = tf.nest.flatten(network(image, training=True))
        loss = tf.reduce_sum(tf.square(output))
    found = {name: value for name, value in tape.gradient(loss, trained).items() if value is not None}
    not_finite = [name for name, value in found.items() if not np.isfinite(value.numpy()).all()]
    return Gradients(list(found), not_finite)


def _small_size(image_size: int) -> int:
    return image_size - max(image_size - _SMALL, 0) // _STEP * _STEP


def _small(file: KerasFile, loaded: Any, image_size: int) -> Any:
    """The same network, with the same weights, for smaller images; drop path and dropout keep everything."""
    import keras

    config = copy.deepcopy(file.config)
    for layer in config["config"]["layers"]:
        options = layer["config"]
        if layer["class_name"] == "InputLayer":
            batch, height, width, channels = options["batch_shape"]
            if (height, width) != (image_size, image_size):
                raise ValueError("it takes other images")
            options["batch_shape"] = [batch, *[_small_size(image_size)] * 2, channels]
        elif isinstance(options.get("scale"), list):
            # What there is for each window of the larger size; only which gradients there are is asked for.
            options["scale"] = 1.0
    network = keras.saving.deserialize_keras_object(config)
    network.set_weights(loaded.get_weights())
    keep_all(network)
    return network
