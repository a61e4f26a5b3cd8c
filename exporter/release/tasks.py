"""The tasks of one model in a release: exported by one process, verified against one reference."""

import contextlib
import dataclasses
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from exporter.artifact.jobs import EXPORT, ExportTarget, expected_export, export_warnings
from exporter.checkpoint.source import Source
from exporter.errors import NasexportError, ReleaseError
from exporter.models.config import ModelConfig, Task, largest_task
from exporter.models.formats import FORMATS, FormatSpec
from exporter.processes import run
from exporter.progress import Listener
from exporter.release import artifact
from exporter.release.exports import Exported, export
from exporter.release.folder import PARTIAL
from exporter.release.plan import Planned, Target
from exporter.settings import Settings
from exporter.verification.options import VerificationOptions
from exporter.verification.pipeline import Pipeline
from exporter.verification.prober import Probed
from exporter.verification.results import Check, Expected
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


class ModelTasks(Pipeline[str]):
    """The artifacts of one model by their handles; one that fails does not keep the others from being made."""

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
        export = expected_export([FORMATS[each.target.format] for each in todo])
        super().__init__(config, {config.name: export}, needs_reference=True)
        self._source, self._todo = source, {each.target.place.handle: each for each in todo}
        self._release, self._settings, self._outcome = release, settings, outcome
        self._listener, self._debug = listener, debug
        self._partial = release / PARTIAL / config.name
        self._is_unprepared = False
        self._exported: Exported | None = None
        self._seconds: dict[str, float] = {}

    def open(self, stack: contextlib.ExitStack) -> None:
        """Makes what its steps need; ``stack`` ends it when all is done."""
        self._partial.mkdir(parents=True)
        tasks = {each.target.task for each in self._todo.values()}
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

    def _folder(self, target: Target) -> Path:
        return self._partial / f"{target.task}-{target.version}"

    def export(self, name: str) -> None:
        targets = {
            handle: ExportTarget(each.task, each.version, each.options, self._folder(each))
            for handle, each in ((handle, planned.target) for handle, planned in self._todo.items())
        }
        with self._listener.job(self.config.name) as say:
            self._exported = export(self.config, self._source, targets, say, self._debug, self._partial)
        if peak := self._exported.peak_memory:
            self._keep_peak(EXPORT.name, peak)
        for text in export_warnings(self._source, self._exported.read):
            self._listener.warn(text)

    def prepare(self) -> None:
        with self._listener.job(self.config.name) as say:
            self._verifier.prepare(say)

    def unprepared(self, job: run.AnyJob, error: NasexportError) -> None:
        if not self._is_unprepared:
            self._outcome.made += [Made(handle, "failed", str(error)) for handle in self._todo]
        self._is_unprepared = True

    def planned(self, name: str) -> dict[str, tuple[FormatSpec, Task]]:
        targets = {handle: each.target for handle, each in self._todo.items()}
        return {handle: (FORMATS[each.format], each.task) for handle, each in targets.items()}

    def exported(self, name: str) -> dict[str, tuple[FormatSpec, Task]]:
        assert self._exported
        if self._is_unprepared:
            return {}
        failures = self._exported.failures
        self._outcome.made += [Made(handle, "failed", reason) for handle, reason in failures.items()]
        return {handle: specs for handle, specs in self.planned(name).items() if handle not in failures}

    def probe(self, key: str) -> Probed | Check:
        target = self._todo[key].target
        with self._timed(key), self._listener.job(target.name) as say:
            return self._verifier.probe(self._folder(target), _expected(target), say)

    def complete(self, key: str, probed: Probed | Check) -> None:
        each = self._todo[key]
        folder = self._folder(each.target)
        assert self._exported
        read = self._exported.read
        try:
            with self._timed(key), self._listener.job(each.target.name) as say:
                checked = self._verifier.judge(folder, _expected(each.target), probed, say)
                artifact.complete(each, folder, self._release, checked, self._source, read, say)
        except OSError as error:
            raise ReleaseError(f"cannot write {error.filename or folder}: {error.strerror}") from error
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def forget(self, spec: FormatSpec) -> None:
        self._verifier.forget(spec)

    def close(self) -> None:
        self._verifier.close()

    @contextlib.contextmanager
    def _timed(self, key: str) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            self._seconds[key] = self._seconds.get(key, 0) + time.monotonic() - began

    def completed(self, key: str, error: NasexportError | None) -> None:
        self._outcome.made.append(Made(key, "failed" if error else "made", str(error or ""), self._seconds[key]))
        for job, peak in self._verifier.peaks.items():
            self._keep_peak(job, peak)

    def _keep_peak(self, job: str, peak: int) -> None:
        key = (self.config.name, job)
        self._outcome.peaks[key] = max(peak, self._outcome.peaks.get(key, 0))


def _expected(target: Target) -> Expected:
    return Expected(target.config, target.task, target.version, target.options)
