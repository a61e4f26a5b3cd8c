"""Builds artifacts from a checkpoint, verifies them, and moves them to their destination."""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from absl import logging

from exporter.artifact import folder as artifact
from exporter.artifact.existing import Existing
from exporter.artifact.jobs import (
    ExportRequest,
    ExportTarget,
    ReadCheckpoint,
    expected_export,
    export_job,
    export_warnings,
)
from exporter.artifact.metadata import Metadata
from exporter.artifact.options import ArtifactOptions, Precision
from exporter.artifact.place import Place
from exporter.checkpoint.source import Source
from exporter.errors import USAGE, ConfigError, NasexportError
from exporter.fetch.published import opened
from exporter.models.config import TASKS, ModelConfig, Task, handle, largest_task, resolve_version
from exporter.models.formats import FORMATS, Format, FormatSpec, Version, require_extra, version_text, written
from exporter.probe.jobs import PROBE
from exporter.processes import run, scheduler
from exporter.processes.memory import cores, usual_memory
from exporter.progress import SILENT, Listener
from exporter.reference.jobs import REFERENCE
from exporter.settings import Settings
from exporter.verification.options import VerificationOptions
from exporter.verification.pipeline import Pipeline
from exporter.verification.prober import Probed
from exporter.verification.results import Check, Expected, Report, require_passed
from exporter.verification.verifier import Verifier


@dataclass(frozen=True)
class Artifact:
    """An artifact that `build` wrote. ``report`` is that of its verification, None where it was not verified now.

    ``kept`` tells of one that was there already, of which nothing was written. ``seconds`` is how long it took, from
    the beginning of `build` until it was in its place. One whose verification failed is passed to ``on_verified``, but
    never written to ``path``.
    """

    path: Path
    handle: str
    metadata: Metadata
    report: Report | None
    kept: bool = False
    seconds: float = 0.0


@dataclass(frozen=True)
class BuildOptions:
    """The options of `build`.

    ``momentum`` is the default decay of the moving averages, from 0 to 1. ``end_points`` is whether they are outputs,
    too, ``precision`` how weights are stored, where the format has that choice. ``jobs`` is how many processes may work
    at a time; by default as many as there are cores.
    """

    format: Format | None = None
    version: int | None = None
    tasks: Sequence[Task] = TASKS
    momentum: float | None = None
    end_points: bool = False
    precision: Precision = "float32"
    verify: bool = True
    overwrite: bool = False
    jobs: int | None = None


def build(
    config: ModelConfig,
    output: Path,
    options: BuildOptions = BuildOptions(),
    checkpoint: Path | None = None,
    settings: Settings = Settings(),
    *,
    listener: Listener = SILENT,
    on_verified: Callable[[Artifact], object] | None = None,
    on_built: Callable[[Artifact], object] = lambda _: None,
    debug: bool = False,
) -> list[Artifact]:
    """Builds one model's artifacts below ``output``, and verifies each before it is moved to its destination.

    One that is there already stays if it is what would be written, verified if that is asked for: so the same call goes
    on after a stop. Anything else that is there is refused unless it shall be overwritten.

    Args:
        checkpoint: what `exporter.checkpoint.source.opened` takes; without it the published archive is fetched.
        settings: how to fetch the archive.
        listener: told of each step as it begins, within the job that it is of; `steps` gives their number.
        on_verified: called with each artifact as soon as it was verified, whether it passed or not. If given, the
            report of each has ``measured``.
        on_built: called with each artifact as soon as it is in its place, in the order of the tasks.

    Raises:
        NasexportError: one of its subclasses. Artifacts that were finished before are kept; all else is removed.
    """
    began = time.monotonic()
    version, _ = resolve_version(config, options.format, options.version)
    chosen = _chosen(config, version, options)
    require_extra(config.format_spec(version), running=options.verify)
    targets = {task: artifact.destination(output, config, task, version) for task in options.tasks}
    with contextlib.ExitStack() as stack:
        # One place for each task, so that a finished artifact is in place before the next is verified.
        places = {task: stack.enter_context(Place(target, options.overwrite)) for task, target in targets.items()}
        for existing in _existing(places):
            existing.require_made_for(config, chosen, options.verify)
        job = export_job([config.format_spec(version)])
        if job.tensorflow:
            # Imported while the checkpoint is unpacked.
            imported = (job, REFERENCE, PROBE) if options.verify else (job,)
            stack.enter_context(run.shared_import(*imported, at_once=True, debug=debug))
        source = stack.enter_context(opened(config, checkpoint, settings, listener, debug=debug))
        for existing in _existing(places):
            existing.require_made_from(source)
        export_targets = {task: ExportTarget(task, version, chosen, place.folder) for task, place in places.items()}
        requests = {
            name: ExportRequest(
                config, source.prefix, tuple(export_targets[task] for task in tasks), largest_task(targets)
            )
            for name, tasks in _exports(config.format_spec(version), options).items()
        }
        verifier: Verifier | None = None
        if options.verify:
            verification = VerificationOptions(measure=on_verified is not None)
            verifier = stack.enter_context(
                Verifier(config, source, largest_task(targets), settings, verification, debug=debug)
            )
        logging.info("%s: from %s", config.name, source.archive or source.prefix)
        building = _Building(
            config, requests, version, chosen, source, places, verifier, listener, on_verified, on_built, began, debug
        )
        jobs = options.jobs or cores()
        scheduler.run(building.tasks(), jobs, usual_memory())
        return building.finished()


