"""The weights of a network for timm: ``model.safetensors`` and the ``config.json`` that tells timm what they are.

Both are written with NumPy alone. The folder is loaded with ``timm.create_model("local-dir:FOLDER", pretrained=True)``,
or after an upload with ``"hf-hub:…"``. Images are normalized as timm does it, with a mean and a deviation of 0.5: that
is the original's ``2 * image - 1``.

The file has all rows of the classifier. timm leaves out that of the class "background" while it loads, as
``label_offset`` tells it; ``num_classes=1001, pretrained_cfg_overlay=dict(num_classes=1001, label_offset=0)`` keeps it.

timm's networks fix the momentum of their batch norms (0.1, which is a decay of 0.9), and have no drop path.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from exporter.artifact.options import ArtifactOptions
from exporter.artifact.timm_names import (
    CLASSIFIER,
    TimmNetwork,
    model_arguments,
    network_for,
    parameter_name,
)
from exporter.artifact.torch_axes import axes
from exporter.models.classes import class_names, first_class
from exporter.models.config import ModelConfig, Task
from exporter.models.formats import TIMM_FILES
from exporter.models.preprocessing import CENTRAL_FRACTION, INTERPOLATION
from exporter.models.variables import features, variables


class Writer:
    """Writes the weights of one task of a network.

    Args:
        values: float32 values by checkpoint name, those of the task and maybe others.

    Raises:
        ConfigError: timm has no such network.
    """

    def __init__(self, config: ModelConfig, task: Task, values: Mapping[str, Any]):
        self._network = network_for(config)
        self._config = config
        self._task = task
        self._values = values

    def write(self, version: object, folder: Path, options: ArtifactOptions) -> None:
        """Writes the two files into ``folder``, which must not exist; the same values give the same bytes."""
        folder.mkdir()
        weights, config = TIMM_FILES
        state = state_dict(self._config, self._task, self._values)
        (folder / weights).write_bytes(save(state, metadata={"format": "pt"}))
        text = json.dumps(describe(self._config, self._task), indent=2, ensure_ascii=False) + "\n"
        (folder / config).write_text(text, encoding="utf-8")


def state_dict(config: ModelConfig, task: Task, values: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """All that timm's network has in its ``state_dict()``, by its names and in its order of axes.

    Every batch norm also counts the batches it was trained with, an int64 that begins at zero; with a momentum that is
    a number it decides nothing.

    Raises:
        ConfigError: timm has no such network.
        KeyError: ``values`` lacks a variable of the network.
    """
    network = network_for(config)
    found: dict[str, NDArray[Any]] = {}
    for spec in variables(config, task):
        name, value = parameter_name(spec.name, network), np.asarray(values[spec.name])
        order = axes(spec.name)
        found[name] = np.ascontiguousarray(value.transpose(order) if order else value)
        if name.endswith(".running_var"):
            found[name.replace(".running_var", ".num_batches_tracked")] = np.zeros((), np.int64)
    return found


def describe(config: ModelConfig, task: Task) -> dict[str, Any]:
    """What ``config.json`` says: the architecture, the classes, and how images are made ready (as TF-Slim does)."""
    network = network_for(config)
    offset = first_class(config.num_classes) if task == "classification" else 0
    classes = config.num_classes - offset if task == "classification" else 0
    described: dict[str, Any] = {
        "architecture": network.architecture,
        "num_classes": classes,
        "num_features": features(config),
        "global_pool": "avg",
    }
    if arguments := model_arguments(config):
        described["model_args"] = arguments
    if offset:
        # As in timm's own files for ImageNet: a class is named by its wnid, and described by words.
        known = class_names()[offset:]
        described["label_names"] = [name.wnid for name in known]
        described["label_descriptions"] = {name.wnid: name.name for name in known}
    described["pretrained_cfg"] = _pretrained(config, network, classes, offset)
    return described


def _pretrained(config: ModelConfig, network: TimmNetwork, classes: int, offset: int) -> dict[str, Any]:
    pooled = (config.image_size - 3) // 2 + 1
    for _ in range(2 + len(config.reductions)):
        pooled = -(-pooled // 2)
    return {
        "input_size": [3, config.image_size, config.image_size],
        "fixed_input_size": False,
        "interpolation": INTERPOLATION,
        "crop_pct": CENTRAL_FRACTION,
        "crop_mode": "center",
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.5, 0.5],
        "num_classes": classes,
        **({"label_offset": offset} if offset else {}),
        "pool_size": [pooled, pooled],
        "first_conv": f"{network.stem}.conv",
        "classifier": CLASSIFIER,
    }
