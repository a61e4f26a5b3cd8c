"""Pictures for the tests, and what a network is given for them, worked out with NumPy and Pillow alone."""

import io
import math
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]


def picture(seed: int, height: int = 90, width: int = 120) -> Image.Image:
    """A picture of smooth patches of colour, no two of which are alike."""
    patches = np.random.RandomState(seed).randint(0, 256, (6, 8, 3)).astype(np.uint8)
    return Image.fromarray(patches).resize((width, height), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def written(path: Path, image: Image.Image, **options: Any) -> Path:
    """Writes a picture as a PNG, whatever its name, unless told otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(image, **{"kind": "PNG", **options}))
    return path


def with_a_broken_one(folder: Path, names: Sequence[str]) -> Path:
    """A folder of PNGs of these names, the last of which is cut off."""
    for seed, name in enumerate(names):
        path = written(folder / name, picture(seed))
    path.write_bytes(path.read_bytes()[:-60])
    return folder


def deep_png(pixels: NDArray[np.uint16]) -> bytes:
    """A PNG of 16 bits a channel, [height, width, 3], which Pillow cannot write."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def network_input(pixels: Pixels, size: int) -> NDArray[np.float64]:
    """The central 87.5 % of an image [height, width, 3], brought to ``size`` by bilinear interpolation, in [0, 1].

    The first pixels of both images lie upon each other, as the resize of TensorFlow 1 has it.
    """
    values = pixels.astype(np.float64) / 255
    for axis in (0, 1):
        whole = values.shape[axis]
        border = math.floor(whole * 0.0625)
        values = np.take(values, range(border, whole - border), axis)
        held = values.shape[axis]
        places = np.arange(size) * held / size
        below = np.floor(places).astype(int)
        share = (places - below).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
        above = np.minimum(below + 1, held - 1)
        values = (1 - share) * np.take(values, below, axis) + share * np.take(values, above, axis)
    return values


def logits(artifact: Path, images: Sequence[Image.Image], size: int) -> NDArray[np.float64]:
    """What a TF2 SavedModel gives for pictures without loss, [image, class]."""
    import tensorflow_hub as hub

    batch = np.stack([network_input(np.asarray(image.convert("RGB")), size) for image in images])
    return np.asarray(hub.load(str(artifact))(batch.astype(np.float32)), np.float64)


def probabilities(values: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(values - values.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
