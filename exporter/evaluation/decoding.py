"""Decodes image files to RGB: JPEG and PNG by TensorFlow, as the networks were evaluated, and others by Pillow."""

import contextlib
import io
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from exporter.errors import ImageError
from exporter.evaluation.image_files import PILLOW_KINDS, kind_of

#: The limit keeps one file from using all memory. TensorFlow decodes no JPEG of more than 4/3 of it.
MAX_PIXELS = 2**27

#: How many rows of pixels are converted at a time.
_STRIP = 256

#: Pillow's modes of at most 8 bits a channel, which it turns into RGB without loss; alpha is dropped.
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")


def dimensions(content: bytes, name: str) -> tuple[int, int]:
    """Height and width in pixels, which an image says before it is decoded.

    Raises:
        ImageError: it is no image of a kind that is read, is damaged, has too many pixels, or needs Pillow, which is
            not installed.
    """
    kind = kind_of(content, name)
    if kind in PILLOW_KINDS:
        with _opened(content, kind, name) as image:
            height, width = image.height, image.width
    elif kind == "PNG":
        width, height = (int.from_bytes(content[start : start + 4], "big") for start in (16, 20))
    else:
        with _told(content, kind, name):
            height, width = map(int, tf.io.extract_jpeg_shape(content).numpy()[:2])
    if height * width > MAX_PIXELS:
        raise ImageError(f"{name} has {width} x {height} pixels, more than the {MAX_PIXELS:,} that are allowed")
    return height, width


def decoded(content: bytes, name: str) -> Any:
    """The pixels as they are stored, uint8 [height, width, 3], in RGB.

    Greyscale, palette, CMYK, 16 bits and alpha become 8 bits of RGB as TensorFlow does it (alpha is dropped).

    Raises:
        ImageError: as `dimensions` does, or it holds several images or pixels that 8 bits cannot hold.
    """
    dimensions(content, name)
    kind = kind_of(content, name)
    if kind in PILLOW_KINDS:
        with _opened(content, kind, name) as image:
            frames = getattr(image, "n_frames", 1)
            if frames != 1:
                raise ImageError(f"{name} holds {frames} images: expected one")
            if image.mode not in _MODES:
                raise ImageError(
                    f"{name} has pixels of Pillow's mode {image.mode}: expected 8 bits for each of red, green and "
                    f"blue, or shades of grey"
                )
            pixels = _rgb(image)
            image.close()  # or its pixels stay until garbage is collected
            return pixels
    with _told(content, kind, name):
        return (tf.io.decode_jpeg if kind == "JPEG" else tf.io.decode_png)(content, channels=3)


def _rgb(image: Any) -> np.ndarray:
    """The pixels of a Pillow image, uint8 [height, width, 3].

    They are taken a strip at a time: Pillow would have up to three copies of all of them at once.
    """
    image.load()
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    for top in range(0, image.height, _STRIP):
        strip = image.crop((0, top, image.width, min(top + _STRIP, image.height)))
        pixels[top : top + _STRIP] = strip if strip.mode == "RGB" else strip.convert("RGB")
    return pixels


@contextlib.contextmanager
def _told(content: bytes, kind: str, name: str) -> Iterator[None]:
    """Within it, an error of TensorFlow's decoder is one of the image; that there is no memory is none."""
    try:
        yield
    except tf.errors.ResourceExhaustedError:
        raise
    except tf.errors.OpError as error:
        raise _damaged(content, kind, name) from error


@contextlib.contextmanager
def _opened(content: bytes, kind: str, name: str) -> Iterator[Any]:
    """An image as Pillow opens it: its pixels are decoded when they are asked for."""
    try:
        from PIL import Image
    except ImportError as error:
        raise ImageError(
            f"{name} is a {kind} image, which needs Pillow: pip install 'nasexport[images]', or convert it to PNG"
        ) from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            Image.MAX_IMAGE_PIXELS = MAX_PIXELS  # it warns of more, and refuses twice as many
            with Image.open(io.BytesIO(content), formats=[kind]) as image:
                yield image
    except (ImageError, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        raise ImageError(f"{name} has more pixels than the {MAX_PIXELS:,} that are allowed") from error
    except Exception as error:  # its parsers raise whatever comes of what they find
        raise _damaged(content, kind, name) from error


def _damaged(content: bytes, kind: str, name: str) -> ImageError:
    return ImageError(f"{name} is damaged: its {len(content):,} bytes are not a whole {kind} image")
