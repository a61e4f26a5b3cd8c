"""The tasks of one model in a release: exported by one process, verified against one reference."""

import contextlib
import dataclasses
import itertools
import shutil
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from exporter.artifact.jobs import EXPORT, ExportRequest, ExportTarget, ReadCheckpoint, WritingTarget, export_warnings
from exporter.checkpoint.source import Source
from exporter.errors import NasexportError, ReleaseError, WorkerError
from exporter.models.config import TASKS, ModelConfig, largest_task
from exporter.models.formats import FORMATS
from exporter.probe.jobs import PROBE
from exporter.processes import run as worker
from exporter.processes.memory import expected_memory
from exporter.processes.scheduler import Task
from exporter.progress import Listener
from exporter.reference.jobs import REFERENCE
from exporter.release import artifact
from exporter.release.folder import PARTIAL
from exporter.release.plan import Planned, Target
from exporter.settings import Settings
from exporter.verification.verifier import Choices, Verifier


@dataclass(frozen=True)
class Made:
    """What became of one artifact: "kept", "made" or "failed", and then why; ``seconds`` it took to verify and pack."""

    handle: str
    state: str
    reason: str = ""
    seconds: float = 0.0


@dataclass
class Outcome:
    """What a run did.

    ``peaks`` has the largest resident set of the processes for each job of each model, in bytes, by ``(model, job)``.
    """

    made: list[Made] = field(default_factory=list)
    peaks: dict[tuple[str, str], int] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def failed(self) -> list[Made]:
        return [made for made in self.made if made.state == "failed"]

    def to_dict(self) -> dict[str, Any]:
        peaks = [{"model": model, "job": job, "bytes": peak} for (model, job), peak in sorted(self.peaks.items())]
        return {"artifacts": [dataclasses.asdict(made) for made in self.made], "peaks": peaks, "seconds": self.seconds}


