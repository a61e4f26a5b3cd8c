"""The head of a model page in Markdown: what Hugging Face reads of a card, as YAML between two lines of dashes.

Its fields are those of https://huggingface.co/docs/hub/model-cards, and none of them comes from outside.
"""

from typing import Any

import yaml

from exporter.models.classes import IMAGENET_CLASSES
from exporter.models.config import ModelConfig, Task
from exporter.models.formats import FormatSpec
from exporter.release.families import FAMILY_TEXTS

_PIPELINES: dict[Task, str] = {"classification": "image-classification", "feature_vector": "image-feature-extraction"}


def front_matter(config: ModelConfig, task: Task, spec: FormatSpec, *, synthetic: bool) -> str:
    """The lines, dashes included. Data set, metrics and licence are there for the published weights alone."""
    published = config.checkpoint is not None and not synthetic
    tags = [config.family, config.name.replace("_", "-"), spec.library, *(["synthetic-weights"] if synthetic else [])]
    fields: dict[str, Any] = {
        "license": FAMILY_TEXTS[config.family].license.name.lower() if published else "unknown",
        "library_name": spec.library,
        "pipeline_tag": _PIPELINES[task],
        "tags": list(dict.fromkeys(tags)),
    }
    if published and config.num_classes == IMAGENET_CLASSES:
        fields["datasets"] = ["imagenet-1k"]
    if published and task == "classification" and config.accuracy:
        fields["metrics"] = ["accuracy"]
    return f"---\n{yaml.safe_dump(fields, sort_keys=False)}---\n"
