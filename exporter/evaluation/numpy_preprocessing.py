"""The same as `exporter.evaluation.preprocessing` without TensorFlow, for artifacts that are run without it."""

import contextlib
import threading

import numpy as np
from numpy.typing import NDArray

from exporter.evaluation.pillow_decoding import decoded, dimensions
from exporter.evaluation.resizing import central, resized

#: Images of more pixels are decoded one at a time.
_LARGE = 2**24

_one_at_a_time = threading.Lock()


def preprocessed(content: bytes, size: tuple[int, int], name: str) -> NDArray[np.float32]:
    """The image as float32 [height, width, 3], RGB in [0, 1].

    Args:
        content: the bytes of an image file, see `exporter.evaluation.pillow_decoding.decoded`.
        size: height and width in pixels.
        name: the name of the image in messages.

    Raises:
        ImageError: as `decoded` does.
    """
    height, width = dimensions(content, name)
    with _one_at_a_time if height * width > _LARGE else contextlib.nullcontext():
        return resized(central(decoded(content, name)), size)
