"""Loads an ONNX model for predictions."""

from pathlib import Path
from typing import Any

import numpy as np

from exporter.artifact import onnx_file
from exporter.errors import ArtifactError, reason
from exporter.evaluation.loaded import Loaded
from exporter.evaluation.threads import threads
from exporter.models.formats import ONNX_FILE
from exporter.models.signatures import SERVING_OUTPUTS
from exporter.probe.onnx import session


def load(path: Path) -> Loaded:
    """The function of an ONNX model, run by ONNX Runtime on the processor.

    Raises:
        ArtifactError: it is damaged, does not load, or is none of images.
    """
    model = onnx_file.read(path)
    try:
        loaded = session(path / ONNX_FILE, threads())
    except Exception as error:  # ONNX Runtime's have no class in common
        raise ArtifactError(f"{path} does not load with ONNX Runtime: {reason(error)}") from error
    inputs = onnx_file.inputs(model)
    outputs = [output.name for output in loaded.get_outputs()]
    main = next((name for name in SERVING_OUTPUTS.values() if name in outputs), outputs[0])
    if len(inputs) != 1:
        raise ArtifactError(f"{path} has the inputs {', '.join(inputs) or 'none'}, expected one")
    ((name, facts),) = inputs.items()

    def call(images: Any) -> Any:
        try:
            return loaded.run([main], {name: np.asarray(images)})[0]
        except Exception as error:
            raise ValueError(reason(error)) from error

    size = facts.shape[1:3] if facts.shape and len(facts.shape) == 4 else (None, None)
    return Loaded(call, (size[0], size[1]) if size[0] and size[1] else None)
