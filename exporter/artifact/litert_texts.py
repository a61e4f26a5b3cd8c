"""What lies beside a LiteRT model, for which the format has no place."""

import json

from exporter.models.config import ModelConfig, Task
from exporter.models.formats import LITERT_MORE_FILES
from exporter.models.preprocessing import labels, preprocessing


def texts(config: ModelConfig, task: Task) -> dict[str, str]:
    """The contents by the names of the files: the steps of the preprocessing, and for ImageNet a name in a line."""
    said, names = LITERT_MORE_FILES
    found = {said: json.dumps(preprocessing(config), indent=2) + "\n"}
    if known := labels(config, task):
        found[names] = "".join(f"{label}\n" for label in known[0])
    return found
