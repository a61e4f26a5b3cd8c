"""What a user has to know to feed a model and to read what it gives; formats with a place for it carry it inside."""

from typing import Any

from exporter.models.classes import IMAGENET_CLASSES, class_names
from exporter.models.config import ModelConfig, Task


def usage(config: ModelConfig, task: Task) -> dict[str, Any]:
    """JSON values by name: ``model``, ``task``, ``preprocessing``, and for ImageNet's classes ``labels``, ``wnids``."""
    described: dict[str, Any] = {
        "model": config.name,
        "task": task,
        "preprocessing": {
            "channels": "RGB",
            "range": [0, 1],
            "central_crop": 0.875,
            "resize": "bilinear",
            "size": [config.image_size, config.image_size],
        },
    }
    if task == "classification" and config.num_classes == IMAGENET_CLASSES:
        described["labels"] = [known.name for known in class_names()]
        described["wnids"] = [known.wnid for known in class_names()]
    return described
