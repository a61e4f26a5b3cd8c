"""Images per second of a network that was loaded or built in this process.

    python -m benchmarks.peers.inference KIND WHAT BATCHES SECONDS

KIND says what WHAT is: ``object`` or ``signature`` (the folder of a SavedModel), ``keras`` or ``slim`` (the JSON file
of a network). BATCHES are sizes, such as ``1,8,32``. Each is timed step by step, for SECONDS and three steps at least.
"""

import json
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from benchmarks.peers.timing import durations

#: The first call traces or loads the function, the second still allocates memory.
WARM_UP = 2

Step = Callable[[np.ndarray], Any]


def _object(what: str) -> tuple[Step, int]:
    loaded = tf.saved_model.load(what)
    size = loaded.__call__.concrete_functions[0].structured_input_signature[0][0].shape[1]
    return lambda images: loaded(tf.constant(images)), size


def _signature(what: str) -> tuple[Step, int]:
    # A signature does not keep the loaded object and its variables alive; the lambda below does.
    loaded = tf.saved_model.load(what)
    signature = loaded.signatures["serving_default"]
    ((name, spec),) = signature.structured_input_signature[1].items()
    return lambda images: (loaded, signature(**{name: tf.constant(images)}))[1], spec.shape[1]


def _keras(what: str) -> tuple[Step, int]:
    from benchmarks.peers.keras_network import build

    network = _network(what)
    model = build(network)
    function = tf.function(lambda images: model(images, training=False))
    return lambda images: function(tf.constant(images)), network["image_size"]


def _slim(what: str) -> tuple[Step, int]:
    from benchmarks.peers import original_toolchain

    network = _network(what)
    size = network["image_size"]
    v1 = tf.compat.v1
    # Otherwise building, which is not timed, takes minutes: each new variable is compared with all others.
    v1.disable_tensor_equality()
    with tf.Graph().as_default():
        placeholder = v1.placeholder(tf.float32, [None, size, size, 3])
        logits = original_toolchain.network(network, placeholder)["Logits"]
        session = v1.Session()
        session.run(v1.global_variables_initializer())
    return lambda images: session.run(logits, {placeholder: images}), size


def _network(path: str) -> dict[str, Any]:
    return json.loads(Path(path).read_text(encoding="utf-8"))


KINDS: dict[str, Callable[[str], tuple[Step, int]]] = {
    "object": _object,
    "signature": _signature,
    "keras": _keras,
    "slim": _slim,
}


def main(kind: str, what: str, batches: str, seconds: str) -> None:
    step, size = KINDS[kind](what)
    rates = {}
    for batch in map(int, batches.split(",")):
        images = np.random.default_rng(0).random((batch, size, size, 3), np.float32)
        measured = durations(lambda: _finish(step(images)), float(seconds), WARM_UP)  # noqa: B023
        rates[batch] = batch / statistics.median(measured)
    print(json.dumps({"images_per_second": rates}))


def _finish(result: Any) -> None:
    """Waits for the values; a call may return before they are there."""
    for value in tf.nest.flatten(result):
        np.asarray(value)


if __name__ == "__main__":
    main(*sys.argv[1:])
