"""Images per second of a model in a runtime, on a number of threads, by the clock and by processor time.

    python -m benchmarks.peers.runtimes KIND WHAT BATCHES SECONDS THREADS

KIND says what WHAT is: ``tensorflow`` (the folder of a SavedModel with ``serving_default``), ``onnx`` or ``openvino``
(``model.onnx``), ``litert`` (``model.tflite``) or ``pytorch`` (``model.pt2``). BATCHES are sizes, such as ``1,8``. Each
is run for SECONDS and three steps at least.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

#: The first call prepares, the second still allocates memory.
_WARM_UP = 2
_MIN_STEPS = 3

Step = Callable[[np.ndarray], Any]


def _tensorflow(what: str, threads: int) -> tuple[Step, int]:
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    loaded = tf.saved_model.load(what)
    signature = loaded.signatures["serving_default"]
    ((name, spec),) = signature.structured_input_signature[1].items()

    def step(images: np.ndarray) -> Any:
        (output,) = signature(**{name: tf.constant(images)}).values()
        return loaded, output.numpy()

    return step, spec.shape[1]


def _onnx(what: str, threads: int) -> tuple[Step, int]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(what, options, providers=["CPUExecutionProvider"])
    (images_input,) = session.get_inputs()
    return lambda images: session.run(None, {images_input.name: images}), images_input.shape[1]


def _litert(what: str, threads: int) -> tuple[Step, int]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=what, num_threads=threads)
    signature = interpreter.get_signature_runner()
    ((name, facts),) = signature.get_input_details().items()
    return lambda images: signature(**{name: images}), int(facts["shape_signature"][1])


def _openvino(what: str, threads: int) -> tuple[Step, int]:
    import openvino

    # Its default may be half of float32's precision.
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
    model = openvino.Core().compile_model(what, "CPU", settings)
    request = model.create_infer_request()
    return lambda images: request.infer([images]), int(model.input(0).partial_shape[1].get_length())


def _pytorch(what: str, threads: int) -> tuple[Step, int]:
    import torch

    torch.set_num_threads(threads)
    program = torch.export.load(what)
    network = program.module()
    (images_input,) = program.graph_signature.user_inputs
    ((_, size, *_),) = [node.meta["val"].shape for node in program.graph.nodes if node.name == images_input]

    def step(images: np.ndarray) -> Any:
        with torch.inference_mode():
            return network(torch.from_numpy(images))

    return step, int(size)


KINDS: dict[str, Callable[[str, int], tuple[Step, int]]] = {
    "tensorflow": _tensorflow,
    "onnx": _onnx,
    "litert": _litert,
    "openvino": _openvino,
    "pytorch": _pytorch,
}


def main(kind: str, what: str, batches: str, seconds: str, threads: str) -> None:
    step, size = KINDS[kind](what, int(threads))
    rates = {}
    for batch in map(int, batches.split(",")):
        images = np.random.default_rng(0).random((batch, size, size, 3), np.float32)
        for _ in range(_WARM_UP):
            step(images)
        wall: list[float] = []
        used: list[float] = []
        while len(wall) < _MIN_STEPS or sum(wall) < float(seconds):
            started, began = time.perf_counter(), time.process_time()
            step(images)
            wall.append(time.perf_counter() - started)
            used.append(time.process_time() - began)
        rates[batch] = {"wall": batch / statistics.median(wall), "processor": batch / statistics.median(used)}
    print(json.dumps({"images_per_second": rates}))


if __name__ == "__main__":
    main(*sys.argv[1:])
