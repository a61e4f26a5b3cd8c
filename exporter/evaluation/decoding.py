"""Decodes image files to RGB: JPEG and PNG by TensorFlow, as the networks were evaluated, and others by Pillow."""

import contextlib
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from exporter.evaluation import pillow_decoding
from exporter.evaluation.image_files import PILLOW_KINDS, kind_of
from exporter.evaluation.pillow_decoding import MAX_PIXELS as MAX_PIXELS
from exporter.evaluation.pillow_decoding import bounded, damaged


def dimensions(content: bytes, name: str) -> tuple[int, int]:
    """Height and width in pixels, which an image says before it is decoded.

    Raises:
        ImageError: it is no image of a kind that is read, is damaged, has too many pixels, or needs Pillow, which is
            not installed.
    """
    kind = kind_of(content, name)
    if kind in PILLOW_KINDS:
        return pillow_decoding.dimensions(content, name)
    if kind == "PNG":
        width, height = (int.from_bytes(content[start : start + 4], "big") for start in (16, 20))
    else:
        with told(content, kind, name):
            height, width = map(int, tf.io.extract_jpeg_shape(content).numpy()[:2])
    return bounded(height, width, name)


def decoded(content: bytes, name: str) -> Any:
    """The pixels as they are stored, uint8 [height, width, 3], in RGB.

    Greyscale, palette, CMYK, 16 bits and alpha become 8 bits of RGB as TensorFlow does it (alpha is dropped).

    Raises:
        ImageError: as `dimensions` does, or it holds several images or pixels that 8 bits cannot hold.
    """
    kind = kind_of(content, name)
    if kind in PILLOW_KINDS:
        return pillow_decoding.decoded(content, name)
    dimensions(content, name)
    with told(content, kind, name):
        return decode(content, kind)


def decode(content: Any, kind: str) -> tf.Tensor:
    """The pixels of a JPEG or PNG, uint8 [height, width, 3]."""
    return (tf.io.decode_jpeg if kind == "JPEG" else tf.io.decode_png)(content, channels=3)


@contextlib.contextmanager
def told(content: bytes, kind: str, name: str) -> Iterator[None]:
    """Within it, an error of TensorFlow's decoder is one of the image; that there is no memory is none."""
    try:
        yield
    except tf.errors.ResourceExhaustedError:
        raise
    except tf.errors.OpError as error:
        raise damaged(content, kind, name) from error
