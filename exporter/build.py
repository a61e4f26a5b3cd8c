"""From a checkpoint to verified artifacts at their destination."""

import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from absl import logging

from exporter import errors
from exporter.artifact import folder as artifact
from exporter.checkpoint.source import Source
from exporter.errors import ConfigError
from exporter.fetch.published import opened
from exporter.models.config import TASKS, ModelConfig, Task, handle, largest_task, resolve_version
from exporter.models.formats import FORMATS, Format
from exporter.processes import run
from exporter.progress import SILENT, Listener, Say
from exporter.settings import Settings
from exporter.verification.results import Expected, Report, require_passed
from exporter.verification.verifier import Choices, Verifier


@dataclass(frozen=True)
class Artifact:
    """What `build` wrote: a verified folder (``report`` is None where verification was not wanted).

    One whose verification failed exists for ``judged`` only, and was not written.
    """

    path: Path
    handle: str
    metadata: dict[str, Any]
    report: Report | None


@dataclass(frozen=True)
class Options:
    """What may be chosen about an artifact. ``momentum`` is the default decay of the moving averages, from 0 to 1."""

    format: Format | None = None
    version: int | None = None
    tasks: Sequence[Task] = TASKS
    momentum: float | None = None
    verify: bool = True
    overwrite: bool = False


def build(
    config: ModelConfig,
    output: Path,
    options: Options = Options(),
    checkpoint: Path | None = None,
    settings: Settings = Settings(),
    *,
    listener: Listener = SILENT,
    judged: Callable[[Artifact], object] | None = None,
    debug: bool = False,
) -> list[Artifact]:
    """Builds one model's artifacts below ``output``, each verified before it is moved to its destination.

    Args:
        checkpoint: what `exporter.checkpoint.source.opened` takes; without it the published archive is fetched.
        settings: where to fetch it from, and what to refuse.
        listener: told each step as it begins; `steps` tells how many there will be.
        judged: called with each artifact as soon as it was verified, whether it passed or not; its report then has
            ``measured``.

    Raises:
        NasexportError: one of its children. Artifacts that were finished before stay, nothing else does.
    """
    version, _ = resolve_version(config, options.format, options.version)
    momentum = _momentum(config, version, options.momentum)
    targets = {task: artifact.destination(output, config, task, version) for task in options.tasks}
    for target in targets.values():
        artifact.require_free(target, options.overwrite)
    with contextlib.ExitStack() as stack:
        checkpoint_source = stack.enter_context(opened(config, checkpoint, settings, listener))
        folders = {
            task: stack.enter_context(contextlib.ExitStack()) for task in targets
        }  # one for each task, so that a finished artifact is in place before the next is verified
        staging = {
            task: folders[task].enter_context(artifact.staged(target, options.overwrite))
            for task, target in targets.items()
        }
        request = {
            "config": config.to_dict(),
            "prefix": str(checkpoint_source.prefix),
            "targets": [
                {"task": task, "version": version, "momentum": momentum, "folder": str(folder)}
                for task, folder in staging.items()
            ],
        }
        logging.info("%s: from %s", config.name, checkpoint_source.archive or checkpoint_source.prefix)
        exported = run.run("export", request, lambda said: tell(listener, said), debug)
        for kind, message in exported["failed"].values():
            raise getattr(errors, kind)(message)
        logging.info("layout %(layout)s, %(averages)d averages, %(left_out)d variables left out", exported)
        warn_of_surprises(checkpoint_source, exported, listener.warn)
        choices = Choices(measure=judged is not None)
        verifier = stack.enter_context(
            Verifier(config, checkpoint_source, largest_task(targets), settings, choices, debug=debug)
        )
        built = []
        for task, target in targets.items():
            metadata = artifact.metadata(config, task, version, momentum, checkpoint_source, exported)
            checked = None
            if options.verify:
                wanted = Expected(config, task, version, momentum)
                checked = verifier.verify(staging[task], wanted, listener.step)
                checked = dataclasses.replace(checked, path=str(target))
                if judged:
                    judged(Artifact(target, handle(config, task, version), metadata, checked))
                require_passed(checked, target)
                metadata["verification"] = checked.verdict()
            artifact.write_metadata(staging[task], metadata)
            folders[task].close()
            built.append(Artifact(target, handle(config, task, version), metadata, checked))
        return built


def _momentum(config: ModelConfig, version: int, wanted: float | None) -> float:
    """The default momentum of an artifact.

    Raises:
        ConfigError: one is wanted, but the version keeps that of the original training.
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


def steps(options: Options) -> int:
    """The number of steps that `build` reports; what it takes to get the checkpoint is within the first."""
    exporting = 1 + len(options.tasks)
    verifying = 1 + 2 * len(options.tasks)
    return exporting + (verifying if options.verify else 0)


def tell(listener: Listener, said: Any) -> None:
    """Passes on what the job "export" reports, where it is a step."""
    if isinstance(said, str):  # the rest is for those who export many
        listener.step(said)


def warn_of_surprises(checkpoint_source: Source, exported: dict[str, Any], warn: Say) -> None:
    """Says what is odd about a checkpoint, from the result of the job "export"."""
    name = checkpoint_source.archive or checkpoint_source.prefix.name
    if unexpected := exported["unexpected"]:
        shown = ", ".join(unexpected[:5]) + (", …" if len(unexpected) > 5 else "")
        warn(f"{name} holds {len(unexpected)} variables that the model does not know, left out: {shown}")
    if exported["unaveraged"]:
        warn(f"{name} has averages for some trained variables but not for {exported['unaveraged']} others")
