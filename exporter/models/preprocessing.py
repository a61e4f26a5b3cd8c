"""What has to be done to an image before a network sees it, and what its outputs are called, as data.

Artifacts of formats with a place for it carry these facts. The steps are those of TF-Slim's evaluation,
``inception_preprocessing.preprocess_for_eval``, on which the published accuracy was measured.
"""

import json
from typing import Any

from exporter.models.classes import IMAGENET_CLASSES, class_names
from exporter.models.config import ModelConfig, Task

#: The fraction of height and width that the central crop keeps.
CENTRAL_FRACTION = 0.875
INTERPOLATION = "bilinear"


def preprocessing(config: ModelConfig) -> dict[str, Any]:
    """The steps in their order, as JSON values: sizes in pixels, the range of values that the network takes."""
    return {
        "channels": "RGB",
        "range": [0, 1],
        "central_crop": CENTRAL_FRACTION,
        "resize": INTERPOLATION,
        "size": [config.image_size, config.image_size],
    }


def labels(config: ModelConfig, task: Task) -> tuple[list[str], list[str]] | None:
    """The names and the wnids of the classes in the order of the logits; None for other classes than ImageNet's, and
    where there are no logits.
    """
    if task != "classification" or config.num_classes != IMAGENET_CLASSES:
        return None
    known = class_names()
    return [each.name for each in known], [each.wnid for each in known]


def usage(config: ModelConfig, task: Task) -> dict[str, Any]:
    """JSON values by name: ``model``, ``task``, ``preprocessing``, and for ImageNet's classes ``labels``, ``wnids``."""
    facts: dict[str, Any] = {"model": config.name, "task": task, "preprocessing": preprocessing(config)}
    if known := labels(config, task):
        facts |= dict(zip(("labels", "wnids"), known, strict=True))
    return facts


def usage_texts(config: ModelConfig, task: Task) -> dict[str, str]:
    """The same for places that hold text alone: what is no text is JSON."""
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in usage(config, task).items()}
