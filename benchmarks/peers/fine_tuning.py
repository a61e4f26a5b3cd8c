"""Images per second of fine-tuning: ``python -m benchmarks.peers.fine_tuning object|keras WHAT BATCH SECONDS``.

A step is the forward pass in training mode with its updates of the moving statistics, cross entropy, the gradients of
all trainable variables, and plain gradient descent, in one ``tf.function``; L2 terms, which Keras's network
does not have, are left out of both.
"""

import json
import statistics
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from benchmarks.peers.timing import durations

WARM_UP = 2
RATE = 1e-4


def main(kind: str, what: str, batch: str, seconds: str) -> None:
    model: Any
    if kind == "keras":
        from benchmarks.peers.keras_network import build

        network = json.loads(Path(what).read_text(encoding="utf-8"))
        model, size = build(network, activation=None), network["image_size"]
        variables = [variable.value for variable in model.trainable_variables]
    else:
        model = tf.saved_model.load(what)
        size = model.__call__.concrete_functions[0].structured_input_signature[0][0].shape[1]
        variables = list(model.trainable_variables)

    @tf.function
    def step(images, labels):
        with tf.GradientTape() as tape:
            logits = model(images, training=True)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits))
        for variable, gradient in zip(variables, tape.gradient(loss, variables), strict=True):
            variable.assign_sub(RATE * gradient)
        return loss

    random = np.random.default_rng(0)
    images = tf.constant(random.random((int(batch), size, size, 3), np.float32))
    labels = tf.constant(random.integers(0, 1000, int(batch)))
    rate = int(batch) / statistics.median(durations(lambda: step(images, labels).numpy(), float(seconds), WARM_UP))
    print(json.dumps({"images_per_second": rate, "variables": len(variables)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
