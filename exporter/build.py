"""Builds artifacts from a checkpoint, verifies them, and moves them to their destination."""

import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from absl import logging

from exporter.artifact import folder as artifact
from exporter.artifact.jobs import EXPORT, ExportRequest, ExportTarget, export_warnings
from exporter.artifact.metadata import Metadata, write_metadata
from exporter.errors import ConfigError
from exporter.fetch.published import opened
from exporter.models.config import TASKS, ModelConfig, Task, handle, largest_task, resolve_version
from exporter.models.formats import FORMATS, Format
from exporter.processes import run
from exporter.progress import SILENT, Listener
from exporter.settings import Settings
from exporter.verification.options import VerificationOptions
from exporter.verification.results import Expected, Report, require_passed
from exporter.verification.verifier import Verifier


@dataclass(frozen=True)
class Artifact:
    """An artifact that `build` wrote. ``report`` is that of its verification, None where it was not verified.

    One whose verification failed is passed to ``on_verified``, but never written to ``path``.
    """

    path: Path
    handle: str
    metadata: Metadata
    report: Report | None


@dataclass(frozen=True)
class BuildOptions:
    """The options of `build`. ``momentum`` is the default decay of the moving averages, from 0 to 1."""

    format: Format | None = None
    version: int | None = None
    tasks: Sequence[Task] = TASKS
    momentum: float | None = None
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
    momentum = _momentum(config, version, options.momentum)
    targets = {task: artifact.destination(output, config, task, version) for task in options.tasks}
    for target in targets.values():
        artifact.require_free(target, options.overwrite)
    with contextlib.ExitStack() as stack:
        checkpoint_source = stack.enter_context(opened(config, checkpoint, settings, listener, debug=debug))
        folders = {
            task: stack.enter_context(contextlib.ExitStack()) for task in targets
        }  # one for each task, so that a finished artifact is in place before the next is verified
        staging = {
            task: folders[task].enter_context(artifact.staged(target, options.overwrite))
            for task, target in targets.items()
        }
        export_targets = (ExportTarget(task, version, momentum, folder) for task, folder in staging.items())
        request = ExportRequest(config, checkpoint_source.prefix, tuple(export_targets))
        logging.info("%s: from %s", config.name, checkpoint_source.archive or checkpoint_source.prefix)
        exported = run.run(EXPORT, request, listener.step, debug).result
        for each in exported.failed:
            raise each.failure.exception()
        read = exported.checkpoint
        logging.info("layout %s, %d averages, %d variables left out", read.layout, read.averages, read.left_out.count)
        for text in export_warnings(checkpoint_source, read):
            listener.warn(text)
        verification = VerificationOptions(measure=on_verified is not None)
        verifier = stack.enter_context(
            Verifier(config, checkpoint_source, largest_task(targets), settings, verification, debug=debug)
        )
        built = []
        for task, target in targets.items():
            metadata = Metadata.of(config, task, version, momentum, checkpoint_source, read)
            checked = None
            if options.verify:
                wanted = Expected(config, task, version, momentum)
                checked = verifier.verify(staging[task], wanted, listener.step)
                checked = dataclasses.replace(checked, path=str(target))
                if on_verified:
                    on_verified(Artifact(target, handle(config, task, version), metadata, checked))
                require_passed(checked, target)
                metadata = metadata.verified(checked.verdict())
            write_metadata(staging[task], metadata)
            folders[task].close()
            built.append(Artifact(target, handle(config, task, version), metadata, checked))
        return built


def _momentum(config: ModelConfig, version: int, wanted: float | None) -> float:
    """The default momentum of an artifact.

    Raises:
        ConfigError: ``wanted`` is given, but the version always has the momentum of the original training.
    """
    spec = config.version_spec(version)
    if wanted is None:
        return spec.momentum
    if not spec.momentum_settable:
        first = min(row.number for format_ in FORMATS.values() for row in format_.versions if row.momentum_settable)
        raise ConfigError(
            f"version {version} keeps the batch norm momentum of the original training, {spec.momentum}:\n"
            f"--batch-norm-momentum needs version {first} or later"
        )
    return wanted


def steps(options: BuildOptions) -> int:
    """The number of steps that `build` reports; fetching the checkpoint is part of the first."""
    exporting = 1 + len(options.tasks)
    verifying = 1 + 2 * len(options.tasks)
    return exporting + (verifying if options.verify else 0)
