"""What stands above inference.

python -m benchmarks.peers.limits peak SECONDS      # floating-point operations per second of a large product
python -m benchmarks.peers.limits count FOLDER      # those that one image takes in the SavedModel in FOLDER
"""

import json
import sys
import time
from math import prod
from typing import Any

import tensorflow as tf

#: Rows and columns: as large as gives the highest figure, at 64 MB each.
SIDE = 4096


def peak(seconds: str) -> dict[str, Any]:
    """The best of several float32 products of square matrices: two operations for each multiplication."""
    a = tf.random.uniform([SIDE, SIDE])
    tf.matmul(a, a).numpy()
    found: list[float] = []
    while len(found) < 3 or sum(found) < float(seconds):
        began = time.perf_counter()
        tf.matmul(a, a)[0, 0].numpy()
        found.append(time.perf_counter() - began)
    return {"operations_per_second": 2 * SIDE**3 / min(found)}


def count(folder: str) -> dict[str, Any]:
    """Operations of convolutions and matrix products for one image, from their shapes in the graph that is run.

    All else, normalization, sums and pooling, is left out: that it takes time is what the share of the peak shows.
    """
    loaded = tf.saved_model.load(folder)
    (graph,) = [function.graph for function in loaded.__call__.concrete_functions if not _trains(function.graph)]
    found: dict[str, int] = {}
    for operation in graph.get_operations():
        if operations := _operations(operation):
            found[operation.type] = found.get(operation.type, 0) + operations
    return {"operations": sum(found.values()), "by_type": found}


def _trains(graph: Any) -> bool:
    return any(
        operation.get_attr("is_training")
        for operation in graph.get_operations()
        if operation.type.startswith("FusedBatchNorm")
    )


def _operations(operation: Any) -> int:
    """Twice the multiplications, for one image; 0 for operations that are not counted."""
    if operation.type in ("Conv2D", "DepthwiseConv2dNative"):
        side, other, channels, _ = operation.inputs[1].shape.as_list()
        _, height, width, filters = operation.outputs[0].shape.as_list()
        each = side * other * (channels if operation.type == "Conv2D" else 1)
        return 2 * each * height * width * filters
    if operation.type == "MatMul":
        return 2 * prod(operation.inputs[1].shape.as_list())
    return 0


if __name__ == "__main__":
    print(json.dumps({"peak": peak, "count": count}[sys.argv[1]](sys.argv[2])))
