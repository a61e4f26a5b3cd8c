"""Loads a PyTorch program for predictions."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from exporter.artifact.pytorch_file import PytorchProgram
from exporter.errors import ArtifactError, reason
from exporter.evaluation.loaded import Loaded
from exporter.evaluation.threads import threads
from exporter.probe.pytorch import load as load_module
from exporter.probe.pytorch import run


def load(path: Path) -> Loaded:
    """The function of a PyTorch program, on the processor.

    Raises:
        ArtifactError: it is damaged, does not load, or is none of images.
    """
    inputs = PytorchProgram(path).inputs()
    if len(inputs) != 1:
        raise ArtifactError(f"{path} has the inputs {', '.join(inputs) or 'none'}, expected one")
    try:
        module = load_module(path)
    except Exception as error:  # PyTorch's are of many classes
        raise ArtifactError(f"{path} does not load with PyTorch: {reason(error)}") from error

    if threads():
        torch.set_num_threads(threads())

    def call(images: Any) -> Any:
        try:
            return run(module, np.asarray(images))
        except Exception as error:
            raise ValueError(reason(error)) from error

    (facts,) = inputs.values()
    size = facts.shape[1:3] if facts.shape and len(facts.shape) == 4 else (None, None)
    return Loaded(call, (size[0], size[1]) if size[0] and size[1] else None)
