"""The worker job that turns a checkpoint into artifacts on disk."""

import pkgutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import tensorflow as tf

from exporter.checkpoint.reader import Checkpoint
from exporter.models import formats
from exporter.models.config import TASKS, ModelConfig, Task
from exporter.models.formats import Format, FormatSpec
from exporter.models.variables import variables
from exporter.processes.run import told

formats.preload("writer")


class Writer(Protocol):
    """Writes the versions of one task of a network in one format; what they have in common is made once."""

    def write(self, version: int, folder: Path, momentum: float) -> None:
        """Writes an artifact into ``folder``, which must not exist.

        Args:
            momentum: the default decay of the moving averages when training, where the format knows one.
        """


def writer(spec: FormatSpec, config: ModelConfig, task: Task, values: Mapping[str, Any]) -> Writer:
    """A writer of a format; ``values`` are float32 tensors by checkpoint name, those of the task and maybe others."""
    assert spec.writer, f"{spec.name} cannot be written"
    return pkgutil.resolve_name(spec.writer)(config, task, values)


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
    writers: dict[Format, Writer] = {}
    for target in targets:
        version, folder = target["version"], target["folder"]
        # Whose fault the end of the process is must be known before anything tells a user that it is being written.
        report({"writes": folder})
        report(f"writing {task} version {version}")
        try:
            spec = config.format_spec(version)
            if spec.name not in writers:
                writers[spec.name] = writer(spec, config, task, held)
            writers[spec.name].write(version, Path(folder), target["momentum"])
        except Exception as error:
            failed[folder] = told(error)
