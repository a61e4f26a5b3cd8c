"""NASNet of Keras Applications on a checkpoint's weights: an implementation by other people.

As it ships it is not the original network: it pads the input of twelve poolings with zeros, see `PADDED_POOLINGS`.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from exporter.models.config import ModelConfig
from exporter.reference.jobs import KERAS_NETWORKS

#: Keras pads the input of these poolings of reduction cells with zeros, and pools without padding; in the original, a
#: pooling looks at real pixels alone. Zeros change the largest value and the average along the borders.
PADDED_POOLINGS = re.compile(r"reduction_(left2|left3|right5)_")
PADDING = re.compile(r"reduction_pad_1_")
#: Three in each of the two stem cells and two reduction cells.
POOLINGS = 3 * 4

_CELL = re.compile(r"_(stem_\d|reduce_\d+|\d+)$")
_SEPARABLE = re.compile(r"separable_conv_(\d)(_bn)?_(normal|reduction)_(left|right)(\d)$")
_PLAIN = {
    "normal_conv_1": "1x1",
    "normal_bn_1": "beginning_bn",
    "reduction_conv_1": "1x1",
    "reduction_bn_1": "beginning_bn",
    "adjust_conv_projection": "prev_1x1",
    "adjust_conv_1": "path1_conv",
    "adjust_conv_2": "path2_conv",
}
_WHOLE = {"stem_conv1": "conv0", "stem_bn1": "conv0_bn", "predictions": "final_layer/FC"}
#: Keras calls the separable convolution of a reduction cell's fifth combination "left4".
_COMBINATIONS = {("reduction", "4"): 4}


def _scope(layer: str, config: ModelConfig, adjusts_size: bool, kernel: int) -> str:
    """The scope in the checkpoint of a Keras layer; ``kernel`` is that of the separable convolution it belongs to."""
    if layer in _WHOLE:
        return _WHOLE[layer]
    found = _CELL.search(layer)
    assert found, layer
    cell, kind = _cell_scope(found[1], config), layer[: found.start()]
    if kind == "adjust_bn":
        return f"{cell}/{'final_path_bn' if adjusts_size else 'prev_bn'}"
    if kind in _PLAIN:
        return f"{cell}/{_PLAIN[kind]}"
    part = _SEPARABLE.fullmatch(kind)
    assert part, layer
    number, norm, cell_kind, side, index = part.groups()
    combination = _COMBINATIONS.get((cell_kind, index), int(index) - 1)
    name = "bn_sep" if norm else "separable"
    return f"{cell}/comb_iter_{combination}/{side}/{name}_{kernel}x{kernel}_{number}"


def _cell_scope(block: str, config: ModelConfig) -> str:
    kind, _, number = block.rpartition("_")
    if kind == "stem":
        return f"cell_stem_{int(number) - 1}"
    if kind == "reduce":
        return f"reduction_cell_{config.reductions.index(int(number))}"
    # The first reduction takes a number away from the cells, the second does not.
    index = int(number)
    return f"cell_{index - (index > config.reductions[0])}"


def _names(network: Any, config: ModelConfig) -> Iterator[tuple[Any, list[str]]]:
    """Each layer that has weights, with their names in the checkpoint."""
    size_adjusting = {layer.name for layer in network.layers if layer.name.startswith("adjust_conv_1_")}
    kernels = {
        layer.name: layer.kernel_size[0]
        for layer in network.layers
        if layer.name.startswith("separable_conv_") and hasattr(layer, "kernel_size")
    }
    leaves = {
        "Conv2D": ["weights"],
        "SeparableConv2D": ["depthwise_weights", "pointwise_weights"],
        "BatchNormalization": ["gamma", "beta", "moving_mean", "moving_variance"],
        "Dense": ["weights", "biases"],
    }
    for layer in network.layers:
        if layer.weights:
            adjusts_size = layer.name.replace("adjust_bn_", "adjust_conv_1_") in size_adjusting
            kernel = kernels.get(re.sub(r"(separable_conv_\d)_bn", r"\1", layer.name), 0)
            scope = _scope(layer.name, config, adjusts_size, kernel)
            yield layer, [f"{scope}/{leaf}" for leaf in leaves[type(layer).__name__]]


def outputs(
    config: ModelConfig, variables: Mapping[str, np.ndarray], images: np.ndarray, *, corrected: bool = True
) -> dict[str, np.ndarray]:
    """``global_pool`` [batch, features] and ``Logits`` [batch, num_classes] of Keras's network, float32.

    Args:
        variables: the values by their names in the checkpoint.
        images: float32 [batch, size, size, 3], RGB in [0, 1].
        corrected: whether `PADDED_POOLINGS` look at real pixels alone, as in the original; otherwise the network is as
            Keras ships it.

    Raises:
        ValueError: Keras Applications has no such network, or another number of `PADDED_POOLINGS` than the known one.
    """
    import keras

    if config.name not in KERAS_NETWORKS:
        raise ValueError(f"Keras Applications has no {config.name}")
    kind = getattr(keras.applications, KERAS_NETWORKS[config.name])
    network = kind(weights=None, classes=config.num_classes, classifier_activation=None)
    if corrected:
        network, count = _corrected(network)
        if count != POOLINGS:
            raise ValueError(f"Keras has {count} poolings to correct, not the {POOLINGS} that are known")
    set_weights(network, config, variables)
    both = keras.Model(network.input, [network.get_layer("predictions").input, network.output])
    # Keras's networks take the values that the original makes of its images by itself.
    features, logits = both.predict_on_batch(2 * images - 1)
    return {"global_pool": features, "Logits": logits}


def set_weights(network: Any, config: ModelConfig, variables: Mapping[str, np.ndarray]) -> None:
    """Gives Keras's network the values of a checkpoint.

    Raises:
        ValueError: one is left over, or has another shape there.
        KeyError: one is missing.
    """
    values = dict(variables)
    for layer, names in _names(network, config):
        layer.set_weights([values.pop(name) for name in names])  # refuses another shape
    if values:
        raise ValueError(f"Keras has no place for {sorted(values)[0]}")


def _corrected(network: Any) -> tuple[Any, int]:
    """A copy of the network with the poolings of the original, and how many of those there are."""
    import keras

    corrections = 0

    def replaced(layer: Any) -> Any:
        nonlocal corrections
        if PADDING.match(layer.name):
            return keras.layers.Identity(name=layer.name)
        configuration = layer.get_config()
        if PADDED_POOLINGS.match(layer.name):
            corrections += 1
            configuration["padding"] = "same"
        return type(layer).from_config(configuration)

    return keras.models.clone_model(network, clone_function=replaced), corrections
