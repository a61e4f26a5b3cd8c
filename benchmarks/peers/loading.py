"""``python -m benchmarks.peers.loading hub.load|tf.saved_model.load FOLDER``: how long the call takes."""

import json
import sys
import time


def main(function: str, folder: str) -> None:
    """Times the call alone; its libraries are imported before it."""
    if function == "hub.load":
        import tensorflow_hub as hub

        load = hub.load
    else:
        import tensorflow as tf

        load = tf.saved_model.load
    began = time.perf_counter()
    loaded = load(folder)
    seconds = time.perf_counter() - began
    # An object whose variables are not there would have loaded faster than it may.
    print(json.dumps({"seconds": seconds, "variables": len(loaded.variables)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
