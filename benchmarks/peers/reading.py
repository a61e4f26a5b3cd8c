"""``python -m benchmarks.peers.reading PREFIX``: what a checkpoint holds, as TensorFlow's own reader tells it."""

import json
import sys

import tensorflow as tf


def main(prefix: str) -> None:
    """Reads the names, shapes and types of all variables, and none of their values."""
    reader = tf.train.load_checkpoint(prefix)
    shapes, types = reader.get_variable_to_shape_map(), reader.get_variable_to_dtype_map()
    print(json.dumps({"variables": sum(types[name] == tf.float32 for name in shapes)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
