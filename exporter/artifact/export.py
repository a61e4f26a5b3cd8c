"""The worker job that turns a checkpoint into artifacts on disk."""

from pathlib import Path
from typing import Any

import tensorflow as tf

from exporter.artifact import hub_module, saved_model
from exporter.checkpoint.reader import Checkpoint
from exporter.models.config import TASKS, Format, ModelConfig, Task
from exporter.models.variables import variables
from exporter.processes.run import told

WRITERS: dict[Format, Any] = {"hub": hub_module.Writer, "saved_model_2": saved_model.Writer}


def export(request: dict[str, Any], report: Any) -> dict[str, Any]:
    """Reads the checkpoint once and writes one SavedModel for each of ``request["targets"]``.

    A target has ``task``, ``version``, ``momentum`` and ``folder``. One that cannot be written does not stop the
    others: the result's ``failed`` maps its folder to the error's class and message. For those who want to know how far
    a process came that was killed, ``report`` also gets ``{"read": facts}`` with what else the result has, and
    ``{"writes": folder}`` before each target.
    """
    config = ModelConfig.from_dict(request["config"])
    targets = request["targets"]
    tasks: list[Task] = [task for task in TASKS if any(target["task"] == task for target in targets)]
    # The classifier comes last, so that the variables of a feature vector are a part of those of a classification.
    report("reading the checkpoint")
    checkpoint = Checkpoint(Path(request["prefix"]), config, variables(config, tasks[0]))
    held = checkpoint.tensors()
    facts = _facts(checkpoint)
    report({"read": facts})
    failed: dict[str, tuple[str, str]] = {}
    for task in tasks:
        _write(config, task, held, [target for target in targets if target["task"] == task], failed, report)
    return {**facts, "failed": failed}


def _facts(checkpoint: Checkpoint) -> dict[str, Any]:
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


def _write(
    config: ModelConfig,
    task: Task,
    held: dict[str, tf.Tensor],
    targets: list[dict[str, Any]],
    failed: dict[str, tuple[str, str]],
    report: Any,
) -> None:
    """Writes the versions of one task, with one writer for each format."""
    writers = {format_: WRITERS[format_](config, task, held) for format_ in WRITERS}
    for target in targets:
        version, folder = target["version"], target["folder"]
        # Whose fault the end of the process is must be known before anything tells a user that it is being written.
        report({"writes": folder})
        report(f"writing {task} version {version}")
        try:
            writers[config.versions[version]].write(version, Path(folder), target["momentum"])
        except Exception as error:
            failed[folder] = told(error)
