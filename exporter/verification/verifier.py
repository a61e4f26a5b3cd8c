"""Verifies artifacts of one checkpoint with one reference, each process on its own."""

import contextlib
import importlib.metadata
import threading
from pathlib import Path

from exporter.checkpoint.source import Source
from exporter.errors import ArtifactError, WorkerError
from exporter.files import temporary
from exporter.files.arrays import ArrayStore
from exporter.files.removal import Remover
from exporter.models.config import ModelConfig, Task
from exporter.models.formats import FormatSpec
from exporter.models.variables import variables
from exporter.probe.jobs import probe_jobs
from exporter.probe.result import ProbeResult
from exporter.processes import device
from exporter.processes.run import shared_import
from exporter.processes.runner import Runner
from exporter.progress import Say
from exporter.reference.jobs import REFERENCE
from exporter.reference.result import Reference
from exporter.settings import Settings
from exporter.verification import causes, compare, references
from exporter.verification.options import VerificationOptions
from exporter.verification.prober import Probed, Prober
from exporter.verification.references import References
from exporter.verification.results import Check, Expected, Report


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
        options: VerificationOptions = VerificationOptions(),
        *,
        scratch: Path | None = None,
        debug: bool = False,
    ):
        """A verifier that writes what is computed below ``scratch``, by default where temporary files go.

        Args:
            task: "classification" where any artifact to come is one.
        """
        self._config, self._source, self._task = config, source, task
        self._settings, self._options = settings, options
        self._held = contextlib.ExitStack()
        self._runner = Runner(self._held.enter_context(temporary.folder(scratch)), options.time_limit, debug)
        self._remover = self._held.enter_context(Remover())
        self._prober = Prober(self._runner, self._remover, options.trust)
        self._references: References | None = None
        self._completing = threading.Lock()

    def __enter__(self) -> "Verifier":
        self._held.enter_context(shared_import(REFERENCE, *probe_jobs()))
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    @property
    def peaks(self) -> dict[str, int]:
        """The largest resident set that the processes of each job had so far, in bytes, by the job's name."""
        return self._runner.peaks

    def prepare(self, say: Say = lambda _: None) -> None:
        """Gets the reference, unless it is there already.

        Raises:
            NasexportError: as `exporter.verification.references.get` does.
        """
        self._prepared(say)

    def _prepared(self, say: Say) -> References:
        if self._references is None:
            self._references = references.get(
                self._config, self._source, self._task, self._settings, self._options, self._runner, say
            )
        return self._references

    def _complete(self, reference: Reference, expected: Expected, say: Say) -> None:
        """Gets what an artifact with weights of 16 bits, or one trained in double precision, must give, once."""
        with self._completing:
            if expected.options.precision == "float16" and reference.rounded is None:
                reference.rounded = references.rounded(self._config, self._source, self._runner, say)
            # Of others' files, training is not compared.
            precise = expected.ordered and expected.config.format_spec(expected.version).trains_in_double
            if precise and reference.precise is None:
                reference.precise = references.precise(self._config, self._source, self._task, self._runner, say)

    def probe(self, path: Path, expected: Expected, say: Say = lambda _: None) -> Probed | Check:
        """Runs the artifact in ``path``, for `judge`; where it cannot be run, or crashes, that is a failed check.

        Several threads may do so at the same time, though not with artifacts of one task and version. What was run
        before spares what comes after it some of the work: see `exporter.probe.reuse`.
        """
        try:
            return self._prober.probe(path, expected, say)
        except (ArtifactError, WorkerError) as error:
            return Check("loads and runs", float("nan"), 0, _in_a_line(str(error)))

    def judge(self, path: Path, expected: Expected, probed: Probed | Check, say: Say = lambda _: None) -> Report:
        """Holds what the artifact in ``path`` gave against the reference; what differs is in the report.

        After `prepare`, several threads may do so at the same time.

        Raises:
            NasexportError: as `prepare` does.
        """
        prepared = self._prepared(say)
        if isinstance(probed, Check):
            return Report(str(path), (probed,), prepared.notes)
        self._complete(prepared.reference, expected, say)
        try:
            return self._judged(path, expected, prepared, probed)
        finally:
            self._prober.judged(probed)

    def forget(self, spec: FormatSpec) -> None:
        """Told that no artifact of a format is still to be probed: removes what was kept for those."""
        self._prober.forget(spec)

    def close(self) -> None:
        """Told, before its ``with`` block ends, that nothing is to be verified any more: removes what was computed."""
        self._remover.empty(self._runner.folder)

    def _judged(self, path: Path, expected: Expected, prepared: References, probed: Probed) -> Report:
        """The report of an artifact that loaded and ran."""
        names = [spec.name for spec in variables(expected.config, expected.task)]
        found = ProbeResult(ArrayStore(probed.output)).matched_to(names)
        checks = compare.compare(expected, prepared.reference, found, list(probed.summary.problems))
        for kind, independent in prepared.independent.items():
            checks += compare.against(kind, expected, independent, found)
        notes = (*prepared.notes, *device.notes())
        if found.prefix:
            notes = (*notes, f"its variables' names begin with {found.prefix!r}")
        measured = None
        if self._options.measure:
            measured = compare.measured(expected, prepared.reference, found)
            spec = expected.config.format_spec(expected.version)
            runtime = spec.runtime_text(importlib.metadata.version)
            measured |= {"runtime": runtime, "source": self._source.provenance()}
        checkpoint = self._source.archive or self._source.prefix.name
        cause = causes.likely_cause(checks, len(names), expected.config.name, checkpoint)
        return Report(str(path), tuple(checks), notes, measured, cause)


def _in_a_line(text: str) -> str:
    """The lines of an error; what a colon announces follows it."""
    return "; ".join(text.splitlines()).replace(":; ", ": ")
