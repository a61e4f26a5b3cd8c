"""Turns the bytes of an image file into the input of a network, as in the evaluation of the published checkpoints.

These are the steps of TF-Slim's ``inception_preprocessing.preprocess_for_eval``, with the same operations: decode to
RGB, values in [0, 1], central crop, bilinear resize. TF-Slim then scales the values to [-1, 1]; the artifacts take
[0, 1] and do that themselves. As in TF-Slim, the orientation in EXIF data is ignored.
"""

import contextlib
import threading
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from exporter.evaluation.decoding import decoded, dimensions
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
    with _one_at_a_time if height * width > _LARGE else contextlib.nullcontext():
        # The crop comes before the values: it is of single bytes then, and keeps the same.
        return resized(_central(decoded(content, name)), size)


def _central(pixels: Any) -> Any:
    """What `tf.image.central_crop` keeps; of an array without a copy, where TensorFlow would make two."""
    if not isinstance(pixels, np.ndarray):
        return tf.image.central_crop(pixels, CENTRAL_FRACTION)
    height, width = pixels.shape[:2]
    top, left = (int((side - side * CENTRAL_FRACTION) / 2) for side in (height, width))
    return pixels[top : height - top, left : width - left]


def resized(pixels: Any, size: tuple[int, int]) -> tf.Tensor:
    """An image of uint8 [height, width, 3] as float32 of another size, in [0, 1].

    It is what TensorFlow 1's ``resize_bilinear`` makes of the image in float32, which for large ones is not made.
    """
    if pixels.shape[0] * pixels.shape[1] <= _LARGE:
        return _resized(pixels, size)
    values = np.asarray(pixels)
    (above, below, down), (left, right, across) = (_places(*pair) for pair in zip(values.shape[:2], size, strict=True))

    def corner(rows: NDArray[np.int64], columns: NDArray[np.int64]) -> tf.Tensor:
        return tf.image.convert_image_dtype(values[rows[:, np.newaxis], columns], tf.float32)

    upper, lower = (
        corner(rows, left) + (corner(rows, right) - corner(rows, left)) * across[:, np.newaxis]
        for rows in (above, below)
    )
    return upper + (lower - upper) * down[:, np.newaxis, np.newaxis]


def _resized(pixels: Any, size: tuple[int, int]) -> tf.Tensor:
    image = tf.image.convert_image_dtype(pixels, tf.float32)
    return tf.compat.v1.image.resize_bilinear(image[tf.newaxis], size, align_corners=False)[0]


def _places(held: int, wanted: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Between which rows of an image with ``held`` of them each of the ``wanted`` lies, and how far from the first."""
    places = np.arange(wanted, dtype=np.float32) * (np.float32(held) / np.float32(wanted))
    first = places.astype(np.int64)
    return first, np.minimum(first + 1, held - 1), places - first.astype(np.float32)
