"""Loads ``model.onnx`` with ONNX Runtime or OpenVINO alone, and runs it; for Python 3.7 as well.

    python onnx_model.py ARTIFACT FOLDER onnxruntime|openvino

FOLDER holds ``input.npz`` with ``images``, float32 [batch, size, size, 3] in [0, 1]. To ``output.npz`` beside it go
``output`` and ``single`` (of the first image alone); facts go to standard output as JSON.
"""

import json
import os
import sys

import numpy as np


def with_onnxruntime(path):
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    facts = session.get_modelmeta().custom_metadata_map
    return lambda images: session.run(None, {"inputs": images})[0], onnxruntime.__version__, facts


def with_openvino(path):
    import openvino

    core = openvino.Core()
    # By default, processors that can compute in bfloat16.
    compiled = core.compile_model(core.read_model(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda images: compiled({"inputs": images})[0], openvino.__version__, {}


def main(folder, exchange, library):
    path = os.path.join(folder, "model.onnx")
    run, version, facts = {"onnxruntime": with_onnxruntime, "openvino": with_openvino}[library](path)
    with np.load(os.path.join(exchange, "input.npz")) as file:
        images = file["images"]
    np.savez(os.path.join(exchange, "output.npz"), output=run(images), single=run(images[:1]))
    print(json.dumps({"version": version, "properties": sorted(facts), "python": "%d.%d" % sys.version_info[:2]}))
    assert not {"exporter", "tensorflow"} & set(sys.modules)


if __name__ == "__main__":
    main(*sys.argv[1:])
