"""Turns the bytes of an image file into the input of a network, as in the evaluation of the published checkpoints.

These are the steps of TF-Slim's ``inception_preprocessing.preprocess_for_eval``, with the same operations: decode to
RGB, values in [0, 1], central crop, bilinear resize. TF-Slim then scales the values to [-1, 1]; the artifacts take
[0, 1] and do that themselves. As in TF-Slim, the orientation in EXIF data is ignored.
"""

import contextlib
import functools
import threading
from typing import Any

import numpy as np
import tensorflow as tf

from exporter.evaluation import resizing
from exporter.evaluation.decoding import decode, decoded, dimensions, told
from exporter.evaluation.image_files import KINDS, kind_of
from exporter.models.preprocessing import CENTRAL_FRACTION

#: Images of more pixels are decoded one at a time, and only the pixels that count are made float32, which takes four
#: times the memory.
_LARGE = 2**24

_one_at_a_time = threading.Lock()


def preprocessed(content: bytes, size: tuple[int, int], name: str) -> tf.Tensor:
    """The image as float32 [height, width, 3], RGB in [0, 1].

    Args:
        content: the bytes of an image file, see `exporter.evaluation.decoding.decoded`.
        size: height and width in pixels.
        name: the name of the image in messages.

    Raises:
        ImageError: as `decoded` does.
    """
    height, width = dimensions(content, name)
    kind = kind_of(content, name)
    if height * width <= _LARGE and kind in KINDS:
        with told(content, kind, name):
            return _function(kind)(content, size)
    with _one_at_a_time if height * width > _LARGE else contextlib.nullcontext():
        # The crop comes before the values: it is of single bytes then, and keeps the same.
        return resized(resizing.central(np.asarray(decoded(content, name))), size)


@functools.cache
def _function(kind: str) -> Any:
    """The steps as one function of TensorFlow's, which takes a third less time than one operation after the other."""

    def steps(content: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
        return _resized(tf.image.central_crop(decode(content, kind), CENTRAL_FRACTION), size)

    signature = [tf.TensorSpec([], tf.string), tf.TensorSpec([2], tf.int32)]
    return tf.function(steps, input_signature=signature, autograph=False)


def resized(pixels: Any, size: tuple[int, int]) -> tf.Tensor:
    """An image of uint8 [height, width, 3] as float32 of another size, in [0, 1].

    It is what TensorFlow 1's ``resize_bilinear`` makes of the image in float32, which for large ones is not made.
    """
    if pixels.shape[0] * pixels.shape[1] <= _LARGE:
        return _resized(pixels, size)
    return tf.convert_to_tensor(resizing.resized(np.asarray(pixels), size))


def _resized(pixels: Any, size: Any) -> tf.Tensor:
    image = tf.image.convert_image_dtype(pixels, tf.float32)
    return tf.compat.v1.image.resize_bilinear(image[tf.newaxis], size, align_corners=False)[0]
