"""What people write: a `tf.data` loop that decodes, crops, resizes and calls a loaded SavedModel.

``python -m benchmarks.peers.tf_data ARTIFACT FOLDER SIZE BATCH`` prints the number of images, and their rate after
the first batch, as JSON.
"""

import json
import sys
import time
from pathlib import Path

import tensorflow as tf
import tensorflow_hub as hub


def main(artifact: str, folder: str, size: int, batch: int) -> None:
    """Calls the network for all images below ``folder``, and prints what it took."""
    paths = sorted(map(str, Path(folder).rglob("*.jpg")))

    def read(path: tf.Tensor) -> tf.Tensor:
        image = tf.image.convert_image_dtype(tf.io.decode_jpeg(tf.io.read_file(path), channels=3), tf.float32)
        image = tf.image.central_crop(image, 0.875)
        return tf.compat.v1.image.resize_bilinear(image[tf.newaxis], [size, size], align_corners=False)[0]

    images = tf.data.Dataset.from_tensor_slices(paths).map(read, tf.data.AUTOTUNE).batch(batch).prefetch(1)
    network = hub.load(artifact)
    began, done = 0.0, 0
    for chunk in images:
        network(chunk).numpy()
        done += 1
        began = began or time.monotonic()
    steady = (len(paths) - batch) / (time.monotonic() - began) if done > 1 else None
    print(json.dumps({"images": len(paths), "steady": steady}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