class _Building(Pipeline[Task]):
    """The artifacts of one model, by their tasks; each is moved to its place once it and all before it have passed."""

    def __init__(
        self,
        config: ModelConfig,
        requests: Mapping[str, ExportRequest],
        version: Version,
        options: ArtifactOptions,
        source: Source,
        places: Mapping[Task, Place],
        verifier: Verifier | None,
        listener: Listener,
        on_verified: Callable[[Artifact], object] | None,
        on_built: Callable[[Artifact], object],
        began: float,
        debug: bool,
    ):
        self._requests, self._version, self._options, self._source = requests, version, options, source
        self._there: set[Task] = set()
        self._places, self._verifier, self._listener = places, verifier, listener
        self._on_verified, self._on_built = on_verified, on_built
        self._began, self._debug = began, debug
        #: By the export; all find the same, so that the first of them counts.
        self._found: dict[str, ReadCheckpoint] = {}
        self._read: ReadCheckpoint | None = None
        self._without_reference: NasexportError | None = None
        self._reports: dict[Task, Report] = {}
        self._built: list[Artifact] = []
        # What is there was verified when it was built; whoever wants to see the figures needs them anew.
        self._verified = [task for task, place in places.items() if verifier and (on_verified or not place.existing)]
        exports = {name: expected_export(request.specs) for name, request in requests.items()}
        super().__init__(config, exports, bool(self._verified))

    def finished(self) -> list[Artifact]:
        """The artifacts, in the order of their tasks, once all is done."""
        return self._built

    def export(self, name: str) -> None:
        request = self._requests[name]
        with self._listener.job("" if len(self._requests) == 1 else name) as say:
            exported = run.run(export_job(request.specs), request, say, self._debug).result
        for each in exported.failed:
            raise each.failure.exception()
        self._found[name] = exported.checkpoint

    def prepare(self) -> None:
        assert self._verifier
        with self._listener.job("") as say:
            self._verifier.prepare(say)

    def unprepared(self, job: run.AnyJob, error: NasexportError) -> None:
        if job is not REFERENCE or self._read:
            raise error
        # The export may have more to say of the same checkpoint.
        self._without_reference = error

    def exported(self, name: str) -> dict[Task, tuple[FormatSpec, Task]]:
        if self._read is None:
            self._read = read = self._found[name]
            logging.info(
                "layout %s, %d averages, %d variables left out", read.layout, read.averages, read.left_out.count
            )
            for text in export_warnings(self._source, read):
                self._listener.warn(text)
        if self._without_reference:
            raise self._without_reference
        tasks = [target.task for target in self._requests[name].targets]
        self._there.update(tasks)
        self._finish()
        return {task: (self.config.format_spec(self._version), task) for task in tasks if task in self._verified}

    def _expected(self, task: Task) -> Expected:
        return Expected(self.config, task, self._version, self._options)

    def probe(self, key: Task) -> Probed | Check:
        assert self._verifier
        with self._listener.job(key) as say:
            return self._verifier.probe(self._places[key].folder, self._expected(key), say)

    def complete(self, key: Task, probed: Probed | Check) -> None:
        assert self._verifier
        with self._listener.job(key) as say:
            self._reports[key] = self._verifier.judge(self._places[key].folder, self._expected(key), probed, say)

    def forget(self, spec: FormatSpec) -> None:
        assert self._verifier
        self._verifier.forget(spec)

    def completed(self, key: Task, error: NasexportError | None) -> None:
        super().completed(key, error)
        self._finish()

    def _finish(self) -> None:
        """Moves to their places those that have passed, or need not, and come before all others."""
        assert self._read
        for task, place in list(self._places.items())[len(self._built) :]:
            if task not in self._there or (task in self._verified and task not in self._reports):
                return
            metadata = Metadata.of(self.config, task, self._version, self._options, self._source, self._read)
            own, checked = handle(self.config, task, self._version), None
            if task in self._verified:
                checked = dataclasses.replace(self._reports[task], path=str(place.target))
                if self._on_verified:
                    self._on_verified(Artifact(place.target, own, metadata, checked))
                require_passed(checked, place.target)
                metadata = metadata.verified(checked.verdict())
            elif place.existing:
                metadata = metadata.verified(place.existing.metadata.verification)
            place.finish(metadata)
            seconds = time.monotonic() - self._began
            self._built.append(Artifact(place.target, own, metadata, checked, place.existing is not None, seconds))
            self._on_built(self._built[-1])


