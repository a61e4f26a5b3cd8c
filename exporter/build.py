"""Builds artifacts from a checkpoint, verifies them, and moves them to their destination."""

import contextlib
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from absl import logging

from exporter.artifact import folder as artifact
from exporter.artifact.existing import Existing
from exporter.artifact.jobs import ExportRequest, ExportTarget, export_job, export_warnings
from exporter.artifact.metadata import Metadata, write_metadata
from exporter.artifact.options import ArtifactOptions
from exporter.errors import USAGE, ConfigError
from exporter.fetch.published import opened
from exporter.models.config import TASKS, ModelConfig, Task, handle, largest_task, resolve_version
from exporter.models.formats import FORMATS, Format, Version, require_extra, version_text, written
from exporter.processes import run
from exporter.progress import SILENT, Listener
from exporter.settings import Settings
from exporter.verification.options import VerificationOptions
from exporter.verification.results import Expected, Report, require_passed
from exporter.verification.verifier import Verifier


@dataclass(frozen=True)
class Artifact:
    """An artifact that `build` wrote. ``report`` is that of its verification, None where it was not verified now.

    ``kept`` tells of one that was there already, of which nothing was written. One whose verification failed is passed
    to ``on_verified``, but never written to ``path``.
    """

    path: Path
    handle: str
    metadata: Metadata
    report: Report | None
    kept: bool = False


@dataclass(frozen=True)
class BuildOptions:
    """The options of `build`. ``momentum`` is the default decay of the moving averages, from 0 to 1. ``end_points`` is
    whether they are outputs, too, where the format has that choice.
    """

    format: Format | None = None
    version: int | None = None
    tasks: Sequence[Task] = TASKS
    momentum: float | None = None
    end_points: bool = False
    verify: bool = True
    overwrite: bool = False


def build(
    config: ModelConfig,
    output: Path,
    options: BuildOptions = BuildOptions(),
    checkpoint: Path | None = None,
    settings: Settings = Settings(),
    *,
    listener: Listener = SILENT,
    on_verified: Callable[[Artifact], object] | None = None,
    debug: bool = False,
) -> list[Artifact]:
    """Builds one model's artifacts below ``output``, and verifies each before it is moved to its destination.

    One that is there already stays if it is what would be written, verified if that is asked for: so the same call goes
    on after a stop. Anything else that is there is refused unless it shall be overwritten.

    Args:
        checkpoint: what `exporter.checkpoint.source.opened` takes; without it the published archive is fetched.
        settings: how to fetch the archive.
        listener: its ``step`` is called at the start of each step; `steps` gives their number.
        on_verified: called with each artifact as soon as it was verified, whether it passed or not. If given, the
            report of each has ``measured``.

    Raises:
        NasexportError: one of its subclasses. Artifacts that were finished before are kept; all else is removed.
    """
    version, _ = resolve_version(config, options.format, options.version)
    chosen = _chosen(config, version, options)
    require_extra(config.format_spec(version), running=options.verify)
    targets = {task: artifact.destination(output, config, task, version) for task in options.tasks}
    with contextlib.ExitStack() as stack:
        # One place for each task, so that a finished artifact is in place before the next is verified.
        places = {task: stack.enter_context(_Place(target, options.overwrite)) for task, target in targets.items()}
        for existing in _existing(places):
            existing.require_made_for(config, chosen, options.verify)
        checkpoint_source = stack.enter_context(opened(config, checkpoint, settings, listener, debug=debug))
        for existing in _existing(places):
            existing.require_made_from(checkpoint_source)
        export_targets = (ExportTarget(task, version, chosen, place.folder) for task, place in places.items())
        request = ExportRequest(config, checkpoint_source.prefix, tuple(export_targets))
        verifier: Verifier | None = None
        if options.verify:
            verification = VerificationOptions(measure=on_verified is not None)
            # Before the export, so that its process shares the import with all others.
            stack.enter_context(run.shared_import(export_job(request)))
            verifier = stack.enter_context(
                Verifier(config, checkpoint_source, largest_task(targets), settings, verification, debug=debug)
            )
        logging.info("%s: from %s", config.name, checkpoint_source.archive or checkpoint_source.prefix)
        exported = run.run(export_job(request), request, listener.step, debug).result
        for each in exported.failed:
            raise each.failure.exception()
        read = exported.checkpoint
        logging.info("layout %s, %d averages, %d variables left out", read.layout, read.averages, read.left_out.count)
        for text in export_warnings(checkpoint_source, read):
            listener.warn(text)
        built = []
        for task, place in places.items():
            metadata = Metadata.of(config, task, version, chosen, checkpoint_source, read)
            checked = None
            # What is there was verified when it was built; whoever wants to see the figures needs them anew.
            if verifier and (on_verified or not place.existing):
                wanted = Expected(config, task, version, chosen)
                checked = verifier.verify(place.folder, wanted, listener.step)
                checked = dataclasses.replace(checked, path=str(place.target))
                if on_verified:
                    on_verified(Artifact(place.target, handle(config, task, version), metadata, checked))
                require_passed(checked, place.target)
                metadata = metadata.verified(checked.verdict())
            elif place.existing:
                metadata = metadata.verified(place.existing.metadata.verification)
            place.finish(metadata)
            kept = place.existing is not None
            built.append(Artifact(place.target, handle(config, task, version), metadata, checked, kept))
        return built


class _Place:
    """Where an artifact goes: ``folder`` is to be written, ``existing`` is what is there and may stay.

    Use it as a context manager: no other process writes there meanwhile.
    """

    def __init__(self, target: Path, overwrite: bool):
        self.target, self._overwrite = target, overwrite
        self.existing: Existing | None = None
        self._held = contextlib.ExitStack()

    def __enter__(self) -> "_Place":
        with contextlib.ExitStack() as stack:
            stack.enter_context(artifact.alone(self.target))
            if self.target.exists() and not self._overwrite:
                self.existing = Existing(self.target)
                self.folder = stack.enter_context(artifact.compared(self.target))
            else:
                self.folder = stack.enter_context(artifact.placed(self.target, self._overwrite))
            self._held = stack.pop_all()
        return self

    def finish(self, metadata: Metadata) -> None:
        """Moves what was written to its place, or makes sure that the same is there already.

        Raises:
            ArtifactError: what is there is something else, or the artifact cannot be moved.
        """
        if self.existing:
            self.existing.require_same(self.folder, metadata)
        with artifact.writing(self.target):
            if not self.existing:
                write_metadata(self.folder, metadata)
            self._held.close()

    def __exit__(self, *error: Any) -> None:
        self._held.__exit__(*error)


def _existing(places: Mapping[Task, _Place]) -> list[Existing]:
    return [place.existing for place in places.values() if place.existing]


def _chosen(config: ModelConfig, version: Version, options: BuildOptions) -> ArtifactOptions:
    """The options of an artifact.

    Raises:
        ConfigError: one is given that the version does not have.
    """
    chosen = ArtifactOptions(_momentum(config, version, options.momentum), options.end_points)
    choices = config.format_spec(version).choices
    if chosen.end_points and "end_points" not in choices:
        have = ", ".join(name for name in written() if "end_points" in FORMATS[name].choices)
        raise ConfigError(
            f"{version_text(version)} has no end points to choose: --end-points needs --format {have}", status=USAGE
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


def steps(options: BuildOptions) -> int:
    """The number of steps that `build` reports; fetching the checkpoint is part of the first."""
    exporting = 1 + len(options.tasks)
    verifying = 1 + 2 * len(options.tasks)
    return exporting + (verifying if options.verify else 0)
