"""The worker job that turns a checkpoint into artifacts on disk."""

import pkgutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from exporter.artifact.jobs import (
    ExportRequest,
    ExportResult,
    ExportTarget,
    FailedTarget,
    ReadCheckpoint,
    WritingTarget,
)
from exporter.artifact.options import ArtifactOptions
from exporter.artifact.reading import facts
from exporter.checkpoint.reader import Checkpoint
from exporter.models.config import TASKS, ModelConfig, Task
from exporter.models.formats import Format, FormatSpec, version_text
from exporter.models.variables import variables
from exporter.processes.worker import serialize_error
from exporter.progress import Say


class Writer(Protocol):
    """Writes the versions of one task of a network in one format; what they have in common is made once."""

    def write(self, version: Any, folder: Path, options: ArtifactOptions) -> None:
        """Writes an artifact into ``folder``, which must not exist.

        Args:
            version: one of the format: a number, or the format's name.
            options: those that the format has are heeded.
        """


@runtime_checkable
class WriterOfTasks(Writer, Protocol):
    """One that has something in common with the writer of another task."""

    def for_task(self, task: Task) -> Writer:
        """A writer of that task of the same network."""


def writer(spec: FormatSpec, config: ModelConfig, task: Task, values: Mapping[str, Any]) -> Writer:
    """A writer of a format; ``values`` are float32 by checkpoint name, those of the task and maybe others."""
    assert spec.writer, f"{spec.name} cannot be written"
    return pkgutil.resolve_name(spec.writer)(config, task, values)


Send = Callable[[ReadCheckpoint | WritingTarget], None]


def export(request: ExportRequest, say: Say, send: Send) -> ExportResult:
    """The jobs that `exporter.artifact.jobs.export_job` gives: reads the checkpoint once, and writes each target.

    One that cannot be written does not stop the others.
    """
    config, targets = request.config, request.targets
    tasks: list[Task] = [task for task in TASKS if any(target.task == task for target in targets)]
    # The classifier comes last, so that the variables of a feature vector are a part of those of a classification.
    say("reading the checkpoint")
    checkpoint = Checkpoint(request.prefix, config, variables(config, request.read_for or tasks[0]))
    with_tensorflow = any(config.format_spec(target.version).writes_with_tensorflow for target in targets)
    held: Mapping[str, Any] = checkpoint.tensors() if with_tensorflow else checkpoint.arrays()
    read = facts(checkpoint)
    send(read)
    failed: list[FailedTarget] = []
    writers: dict[Format, Writer] = {}
    for task in tasks:
        failed += _write(config, task, held, [target for target in targets if target.task == task], writers, say, send)
    return ExportResult(read, tuple(failed))


def _write(
    config: ModelConfig,
    task: Task,
    held: Mapping[str, Any],
    targets: Sequence[ExportTarget],
    last: dict[Format, Writer],
    say: Say,
    send: Send,
) -> Iterator[FailedTarget]:
    """Writes the versions of one task, with one writer for each format; those that failed.

    Args:
        last: the last writer of each format, of this task or of the one before.
    """
    writers: dict[Format, Writer] = {}
    for target in targets:
        # Whose fault the end of the process is must be known before anything tells a user that it is being written.
        send(WritingTarget(target.folder))
        say(f"writing {task} {version_text(target.version)}")
        try:
            spec = config.format_spec(target.version)
            if spec.name not in writers:
                before = last.get(spec.name)
                new = before.for_task(task) if isinstance(before, WriterOfTasks) else writer(spec, config, task, held)
                writers[spec.name] = last[spec.name] = new
            writers[spec.name].write(target.version, target.folder, target.options)
        except Exception as error:
            yield FailedTarget(target.folder, serialize_error(error))
