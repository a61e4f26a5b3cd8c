"""NASNet of Keras Applications with weights of its own making: by name, or of any number of cells and filters."""

from typing import Any

NAMES = {"nasnet_mobile": "NASNetMobile", "nasnet_large": "NASNetLarge"}


def made(network: dict[str, Any], activation: str | None = "softmax", include_top: bool = True) -> Any:
    """The network that ``network``, the fields of a model's configuration, describes; its classes are Keras's 1000."""
    import keras
    from keras.src.applications import nasnet

    pooling = None if include_top else "avg"
    options = {"include_top": include_top, "pooling": pooling, "classifier_activation": activation}
    if network["name"] in NAMES:
        return getattr(keras.applications, NAMES[network["name"]])(weights=None, **options)
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
        **options,
    )
