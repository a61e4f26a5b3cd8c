"""Finds the end points of a network in a function's graph by the names of its scopes, and runs up to them."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

v1 = tf.compat.v1

#: The concatenation at a cell's end, as TF-Slim calls it; readers and writers may put scopes before it.
_CELL = re.compile(r"(?:^|/)(cell_stem_1|cell_\d+|reduction_cell_\d+)/cell_output(?:/concat)?$")
_OTHERS = re.compile(r"(?:^|/)(global_pool|predictions|final_layer/FC/BiasAdd)(?:/Mean)?$")
_NAMES = {
    "cell_stem_1": "Stem",
    "global_pool": "global_pool",
    "final_layer/FC/BiasAdd": "Logits",
    "predictions": "Predictions",
}


def locate(graph: tf.Graph) -> dict[str, Any]:
    """The tensors of those end points that can be found, by the names that the published modules give them."""
    found: dict[str, Any] = {}
    for op in graph.get_operations():
        if len(op.outputs) != 1:
            continue
        match = _CELL.search(op.name) or _OTHERS.search(op.name)
        if match:
            scope = match[1]
            found.setdefault(_NAMES.get(scope) or _cell_name(scope), op.outputs[0])
    return found


def _cell_name(scope: str) -> str:
    kind, _, number = scope.rpartition("_")
    return ("Reduction_Cell_" if kind == "reduction_cell" else "Cell_") + number


def run(
    function: Any, values: Mapping[str, np.ndarray], names: Mapping[Any, str], batches: Sequence[Any]
) -> list[tuple[np.ndarray, dict[str, np.ndarray]]]:
    """For each batch of images, the output of a concrete function, and every end point that is found in it.

    Args:
        function: a restored concrete function whose first argument takes images.
        values: of each variable, by name.
        names: of each variable, by the reference of its resource handle (``handle.ref()``).
    """
    wanted = output(function), locate(function.graph)
    with v1.Session(graph=function.graph) as session:
        return [session.run(wanted, feed(function, values, names, images)) for images in batches]


def output(function: Any) -> Any:
    """The tensor that a concrete function returns, before the identities that wait for updates of moving averages."""
    (tensor, *_) = function.graph.outputs
    while tensor.op.type == "Identity":
        (tensor,) = tensor.op.inputs
    return tensor


def feed(function: Any, values: Mapping[str, np.ndarray], names: Mapping[Any, str], images: Any) -> dict[Any, Any]:
    """The feed dictionary for the function's graph: the images, and the value of each variable where it is read."""
    read = _reads(function, names).items()
    found = {tensor.name: values[name] for name, tensors in read for tensor in tensors}
    return found | {function.graph.inputs[0].name: images}


def _reads(function: Any, names: Mapping[Any, str]) -> dict[str, list[Any]]:
    """The tensors that each variable is read into, by its name."""
    pairs = zip(function.graph.internal_captures, function.captured_inputs, strict=True)
    inner = {inside.ref(): names[outside.ref()] for inside, outside in pairs if outside.ref() in names}
    found: dict[str, list[Any]] = {}
    for op in function.graph.get_operations():
        if op.type == "ReadVariableOp" and op.inputs[0].ref() in inner:
            found.setdefault(inner[op.inputs[0].ref()], []).append(op.outputs[0])
    return found
