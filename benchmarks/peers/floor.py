"""``python -m benchmarks.peers.floor CHECKPOINT NAMES.json``: TensorFlow, the weights once, and nothing else."""

import json
import sys
from pathlib import Path

import tensorflow as tf


def main(checkpoint: str, names: str) -> None:
    """Reads every tensor that is exported and holds it; less is not possible for who has the weights in memory."""
    reader = tf.train.load_checkpoint(checkpoint)
    held = [reader.get_tensor(name) for name in json.loads(Path(names).read_text(encoding="utf-8"))]
    print(json.dumps({"bytes": sum(value.nbytes for value in held)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
