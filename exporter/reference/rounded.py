"""What a file with weights of 16 bits computes: values of the checkpoint's names for which the float32 graph gives it.

LiteRT's files have batch norms folded into the convolutions before them, and the products rounded. Nothing of a
checkpoint can be read off such a file, so that rounding is done here once more, and what the file gives is held against
the float32 graph of these values. How far they are from the checkpoint's is a figure of its own.

All is computed in float32, in the order in which TensorFlow's converter does it: a product that differs in its last bit
is rounded to another number of 16 bits now and then, and one of these changes an output by up to 1e-4.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from exporter.models.architecture import EPSILON
from exporter.models.config import ModelConfig, Task
from exporter.models.variables import variables

Array = NDArray[np.float32]

_EPSILON = np.float32(EPSILON)
_ONE, _TWO = np.float32(1), np.float32(2)
#: The convolution that images go through first.
_FIRST = "conv0/weights"


def rounded(config: ModelConfig, task: Task, values: Mapping[str, Array]) -> dict[str, Array]:
    """The values of a task, float32, with batch norms that only add.

    The one after a factorized reduction comes after a concatenation, and is not folded: it multiplies, too.
    """
    found: dict[str, Array] = {}
    kernel = ""
    for spec in variables(config, task):
        scope, _, leaf = spec.name.rpartition("/")
        if leaf in ("weights", "pointwise_weights"):
            kernel = spec.name
        if leaf == "gamma":
            gamma, beta, mean, variance = (
                np.asarray(values[f"{scope}/{name}"], np.float32)
                for name in ("gamma", "beta", "moving_mean", "moving_variance")
            )
            scale = gamma * (_ONE / np.sqrt(variance + _EPSILON))
            shift = beta - mean * scale
            folded = not scope.endswith("final_path_bn")
            if kernel == _FIRST:
                found[kernel], shift = _first(np.asarray(values[kernel], np.float32) * scale, shift)
            elif folded:
                found[kernel], shift = _half(np.asarray(values[kernel], np.float32) * scale), _half(shift)
            else:
                scale, shift = _half(scale), _half(shift)
            found[spec.name] = np.ones_like(gamma) if folded else scale
            found[f"{scope}/beta"] = shift
            found[f"{scope}/moving_mean"] = np.zeros_like(mean)
            found[f"{scope}/moving_variance"] = np.full_like(variance, _ONE - _EPSILON)
        elif spec.name not in found:
            found[spec.name] = _half(np.asarray(values[spec.name], np.float32))
    return found


def _first(kernel: Array, shift: Array) -> tuple[Array, Array]:
    """The first convolution, which has ``2 * image - 1`` folded into it, too: rounded as such, and taken out again."""
    rounded_kernel = _half(_TWO * kernel) / _TWO
    return rounded_kernel, _half(shift - kernel.sum((0, 1, 2))) + rounded_kernel.sum((0, 1, 2))


def _half(value: Array) -> Array:
    return value.astype(np.float16).astype(np.float32)
