"""Exports the artifacts of one model: one process writes them all, and another goes on where one was ended."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from exporter.artifact.jobs import ExportRequest, ExportTarget, ReadCheckpoint, WritingTarget, export_job
from exporter.checkpoint.source import Source
from exporter.errors import WorkerError
from exporter.models.config import ModelConfig
from exporter.processes import run as worker
from exporter.progress import Say


@dataclass(frozen=True)
class Exported:
    """What came of an export.

    ``read`` is what was found in the checkpoint; ``failures`` say why artifacts were not written, by their handles.
    ``peak_memory`` is the largest resident set of the process that came to its end, in bytes, 0 where none did.
    """

    read: ReadCheckpoint
    failures: dict[str, str]
    peak_memory: int


class _Progress:
    """How far a process came that exports: what it read, and the folder that it is writing into."""

    def __init__(self) -> None:
        self.read: ReadCheckpoint | None = None
        self.writing: Path | None = None

    def update(self, event: ReadCheckpoint | WritingTarget) -> None:
        if isinstance(event, ReadCheckpoint):
            self.read = event
        else:
            self.writing = event.folder


def export(
    config: ModelConfig, source: Source, targets: Mapping[str, ExportTarget], say: Say, debug: bool, scratch: Path
) -> Exported:
    """Exports artifacts; where the process ends while one is written, a new process writes those that come after it.

    Args:
        targets: by their handles, those of one task after those of another; there is at least one.
        scratch: where temporary files go.

    Raises:
        NasexportError: the checkpoint cannot be exported at all.
    """
    waiting, failures = dict(targets), {}
    while True:
        progress = _Progress()
        request = ExportRequest(config, source.prefix, tuple(waiting.values()))
        try:
            job = export_job(request.specs)
            finished = worker.run(job, request, say, debug, on_event=progress.update, scratch=scratch)
        except WorkerError as error:
            if not progress.writing or not progress.read:
                raise
            handles = list(waiting)
            guilty = next(handle for handle in handles if waiting[handle].folder == progress.writing)
            failures[guilty] = str(error)
            waiting = {handle: waiting[handle] for handle in handles[handles.index(guilty) + 1 :]}
            if not waiting:
                return Exported(progress.read, failures, 0)
        else:
            reasons = {each.folder: each.failure.message for each in finished.result.failed}
            failures |= {
                handle: reasons[target.folder] for handle, target in waiting.items() if target.folder in reasons
            }
            return Exported(finished.result.checkpoint, failures, finished.peak_memory)
