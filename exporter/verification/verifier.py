"""Verifies artifacts of one checkpoint with one reference, each process on its own."""

import contextlib
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from exporter.artifact import folder as artifact
from exporter.checkpoint.source import Source
from exporter.errors import ArtifactError, ConfigError, WorkerError
from exporter.files.arrays import ArrayStore
from exporter.models.config import ModelConfig, Task
from exporter.models.variables import variables
from exporter.probe.jobs import PROBE, PreviousProbe, ProbeRequest, ProbeSummary
from exporter.probe.result import ProbeResult
from exporter.processes import run
from exporter.processes.job import Job, NoEvent, Request, Result
from exporter.progress import Say
from exporter.reference import recorded as references
from exporter.reference.jobs import (
    INDEPENDENT,
    KERAS_NETWORKS,
    REFERENCE,
    IndependentRequest,
    Kind,
    ReferenceRequest,
)
from exporter.reference.result import Reference, read
from exporter.settings import Settings
from exporter.verification import compare
from exporter.verification.results import Check, Expected, Report


@dataclass(frozen=True)
class Choices:
    """How to verify.

    ``model`` and ``version`` say what an artifact is that nasexport did not write. ``against`` names other
    implementations to compare with, too. ``reference`` is a recorded one to use. ``time_limit`` is how long each
    process may take, in seconds. ``measure`` is whether a `Report` is to have ``measured``, which reads all end points
    once more.
    """

    model: ModelConfig | None = None
    version: int | None = None
    against: tuple[Kind, ...] = ()
    reference: Path | None = None
    time_limit: float = 1800.0
    measure: bool = False


@dataclass(frozen=True)
class _Probed:
    """What an artifact does: where the arrays of `exporter.probe.saved_model` are, and its result; ``content`` is its
    files'.
    """

    content: str
    output: Path
    result: ProbeSummary


class Verifier:
    """Verifies artifacts of one checkpoint, with one reference.

    Use it as a context manager: what is computed lives in a temporary folder, and its processes share one import.
    """

    def __init__(
        self,
        config: ModelConfig,
        source: Source,
        task: Task,
        settings: Settings = Settings(),
        choices: Choices = Choices(),
        *,
        scratch: Path | None = None,
        debug: bool = False,
    ):
        """A verifier that writes what is computed below ``scratch``, by default where temporary files go.

        Args:
            task: "classification" where any artifact to come is one.
        """
        self._config, self._source, self._task, self._debug = config, source, task, debug
        self._settings, self._choices = settings, choices
        self._reference: Reference | None = None
        self._others: dict[str, Reference] = {}
        self._notes: tuple[str, ...] = ()
        self._folder = tempfile.TemporaryDirectory(prefix="nasexport-", dir=scratch)
        self._held = contextlib.ExitStack()
        self._held.callback(self._folder.cleanup)
        self._peaks: dict[str, int] = {}
        #: The last artifact of each task and version.
        self._kept: dict[tuple[Task, int], _Probed] = {}

    def __enter__(self) -> "Verifier":
        self._held.enter_context(run.shared_import(REFERENCE, PROBE))
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    @property
    def peaks(self) -> dict[str, int]:
        """The largest resident set that each job's processes had so far, in bytes."""
        return dict(self._peaks)

    def prepare(self, report: Say = lambda _: None) -> None:
        """Gets the reference: a recorded one, one computed from the checkpoint, or both where the first is not whole.

        Raises:
            ArtifactError: the recorded one is damaged, or another model's.
            ConfigError: another implementation was asked for that does not exist.
            CheckpointError: the checkpoint is not that of the model.
        """
        if self._reference is not None:
            return
        recorded = Reference()
        if path := self._choices.reference or references.find(self._source.files, self._settings):
            recorded, facts = references.load(path, self._config.name)
            if facts.get("files") != self._source.files:
                raise ArtifactError(f"{path} was recorded from other files than those of the checkpoint")
            self._notes = (f"compared with a recorded reference ({facts['recorded_with']})",)
        if recorded.is_whole:
            self._reference = recorded
        else:
            computed = self._computed(report)
            # What the original network gave counts for more than what ours gives.
            self._reference = computed.preceded_by(recorded)
        for kind in self._choices.against:
            if kind == "keras" and self._config.name not in KERAS_NETWORKS:
                raise ConfigError(f"Keras Applications has no {self._config.name}: compare it with --against numpy")
            self._others[kind] = self._independent(kind, report)

    def verify(self, path: Path, expected: Expected, report: Say = lambda _: None) -> Report:
        """Checks the artifact in ``path``; failures are collected in the report, a crash of its process is one of them.

        After `prepare`, several threads may verify at the same time, though not artifacts of one task and version.
        What was verified before spares what comes after it some of the work: see `exporter.probe.reuse`.

        Raises:
            NasexportError: as `prepare` does.
        """
        self.prepare(report)
        assert self._reference is not None
        try:
            probed = self._probed(path, expected, report)
        except (ArtifactError, WorkerError) as error:
            return Report(str(path), (Check("loads and runs", float("nan"), 0, str(error)),), self._notes)
        result, reference = probed.result, self._reference
        names = [spec.name for spec in variables(expected.config, expected.task)]
        found = ProbeResult(ArrayStore(probed.output)).matched_to(names)
        checks = compare.compare(expected, reference, found, list(result.problems))
        for kind, independent in self._others.items():
            checks += compare.against(kind, expected, independent, found)
        notes = self._notes
        if found.prefix:
            notes = (*notes, f"its variables' names begin with {found.prefix!r}")
        measured = None
        if self._choices.measure:
            measured = compare.measured(expected, reference, found)
            measured |= {"tensorflow": result.tensorflow, "source": self._source.provenance()}
        return Report(str(path), tuple(checks), notes, measured)

    def _probed(self, path: Path, expected: Expected, report: Say) -> "_Probed":
        """What the artifact does; equal files, and equal networks, run once where they follow each other."""
        content, previous = artifact.content(path), list(self._kept.values())
        if same := next((probed for probed in previous if probed.content == content), None):
            report("loading the artifact")
            report("not running the artifact: the same files ran before")
            return same
        output = Path(tempfile.mkdtemp(dir=self._folder.name)) / "found"
        shared = ((probed.output, probed.result.network) for probed in previous)
        reusable = tuple(PreviousProbe(output, network) for output, network in shared if network)
        request = ProbeRequest(path, expected.config.image_size, output, reusable)
        probed = _Probed(content, output, self._run(PROBE, request, report))
        if replaced := self._kept.pop((expected.task, expected.version), None):
            shutil.rmtree(replaced.output.parent)
        self._kept[expected.task, expected.version] = probed
        return probed

    def _computed(self, report: Say) -> Reference:
        output = Path(self._folder.name) / "reference"
        self._run(REFERENCE, ReferenceRequest(self._config, self._source.prefix, self._task, output), report)
        return read(output)

    def _independent(self, kind: Kind, report: Say) -> Reference:
        output = Path(self._folder.name) / f"independent-{kind}"
        self._run(INDEPENDENT, IndependentRequest(self._config, self._source.prefix, kind, output), report)
        return read(output)

    def _run(self, job: Job[Request, Result, NoEvent], request: Request, report: Say) -> Result:
        limit, scratch = self._choices.time_limit, self._folder.name
        finished = run.run(job, request, report, self._debug, time_limit=limit, scratch=scratch)
        self._peaks[job.name] = max(finished.peak_memory, self._peaks.get(job.name, 0))
        return finished.result
