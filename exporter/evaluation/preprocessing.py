"""Turns the bytes of an image file into the input of a network, as in the evaluation of the published checkpoints.

These are the steps of TF-Slim's ``inception_preprocessing.preprocess_for_eval``, with the same operations: decode to
RGB, values in [0, 1], central crop, bilinear resize. TF-Slim then scales the values to [-1, 1]; the artifacts take
[0, 1] and do that themselves. As in TF-Slim, the orientation in EXIF data is ignored.
"""

import tensorflow as tf

from exporter.errors import ImageError
from exporter.evaluation.image_files import CENTRAL_FRACTION, kind_of

#: More than any photograph has; the limit keeps one file from using all memory.
MAX_PIXELS = 2**28


def preprocessed(content: bytes, size: tuple[int, int], name: str) -> tf.Tensor:
    """The image as float32 [height, width, 3], RGB in [0, 1].

    Args:
        content: the bytes of a JPEG or PNG file: greyscale, palette, CMYK, 16 bits and alpha become 8 bits of RGB as
            TensorFlow does it (alpha is dropped).
        size: height and width in pixels.
        name: the name of the image in messages.

    Raises:
        ImageError: it is not a JPEG or PNG image, or is damaged.
    """
    image = tf.image.convert_image_dtype(decoded(content, name), tf.float32)
    image = tf.image.central_crop(image, CENTRAL_FRACTION)
    return tf.compat.v1.image.resize_bilinear(image[tf.newaxis], size, align_corners=False)[0]


def decoded(content: bytes, name: str) -> tf.Tensor:
    """The pixels as they are stored, uint8 [height, width, 3]. See `preprocessed` for the rest."""
    kind = kind_of(content, name)
    try:
        if kind == "JPEG":
            _require_sane(tuple(tf.io.extract_jpeg_shape(content).numpy()[:2]), name)
            return tf.io.decode_jpeg(content, channels=3)
        # In a PNG file, width and height are at fixed offsets.
        _require_sane((int.from_bytes(content[20:24], "big"), int.from_bytes(content[16:20], "big")), name)
        return tf.io.decode_png(content, channels=3)
    except tf.errors.InvalidArgumentError as error:
        raise ImageError(f"{name} is damaged: its {len(content):,} bytes are not a whole {kind} image") from error


def _require_sane(size: tuple[int, int], name: str) -> None:
    if size[0] * size[1] > MAX_PIXELS:
        raise ImageError(f"{name} has {size[1]} x {size[0]} pixels, more than the {MAX_PIXELS:,} that are allowed")
