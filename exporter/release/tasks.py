"""The tasks of one model in a release: exported by one process, verified against one reference."""

import contextlib
import dataclasses
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from exporter.artifact.jobs import EXPORT, ExportTarget, export_warnings
from exporter.checkpoint.source import Source
from exporter.errors import NasexportError, ReleaseError
from exporter.models.config import ModelConfig, largest_task
from exporter.probe.jobs import PROBE
from exporter.processes import run
from exporter.processes.memory import expected_memory
from exporter.processes.scheduler import ScheduledTask
from exporter.progress import Listener
from exporter.reference.jobs import REFERENCE
from exporter.release import artifact
from exporter.release.chains import chains
from exporter.release.exports import Exported, export
from exporter.release.folder import PARTIAL
from exporter.release.plan import Planned, Target
from exporter.settings import Settings
from exporter.verification.options import VerificationOptions
from exporter.verification.verifier import Verifier


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


class _Preparation:
    """What must be done before the first artifact of a model can be verified: its export, and its reference."""

    def __init__(self) -> None:
        self._waiting = {EXPORT.name, REFERENCE.name}
        self._failed = False

    def finish(self, job: str) -> bool:
        """Notes that one of the two is done; whether both are now."""
        self._waiting.discard(job)
        return not self._waiting

    def fail(self) -> bool:
        """Notes that one of the two failed, and will never be done; whether it is the first that did."""
        first, self._failed = not self._failed, True
        return first


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
        self._preparation = _Preparation()
        self._exported: Exported | None = None
        #: By the handle of an artifact, those to be completed once it is.
        self._following: dict[str, list[Planned]] = {}

    def tasks(self, stack: contextlib.ExitStack) -> list[ScheduledTask]:
        """Export and reference, which bring forth the rest; ``stack`` ends what they need when all is done."""
        self._partial.mkdir(parents=True)
        tasks = {each.target.task for each in self._todo}
        stack.enter_context(run.shared_import(EXPORT))
        self._verifier = stack.enter_context(
            Verifier(
                self.config,
                self._source,
                largest_task(tasks),
                self._settings,
                VerificationOptions(measure=True),
                scratch=self._partial,
                debug=self._debug,
            )
        )
        return [self._prepared_by(EXPORT, self._export), self._prepared_by(REFERENCE, self._prepare)]

    def _prepared_by(self, job: run.AnyJob, do: Callable[[], None]) -> ScheduledTask:
        memory = expected_memory(job, self.config)
        return ScheduledTask(
            memory, do, lambda: self._completions(self._preparation.finish(job.name)), self._all_failed
        )

    def _folder(self, target: Target) -> Path:
        return self._partial / f"{target.task}-{target.version}"

    def _step(self, text: str) -> None:
        with self._guard:
            self._listener.step(text)

    def _say(self, text: str) -> None:
        self._step(f"{self.config.name}: {text}")

    def _export(self) -> None:
        targets = {
            each.place.handle: ExportTarget(each.task, each.version, each.options, self._folder(each))
            for each in (planned.target for planned in self._todo)
        }
        self._exported = export(self.config, self._source, targets, self._say, self._debug, self._partial)
        if peak := self._exported.peak_memory:
            self._keep_peak(EXPORT.name, peak)
        for text in export_warnings(self._source, self._exported.read):
            self._listener.warn(text)

    def _prepare(self) -> None:
        self._verifier.prepare(self._say)

    def _completions(self, prepared: bool) -> list[ScheduledTask]:
        """A task for each artifact that may come first, once there are both artifacts and reference."""
        if not prepared:
            return []
        assert self._exported
        failures = self._exported.failures
        self._outcome.made += [Made(handle, "failed", reason) for handle, reason in failures.items()]
        found = chains([each for each in self._todo if each.target.place.handle not in failures])
        self._following = found.following
        return [self._completion(each) for each in found.first]

    def _all_failed(self, error: NasexportError) -> tuple[()]:
        if self._preparation.fail():
            self._outcome.made += [Made(each.target.place.handle, "failed", str(error)) for each in self._todo]
        return ()

    def _completion(self, each: Planned) -> ScheduledTask:
        """The task of an artifact, which brings forth those that come after it."""
        handle = each.target.place.handle
        began = 0.0

        def complete() -> None:
            nonlocal began
            began = time.monotonic()
            folder = self._folder(each.target)
            say = lambda said: self._step(f"{handle}: {said}")  # noqa: E731
            assert self._exported
            try:
                artifact.complete(each, folder, self._release, self._verifier, self._source, self._exported.read, say)
            except OSError as error:
                raise ReleaseError(f"cannot write {error.filename or folder}: {error.strerror}") from error
            finally:
                shutil.rmtree(folder, ignore_errors=True)

        def done(state: str, reason: str = "") -> list[ScheduledTask]:
            self._outcome.made.append(Made(handle, state, reason, time.monotonic() - began))
            for job, peak in self._verifier.peaks.items():
                self._keep_peak(job, peak)
            return [self._completion(following) for following in self._following.get(handle, ())]

        memory = expected_memory(PROBE, self.config)
        return ScheduledTask(memory, complete, lambda: done("made"), lambda error: done("failed", str(error)))

    def _keep_peak(self, job: str, peak: int) -> None:
        key = (self.config.name, job)
        self._outcome.peaks[key] = max(peak, self._outcome.peaks.get(key, 0))