def _exports(spec: FormatSpec, options: BuildOptions) -> dict[str, Sequence[Task]]:
    """The tasks that are exported together, by the name of each export: side by side where nothing else is to be done.

    Only formats whose export is known to take little memory.
    """
    if options.verify or spec.shares_between_tasks or not spec.numbered or (options.jobs or cores()) == 1:
        return {"": options.tasks}
    return {task: [task] for task in options.tasks}


def _existing(places: Mapping[Task, Place]) -> list[Existing]:
    return [place.existing for place in places.values() if place.existing]


def _chosen(config: ModelConfig, version: Version, options: BuildOptions) -> ArtifactOptions:
    """The options of an artifact.

    Raises:
        ConfigError: one is given that the version does not have.
    """
    chosen = ArtifactOptions(_momentum(config, version, options.momentum), options.end_points, options.precision)
    choices = config.format_spec(version).choices
    wanted = {
        "end_points": ("--end-points", "end points", chosen.end_points),
        "precision": ("--precision", "precision", chosen.precision != "float32"),
    }
    for choice, (option, what, given) in wanted.items():
        if given and choice not in choices:
            have = " or ".join(name for name in written() if choice in FORMATS[name].choices)
            raise ConfigError(
                f"{version_text(version)} has no {what} to choose: {option} needs --format {have}", status=USAGE
            )
    return chosen


def _momentum(config: ModelConfig, version: Version, wanted: float | None) -> float | None:
    """The default momentum of an artifact.

    Raises:
        ConfigError: ``wanted`` is given, but the version always has the momentum of the original training.
    """
    spec = config.version_spec(version)
    if wanted is None:
        return spec.momentum
    if not spec.momentum_settable:
        first = min(row.number for format_ in FORMATS.values() for row in format_.versions if row.momentum_settable)
        if spec.momentum is None:
            raise ConfigError(f"{version_text(version)} is not trained: leave out --batch-norm-momentum", status=USAGE)
        raise ConfigError(
            f"version {version} keeps the batch norm momentum of the original training, {spec.momentum}:\n"
            f"--batch-norm-momentum needs version {first} or later",
            status=USAGE,
        )
    return wanted


def steps(config: ModelConfig, options: BuildOptions) -> int:
    """The number of steps that `build` reports; fetching the checkpoint is part of the first.

    Raises:
        ConfigError: the model has no such version.
    """
    version, _ = resolve_version(config, options.format, options.version)
    exporting = len(_exports(config.format_spec(version), options)) + len(options.tasks)
    verifying = 1 + 2 * len(options.tasks)
    return exporting + (verifying if options.verify else 0)
