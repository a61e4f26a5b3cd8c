"""`nasexport.keras_layer`."""

import importlib
from typing import Any

from nasexport._arguments import StrPath, path_of, within


def keras_layer(
    path: StrPath, *, trainable: bool = True, batch_norm_momentum: float = 0.997, trust: bool = False, **options: Any
) -> Any:
    """A layer of Keras 3, on TensorFlow, that runs and trains an artifact of version 4 or 5.

    With ``trainable``, all variables of the artifact are weights of the layer: ``fit`` trains those that are trained,
    moves the averages of batch norm, and adds the artifact's L2 terms to the loss. In inference, and where it is not
    trainable, it gives what the artifact gives. ``save_weights`` keeps its weights; so does ``save``, with all that the
    layer is made from: a ``.keras`` file needs no artifact beside it, only ``import nasexport.keras`` before it is
    loaded.

        >>> import keras, nasexport  # doctest: +SKIP
        >>> network = keras.Sequential([
        ...     keras.Input([331, 331, 3]),
        ...     nasexport.keras_layer("dist/google/imagenet/nasnet_large/feature_vector/4"),
        ...     keras.layers.Dense(5),
        ... ])  # doctest: +SKIP

    Args:
        path: the folder of an artifact of the format ``saved_model_2``, or a ``.tar.gz`` of it.
        trainable: whether it is trained with the network that it is a part of.
        batch_norm_momentum: the decay of the moving averages in training, from 0 to 1. At 0.99, the artifacts' own
            default, averages follow the last hundred steps; at 0.997, the last three hundred.
        trust: whether to load what can do more than compute, such as write files.
        options: passed to ``keras.layers.Layer``, such as ``name``.

    Raises:
        ArtifactError: there is no artifact, it is of another format, or can do more than compute.
        MachineError: Keras runs on another backend than TensorFlow: the format ``keras`` is for all of them.
    """
    within("batch_norm_momentum", batch_norm_momentum, 0, 1)
    # It imports TensorFlow.
    layer = importlib.import_module("nasexport.keras").ArtifactLayer
    return layer.of(path_of(path), trust=trust, trainable=trainable, batch_norm_momentum=batch_norm_momentum, **options)
