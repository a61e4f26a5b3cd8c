"""Holds each pooling of somebody else's network against TensorFlow's, for the input that it has there.

A port that is off by a few percent nearly always has poolings that count or compare the padding: a cell that departs
does not tell, a pooling that departs from its own input does.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from exporter.reference.numpy_network import average_pool, max_pool

_POOLS = {"average": average_pool, "max": max_pool}


@dataclass(frozen=True)
class Pooling:
    """A pooling of a network, by the name that its author gave it.

    ``kernel`` and ``stride`` are in pixels, the same in both directions. ``image`` is the feature map that it pools, as
    it was before anything padded it, ``pooled`` what comes of it: at once, and after anything that crops or scales it.
    All are [batch, height, width, channels].
    """

    name: str
    kind: Literal["average", "max"]
    kernel: int
    stride: int
    image: np.ndarray
    pooled: Sequence[np.ndarray]


def differences(poolings: Iterable[Pooling]) -> dict[str, float]:
    """How far each is from the SAME pool of TensorFlow, relative to the largest magnitude of that.

    One that gives another number of pixels is none of the original's, and left out, as are those of single pixels,
    which choose and do not pool.
    """
    found = {}
    for pooling in poolings:
        expected = _POOLS[pooling.kind](pooling.image, pooling.kernel, pooling.stride)
        own = [value for value in pooling.pooled if value.shape == expected.shape]
        if pooling.kernel > 1 and own:
            off = min(float(np.abs(expected - value).max()) for value in own)
            found[pooling.name] = off / float(np.abs(expected).max())
    return found
