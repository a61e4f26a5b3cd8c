"""Finds the end points of a network in a function's graph by the names of its scopes, and runs up to them."""

import re
from collections.abc import Mapping
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


def run(function: Any, values: Mapping[Any, np.ndarray], images: np.ndarray) -> dict[str, np.ndarray]:
    """Every end point that is found in a concrete function of ``images``.

    Args:
        function: a restored concrete function whose first argument takes images.
        values: of each variable, by the reference of its resource handle (``handle.ref()``).
    """
    graph = function.graph
    tensors = locate(graph)
    held = {
        inner.ref(): values[outer.ref()]
        for inner, outer in zip(graph.internal_captures, function.captured_inputs, strict=True)
        if outer.ref() in values
    }
    fed = {op.outputs[0].name: held[op.inputs[0].ref()] for op in graph.get_operations() if _reads(op, held)}
    fed[graph.inputs[0].name] = images
    with v1.Session(graph=graph) as session:
        return session.run(tensors, fed)


def _reads(op: Any, held: Mapping[Any, np.ndarray]) -> bool:
    return op.type == "ReadVariableOp" and op.inputs[0].ref() in held
