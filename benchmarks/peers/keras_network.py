"""NASNet of Keras Applications with random weights: by name, or with any number of cells and filters."""

from typing import Any

NAMES = {"nasnet_mobile": "NASNetMobile", "nasnet_large": "NASNetLarge"}


def build(network: dict[str, Any], activation: str | None = "softmax") -> Any:
    """The Keras model for ``network``, the fields of a model's configuration; the one that Keras ships if there is one.

    Args:
        activation: of the classifier; None for logits.
    """
    import keras
    from keras.src.applications import nasnet

    if network["name"] in NAMES:
        return getattr(keras.applications, NAMES[network["name"]])(weights=None, classifier_activation=activation)
    size = network["image_size"]
    return nasnet.NASNet(
        input_shape=(size, size, 3),
        # Of the last cells: their filters are doubled twice, and six states are concatenated.
        penultimate_filters=24 * network["num_conv_filters"],
        num_blocks=network["num_cells"] // 3,
        stem_block_filters=network["stem_filters"],
        skip_reduction=network["skip_reduction_layer_input"],
        weights=None,
        classes=network["num_classes"],
        default_size=size,
        classifier_activation=activation,
    )
