"""``python -m benchmarks.peers.floor CHECKPOINT NAMES.json``: TensorFlow, the weights once, and nothing else."""

import json
import sys
from pathlib import Path

import tensorflow as tf


def main(checkpoint: str, names: str) -> None:
    """Reads every tensor that an artifact has; no program with TensorFlow and the weights in memory takes less."""
    reader = tf.train.load_checkpoint(checkpoint)
    tensors = [reader.get_tensor(name) for name in json.loads(Path(names).read_text(encoding="utf-8"))]
    print(json.dumps({"bytes": sum(value.nbytes for value in tensors)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
