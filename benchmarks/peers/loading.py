"""``python -m benchmarks.peers.loading hub.load|tf.saved_model.load FOLDER``: how long the call takes."""

import json
import sys
import time


def main(function: str, folder: str) -> None:
    """Times the call alone; libraries are imported before it."""
    if function == "hub.load":
        import tensorflow_hub as hub

        load = hub.load
    else:
        import tensorflow as tf

        load = tf.saved_model.load
    started = time.perf_counter()
    loaded = load(folder)
    seconds = time.perf_counter() - started
    # Counted to make sure that the variables were loaded, too.
    print(json.dumps({"seconds": seconds, "variables": len(loaded.variables)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
