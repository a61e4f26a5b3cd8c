"""What stands in the way of gradients, and what L2 terms pull at."""

from typing import Any

import numpy as np

from exporter.downgrade import nodes


def stops(saved_model: Any) -> list[str]:
    """The operations of a SavedModel that keep a gradient from what comes before them, or change it."""
    return [
        node.name
        for node in nodes(saved_model)
        if node.op in ("StopGradient", "PreventGradient")
        or (node.op == "IdentityN" and "_gradient_op_type" in node.attr)
    ]


def weight_of(value: np.ndarray, gradient: np.ndarray) -> float:
    """What a variable is multiplied with to give its gradient, on average; that of all zeros is not known, and 0."""
    value = value.astype(np.float64)
    squares = float(np.vdot(value, value))
    return float(np.vdot(value, gradient)) / squares if squares else 0.0
