"""A loaded artifact as the loader of its format returns it; without TensorFlow, as most loaders are."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

#: Height and width in pixels.
Size: TypeAlias = tuple[int, int]


@dataclass(frozen=True)
class Loaded:
    """A loaded artifact.

    ``call`` takes float32 images [batch, height, width, 3] in [0, 1], as an array or, where TensorFlow runs it, a
    tensor, and returns logits [batch, classes] or a feature vector. ``image_size`` is None if the artifact does not fix
    it.
    """

    call: Callable[[Any], Any]
    image_size: Size | None
