"""The steps of TF-Slim's evaluation after decoding, with NumPy: central crop, values in [0, 1], bilinear resize.

They give the bits that TensorFlow's operations give, each of which rounds to float32 once.
"""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from exporter.models.preprocessing import CENTRAL_FRACTION

Pixels = NDArray[np.uint8]
T = TypeVar("T", bound=np.generic)
#: What a shade is multiplied by, as `tf.image.convert_image_dtype` has it.
_SCALE = np.float32(1 / 255)


def central(pixels: NDArray[T]) -> NDArray[T]:
    """What `tf.image.central_crop` keeps of an image [height, width, 3], without a copy."""
    height, width = pixels.shape[:2]
    top, left = (int((side - side * CENTRAL_FRACTION) / 2) for side in (height, width))
    return pixels[top : height - top, left : width - left]


def resized(pixels: Pixels, size: tuple[int, int]) -> NDArray[np.float32]:
    """An image of uint8 [height, width, 3] as float32 of another size, in [0, 1].

    It is what TensorFlow 1's ``resize_bilinear`` makes of the image in float32, which here is not made.
    """
    (above, below, down), (left, right, across) = (_places(*pair) for pair in zip(pixels.shape[:2], size, strict=True))

    def row_of(rows: NDArray[np.int64]) -> NDArray[np.float32]:
        chosen = pixels[rows]
        first = chosen[:, left].astype(np.float32) * _SCALE
        return first + (chosen[:, right].astype(np.float32) * _SCALE - first) * across[:, np.newaxis]

    upper = row_of(above)
    return upper + (row_of(below) - upper) * down[:, np.newaxis, np.newaxis]


def _places(held: int, wanted: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Between which rows of an image with ``held`` of them each of the ``wanted`` lies, and how far from the first."""
    places = np.arange(wanted, dtype=np.float32) * (np.float32(held) / np.float32(wanted))
    first = places.astype(np.int64)
    return first, np.minimum(first + 1, held - 1), places - first.astype(np.float32)