class ModelTasks:
    """What is to be made of one model: exported by one process, and verified against one reference."""

    def __init__(
        self,
        config: ModelConfig,
        source: Source,
        todo: Sequence[Planned],
        release: Path,
        settings: Settings,
        outcome: Outcome,
        listener: Listener,
        debug: bool,
    ):
        self.config, self._source, self._todo = config, source, todo
        self._release, self._settings, self._outcome = release, settings, outcome
        self._listener, self._debug = listener, debug
        self._guard = threading.Lock()
        self._partial = release / PARTIAL / config.name
        self._read: ReadCheckpoint | None = None
        self._failures: dict[str, str] = {}
        self._waits_for = 2
        #: By the handle of an artifact, those to be completed once it is.
        self._after: dict[str, list[Planned]] = {}

    def tasks(self, stack: contextlib.ExitStack) -> list[Task]:
        """Export and reference, which bring forth the rest; ``stack`` ends what they need when all is done."""
        self._partial.mkdir(parents=True)
        tasks = {each.target.task for each in self._todo}
        stack.enter_context(worker.shared_import(EXPORT))
        self._verifier = stack.enter_context(
            Verifier(
                self.config,
                self._source,
                largest_task(tasks),
                self._settings,
                Choices(measure=True),
                scratch=self._partial,
                debug=self._debug,
            )
        )
        return [
            Task(expected_memory(EXPORT, self.config), self._export, self._ready, self._all_failed),
            Task(expected_memory(REFERENCE, self.config), self._prepare, self._ready, self._all_failed),
        ]

    def _folder(self, target: Target) -> Path:
        return self._partial / f"{target.task}-{target.version}"

    def _step(self, text: str) -> None:
        with self._guard:
            self._listener.step(text)

    def _export(self) -> None:
        """Exports all targets; where the process ends before it is done, a new one goes on after the guilty target."""
        waiting = list(self._todo)
        while waiting:
            writing: Path | None = None

            def on_event(event: ReadCheckpoint | WritingTarget) -> None:
                nonlocal writing
                if isinstance(event, ReadCheckpoint):
                    self._read = event
                else:
                    writing = event.folder

            try:
                finished = worker.run(
                    EXPORT,
                    self._request(waiting),
                    lambda said: self._step(f"{self.config.name}: {said}"),
                    self._debug,
                    on_event=on_event,
                    scratch=self._partial,
                )
            except WorkerError as error:
                if not writing:
                    raise
                guilty = next(each for each in waiting if self._folder(each.target) == writing)
                self._failures[guilty.target.place.handle] = str(error)
                waiting = waiting[waiting.index(guilty) + 1 :]
                continue
            self._saw_peak(EXPORT.name, finished.peak_memory)
            failed = {each.folder: each.failure for each in finished.result.failed}
            for each in waiting:
                if failure := failed.get(self._folder(each.target)):
                    self._failures[each.target.place.handle] = failure.message
            break
        assert self._read
        for text in export_warnings(self._source, self._read):
            self._listener.warn(text)

    def _request(self, planned: Sequence[Planned]) -> ExportRequest:
        targets = (each.target for each in planned)
        return ExportRequest(
            self.config,
            self._source.prefix,
            tuple(ExportTarget(t.task, t.version, t.momentum, self._folder(t)) for t in targets),
        )

    def _prepare(self) -> None:
        self._verifier.prepare(lambda said: self._step(f"{self.config.name}: {said}"))

    def _ready(self) -> list[Task]:
        """A task for each artifact that may come first, once there are both artifacts and reference."""
        self._waits_for -= 1
        if self._waits_for:
            return []
        for handle, reason in self._failures.items():
            self._outcome.made.append(Made(handle, "failed", reason))
        chains: dict[tuple[str, str], list[Planned]] = {}
        for each in self._todo:
            if each.target.place.handle not in self._failures:
                chains.setdefault((each.target.format, each.target.task), []).append(each)
        # What they have in common is verified once: versions of one task, and with some formats both tasks.
        pairs = [pair for chain in chains.values() for pair in itertools.pairwise(chain)]
        first = {key: chain[0] for key, chain in chains.items()}
        for name in [name for name, spec in FORMATS.items() if spec.shares_between_tasks]:
            of_tasks = [(name, task) for task in TASKS if (name, task) in first]
            pairs += [(first[of_tasks[0]], first.pop(key)) for key in of_tasks[1:]]
        for before, after in pairs:
            self._after.setdefault(before.target.place.handle, []).append(after)
        return [self._completion(each) for each in first.values()]

    def _all_failed(self, error: NasexportError) -> tuple[()]:
        if self._waits_for > 0:
            self._waits_for = -1
            self._outcome.made += [Made(each.target.place.handle, "failed", str(error)) for each in self._todo]
        return ()

    def _completion(self, each: Planned) -> Task:
        """The task of an artifact, which brings forth those that come after it."""
        handle = each.target.place.handle
        began = 0.0

        def run() -> None:
            nonlocal began
            began = time.monotonic()
            folder = self._folder(each.target)
            say = lambda said: self._step(f"{handle}: {said}")  # noqa: E731
            assert self._read
            try:
                artifact.complete(each, folder, self._release, self._verifier, self._source, self._read, say)
            except OSError as error:
                raise ReleaseError(f"cannot write {error.filename or folder}: {error.strerror}") from error
            finally:
                shutil.rmtree(folder, ignore_errors=True)

        def done(state: str, reason: str = "") -> list[Task]:
            self._outcome.made.append(Made(handle, state, reason, time.monotonic() - began))
            for job, peak in self._verifier.peaks.items():
                self._saw_peak(job, peak)
            return [self._completion(following) for following in self._after.get(handle, ())]

        memory = expected_memory(PROBE, self.config)
        return Task(memory, run, lambda: done("made"), lambda error: done("failed", str(error)))

    def _saw_peak(self, job: str, peak: int) -> None:
        key = (self.config.name, job)
        self._outcome.peaks[key] = max(peak, self._outcome.peaks.get(key, 0))
