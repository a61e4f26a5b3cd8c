"""Verifies every artifact of a release against its checkpoint, several at a time."""

import contextlib
import dataclasses
from collections.abc import Mapping
from pathlib import Path

from exporter.errors import NasexportError
from exporter.fetch import published
from exporter.models.config import largest_task
from exporter.probe.jobs import PROBE
from exporter.processes import scheduler
from exporter.processes.memory import expected_memory, free_memory
from exporter.processes.scheduler import ScheduledTask
from exporter.progress import SILENT, Listener
from exporter.reference.jobs import REFERENCE
from exporter.release.manifest import read_manifest
from exporter.settings import Settings
from exporter.verification.results import Expected, Report
from exporter.verification.verifier import Verifier
from exporter.verification.verify import expected_of, require_checkpoint


def verify(
    release: Path,
    checkpoints: Mapping[str, Path],
    settings: Settings = Settings(),
    *,
    jobs: int = 2,
    memory: int | None = None,
    listener: Listener = SILENT,
    debug: bool = False,
) -> list[Report]:
    """Returns a report for each artifact, in the order of their handles.

    Args:
        checkpoints: checkpoints by the name of their model; those of the other models are fetched.
        jobs: the largest number of processes at a time.
        memory: the memory that they may need together, in bytes; by default nine tenths of what is free now.

    Raises:
        ArtifactError: an artifact was made from a synthetic checkpoint, and ``checkpoints`` lacks it.
        NasexportError: a checkpoint is not available, or its reference cannot be computed.
    """
    wanted = {handle: expected_of(release / handle) for handle in sorted(read_manifest(release))}
    reports: dict[str, Report] = {}
    tasks = []
    with contextlib.ExitStack() as stack:
        for name in dict.fromkeys(expected.config.name for expected, _ in wanted.values()):
            members = {handle: pair[0] for handle, pair in wanted.items() if pair[0].config.name == name}
            for handle in members:
                require_checkpoint(release / handle, wanted[handle][1], checkpoints.get(name))
            config = next(iter(members.values())).config
            source = stack.enter_context(
                published.opened(config, checkpoints.get(name), settings, listener, debug=debug)
            )
            largest = largest_task({expected.task for expected in members.values()})
            verifier = stack.enter_context(Verifier(config, source, largest, settings, debug=debug))
            tasks.append(_model_task(release, members, verifier, reports, listener))
        scheduler.run(tasks, jobs, memory if memory is not None else free_memory())
    return [reports[handle] for handle in wanted]


def _model_task(
    release: Path,
    members: Mapping[str, Expected],
    verifier: Verifier,
    reports: dict[str, Report],
    listener: Listener,
) -> ScheduledTask:
    """The task that computes a model's reference; when done, it adds a task for each of the artifacts."""
    config = next(iter(members.values())).config

    def artifact_task(handle: str, expected: Expected) -> ScheduledTask:
        def run() -> None:
            found = verifier.verify(release / handle, expected, lambda said: listener.step(f"{handle}: {said}"))
            reports[handle] = dataclasses.replace(found, path=handle)

        return ScheduledTask(expected_memory(PROBE, config), run, failed=_raise)

    def artifact_tasks() -> list[ScheduledTask]:
        return [artifact_task(handle, expected) for handle, expected in members.items()]

    return ScheduledTask(expected_memory(REFERENCE, config), verifier.prepare, artifact_tasks, _raise)


def _raise(error: NasexportError) -> tuple[()]:
    raise error
