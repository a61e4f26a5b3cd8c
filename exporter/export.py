"""The worker job that turns a checkpoint into artifacts on disk."""

from pathlib import Path
from typing import Any

import tensorflow as tf

from exporter import hub_module, saved_model
from exporter.checkpoint import Checkpoint
from exporter.config import Format, ModelConfig, Task
from exporter.layout import variables
from exporter.worker import Say

WRITERS: dict[Format, Any] = {"hub": hub_module.write, "saved_model_2": saved_model.write}


def export(request: dict[str, Any], report: Say) -> dict[str, Any]:
    """Reads the checkpoint once and writes one SavedModel for each of ``request["folders"]`` (task to path)."""
    config = ModelConfig.from_dict(request["config"])
    folders = request["folders"]
    # The classifier comes last, so that the variables of a feature vector are a part of those of a classification.
    largest: Task = "classification" if "classification" in folders else "feature_vector"
    report("reading the checkpoint")
    checkpoint = Checkpoint(Path(request["prefix"]), config, variables(config, largest))
    held = {
        spec.name: tf.Variable(value, trainable=spec.trainable, name=spec.name) for spec, value in checkpoint.values()
    }
    for task, folder in folders.items():
        report(f"writing {task}")
        WRITERS[config.versions[request["version"]]](
            config, task, request["version"], held, Path(folder), request["momentum"]
        )
    mapping = checkpoint.mapping
    return {
        "layout": mapping.layout,
        "averages": mapping.averages,
        "averaged_statistics": mapping.averaged_statistics,
        "unaveraged": mapping.unaveraged,
        "left_out": mapping.left_out,
        "unexpected": list(mapping.unexpected),
        "synthetic": checkpoint.synthetic,
        "tensorflow": tf.__version__,
    }
