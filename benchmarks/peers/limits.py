"""Upper limits of the speed of inference.

python -m benchmarks.peers.limits peak SECONDS      # operations per second of a large float32 matrix product
python -m benchmarks.peers.limits count FOLDER      # operations for one image in the SavedModel in FOLDER
"""

import json
import sys
from math import prod
from typing import Any

import tensorflow as tf

from benchmarks.peers.timing import durations

#: Rows and columns of the matrices, of 64 MB each; this size gave the highest figure.
SIDE = 4096


def peak(seconds: str) -> dict[str, Any]:
    """The best of several float32 products of square matrices: two operations for each multiplication."""
    a = tf.random.uniform([SIDE, SIDE])
    measured = durations(lambda: tf.matmul(a, a)[0, 0].numpy(), float(seconds), warm_up=1)
    return {"operations_per_second": 2 * SIDE**3 / min(measured)}


def count(folder: str) -> dict[str, Any]:
    """Operations of convolutions and matrix products for one image, from their shapes in the graph that is run.

    Normalization, sums and pooling are not counted: the time that they take shows in the share of the peak.
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
        kernel_height, kernel_width, channels, _ = operation.inputs[1].shape.as_list()
        _, height, width, filters = operation.outputs[0].shape.as_list()
        per_output = kernel_height * kernel_width * (channels if operation.type == "Conv2D" else 1)
        return 2 * per_output * height * width * filters
    if operation.type == "MatMul":
        return 2 * prod(operation.inputs[1].shape.as_list())
    return 0


if __name__ == "__main__":
    print(json.dumps({"peak": peak, "count": count}[sys.argv[1]](sys.argv[2])))
