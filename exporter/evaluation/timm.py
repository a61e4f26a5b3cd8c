"""Loads weights for timm for predictions."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from exporter.artifact.timm_file import TimmFolder
from exporter.errors import ArtifactError, reason
from exporter.evaluation.loaded import Loaded
from exporter.evaluation.threads import threads
from exporter.probe.timm import correct_average_pools, created, run, whole_model


def load(path: Path) -> Loaded:
    """The function of timm's network with its average pools corrected, and all rows of its classifier if it has one.

    Raises:
        ArtifactError: it is damaged, or timm does not load it.
    """
    folder = TimmFolder(path)
    try:
        if "final_layer/FC/biases" in folder.stored:
            model = whole_model(path, folder)
        else:
            model = created(path)
            correct_average_pools(model)
    except ArtifactError:
        raise
    except Exception as error:  # timm's are of many classes
        raise ArtifactError(f"{path} does not load with timm: {reason(error)}") from error

    if threads():
        torch.set_num_threads(threads())

    def call(images: Any) -> Any:
        try:
            return run(model, np.asarray(images))
        except Exception as error:
            raise ValueError(reason(error)) from error

    size = (folder.described.get("pretrained_cfg") or {}).get("input_size") or (3, None, None)
    return Loaded(call, (size[1], size[2]) if size[1] and size[2] else None)
