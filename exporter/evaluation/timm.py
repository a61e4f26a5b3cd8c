"""Loads weights for timm for predictions."""

from pathlib import Path
from typing import Any

import numpy as np

from exporter.artifact.timm_file import TimmFolder
from exporter.errors import ArtifactError, reason
from exporter.evaluation.loaded_model import Loaded
from exporter.probe.timm import run, whole_model


def load(path: Path) -> Loaded:
    """The function of timm's network with all rows of its classifier and its average pools corrected.

    Raises:
        ArtifactError: it is damaged, timm does not load it, or it has no classifier.
    """
    folder = TimmFolder(path)
    if "final_layer/FC/biases" not in folder.stored:
        raise ArtifactError(f"{path} has no classifier: expected the weights of a classification")
    try:
        model = whole_model(path, folder)
    except ArtifactError:
        raise
    except Exception as error:  # timm's are of many classes
        raise ArtifactError(f"{path} does not load with timm: {reason(error)}") from error

    def call(images: Any) -> Any:
        try:
            return run(model, np.asarray(images))
        except Exception as error:
            raise ValueError(reason(error)) from error

    size = (folder.described.get("pretrained_cfg") or {}).get("input_size") or (3, None, None)
    return Loaded(call, (size[1], size[2]) if size[1] and size[2] else None)
