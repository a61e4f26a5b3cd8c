"""Decodes image files to RGB with Pillow: of kinds that TensorFlow does not read, or in processes without it.

PNG and the like are the same pixels whatever decodes them. JPEG is not: the standard leaves the last bits of its
inverse transform open. Pillow asks libjpeg for the accurate one (ISLOW), TensorFlow for the fast one (IFAST).
"""

import contextlib
import io
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exporter.errors import ImageError
from exporter.evaluation.image_files import KINDS, kind_of

#: The limit keeps one file from using all memory. TensorFlow decodes no JPEG of more than 4/3 of it.
MAX_PIXELS = 2**27

#: How many rows of pixels are converted at a time.
_STRIP = 256

#: Pillow's modes of at most 8 bits a channel, which it turns into RGB without loss; alpha is dropped.
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")
#: Its modes of a PNG of grey in 16 bits, of which 8 are kept, as TensorFlow does.
_DEEP_MODES = ("I;16", "I;16B", "I;16L", "I")


def dimensions(content: bytes, name: str) -> tuple[int, int]:
    """Height and width in pixels, which an image says before it is decoded.

    Raises:
        ImageError: it is no image of a kind that is read, is damaged, has too many pixels, or Pillow is not installed.
    """
    with opened(content, kind_of(content, name), name) as image:
        return bounded(image.height, image.width, name)


def bounded(height: int, width: int, name: str) -> tuple[int, int]:
    """Height and width of an image that may be decoded.

    Raises:
        ImageError: it has too many pixels.
    """
    if height * width > MAX_PIXELS:
        raise ImageError(f"{name} has {width} x {height} pixels, more than the {MAX_PIXELS:,} that are allowed")
    return height, width


def decoded(content: bytes, name: str) -> NDArray[np.uint8]:
    """The pixels as they are stored, uint8 [height, width, 3], in RGB; the first picture of a JPEG or PNG with several.

    Raises:
        ImageError: as `dimensions` does, or it holds several images or pixels that 8 bits cannot hold.
    """
    kind = kind_of(content, name)
    with opened(content, kind, name) as image:
        bounded(image.height, image.width, name)
        frames = getattr(image, "n_frames", 1)
        if frames != 1 and kind not in KINDS:
            raise ImageError(f"{name} holds {frames} images: expected one")
        if kind == "PNG" and image.mode in _DEEP_MODES:
            grey = (np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8)
            return np.repeat(grey[:, :, np.newaxis], 3, axis=2)
        if image.mode not in _MODES:
            raise ImageError(
                f"{name} has pixels of Pillow's mode {image.mode}: expected 8 bits for each of red, green and "
                f"blue, or shades of grey"
            )
        pixels = _rgb(image)
        image.close()  # or its pixels stay until garbage is collected
        return pixels


def _rgb(image: Any) -> NDArray[np.uint8]:
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
def opened(content: bytes, kind: str, name: str) -> Iterator[Any]:
    """An image as Pillow opens it: its pixels are decoded when they are asked for.

    Raises:
        ImageError: it is damaged, or Pillow is not installed.
    """
    try:
        from PIL import Image
    except ImportError as error:
        where = " where TensorFlow does not run the artifact" if kind in KINDS else ", or convert it to PNG"
        raise ImageError(
            f"{name} is a {kind} image, which needs Pillow: pip install 'nasexport[images]'{where}"
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
        raise damaged(content, kind, name) from error


def damaged(content: bytes, kind: str, name: str) -> ImageError:
    """The error of an image that its decoder does not take."""
    return ImageError(f"{name} is damaged: its {len(content):,} bytes are not a whole {kind} image")
