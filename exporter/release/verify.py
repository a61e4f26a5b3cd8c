"""Verifies every artifact of a release against its checkpoint, several at a time."""

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from exporter.artifact.jobs import EXPORT, READ, ReadCheckpoint, ReadRequest
from exporter.artifact.metadata import CheckpointFacts, Metadata, Verdict
from exporter.checkpoint.source import Source
from exporter.errors import NasexportError
from exporter.fetch import published
from exporter.models.config import ModelConfig, largest_task
from exporter.probe.jobs import PROBE
from exporter.processes import run as worker
from exporter.processes import scheduler
from exporter.processes.memory import expected_memory, free_memory
from exporter.processes.scheduler import ScheduledTask
from exporter.progress import SILENT, Listener, Say
from exporter.reference.jobs import REFERENCE
from exporter.release import rebuild
from exporter.release.claims import inputs_of
from exporter.release.derived import metadata_of
from exporter.release.manifest import Record, read_manifest
from exporter.settings import Settings
from exporter.validation import shown, to_plain
from exporter.verification.results import Check, Expected, Report, count
from exporter.verification.verifier import Verifier
from exporter.verification.verify import require_checkpoint


def verify(
    release: Path,
    checkpoints: Mapping[str, Path],
    settings: Settings = Settings(),
    *,
    jobs: int = 2,
    memory: int | None = None,
    again: bool = False,
    listener: Listener = SILENT,
    debug: bool = False,
) -> list[Report]:
    """Returns a report for each artifact, in the order of their handles.

    An artifact must be what its handle names and its record says: the network of that model, made from the very
    checkpoint that it is verified with, and held against the same checks as now. That the files of the release agree
    with each other is for `exporter.release.check` to say, before.

    Args:
        checkpoints: checkpoints by the name of their model; those of the other models are fetched.
        jobs: the largest number of processes at a time.
        memory: the memory that they may need together, in bytes; by default nine tenths of what is free now.
        again: whether to export each artifact once more, too, and compare the bytes.

    Raises:
        OtherReleaseError: an artifact is to be exported once more, and was written by other packages.
        ArtifactError: an artifact was made from a synthetic checkpoint, and ``checkpoints`` lacks it.
        NasexportError: a checkpoint is not available, or its reference cannot be computed.
    """
    records = dict(sorted(read_manifest(release).items()))
    if again:
        rebuild.require_same_packages(records)
    said = {handle: metadata_of(release, record) for handle, record in records.items()}
    reports: dict[str, Report] = {}
    tasks = []
    with contextlib.ExitStack() as stack:
        for name in dict.fromkeys(metadata.model.name for metadata in said.values()):
            members = {handle: metadata for handle, metadata in said.items() if metadata.model.name == name}
            for handle, metadata in members.items():
                require_checkpoint(release / handle, metadata, checkpoints.get(name))
            config = next(iter(members.values())).model
            source = stack.enter_context(
                published.opened(config, checkpoints.get(name), settings, listener, debug=debug)
            )
            largest = largest_task({metadata.task for metadata in members.values()})
            verifier = stack.enter_context(Verifier(config, source, largest, settings, debug=debug))
            if again:
                stack.enter_context(worker.shared_import(EXPORT))
            model = _ModelTask(
                release, config, members, records, source, verifier, reports, listener, debug, again=again
            )
            tasks.append(model.task())
        scheduler.run(tasks, jobs, memory if memory is not None else free_memory())
    return [reports[handle] for handle in said]


class _ModelTask:
    """What is to be verified of one model.

    ``members`` are what its artifacts say of themselves, and ``records`` their records, by handle. ``again`` is whether
    they are to be exported once more.
    """

    def __init__(
        self,
        release: Path,
        config: ModelConfig,
        members: Mapping[str, Metadata],
        records: Mapping[str, Record],
        source: Source,
        verifier: Verifier,
        reports: dict[str, Report],
        listener: Listener,
        debug: bool,
        *,
        again: bool,
    ):
        self._release, self._config, self._members, self._source = release, config, members, source
        self._records, self._verifier, self._again = records, verifier, again
        self._reports, self._listener, self._debug = reports, listener, debug
        self._found: tuple[ReadCheckpoint, ...] = ()

    def task(self) -> ScheduledTask:
        """Reads the checkpoint and computes the reference; when done, it adds a task for each of the artifacts."""

        def prepare() -> None:
            request = ReadRequest(self._config, self._source.prefix)
            with self._listener.job(self._config.name) as say:
                self._found = worker.run(READ, request, say, self._debug).result.found
                self._verifier.prepare(say)

        def artifacts() -> list[ScheduledTask]:
            return [self._artifact_task(handle, metadata) for handle, metadata in self._members.items()]

        return ScheduledTask(expected_memory(REFERENCE, self._config), prepare, artifacts, _raise)

    def _artifact_task(self, handle: str, metadata: Metadata) -> ScheduledTask:
        expected = Expected(self._config, metadata.task, metadata.version, metadata.options)

        def run() -> None:
            with self._listener.job(handle) as say:
                check(say)

        def check(say: Say) -> None:
            found = self._verifier.verify(self._release / handle, expected, say)
            options = (metadata.task, metadata.version, metadata.options)
            right = [Metadata.of(self._config, *options, self._source, read).source for read in self._found]
            more = [_source_check(metadata, right)]
            # Another nasexport may have other checks.
            if inputs_of(record := self._records[handle]).is_of_this_code:
                more.append(_verdict_check(metadata, found.verdict()))
            if self._again:
                more.append(rebuild.check(self._release, record, metadata, self._source, say, self._debug))
            self._reports[handle] = dataclasses.replace(found, path=handle, checks=(*found.checks, *more))

        jobs = (PROBE, EXPORT) if self._again else (PROBE,)
        return ScheduledTask(max(expected_memory(job, self._config) for job in jobs), run, failed=_raise)


def _source_check(metadata: Metadata, right: Sequence[CheckpointFacts]) -> Check:
    """Whether an artifact says that it was made from the checkpoint that it is verified with.

    Args:
        right: what may be said of that: how many averages an export takes depends on the tasks that it is of.
    """
    wrong = min((list(_differences(metadata.source, own)) for own in right), key=len)
    return count("facts about its checkpoint that are not those of this one", len(wrong), "; ".join(wrong[:2]))


def _differences(said: CheckpointFacts, own: CheckpointFacts) -> Iterator[str]:
    right = to_plain(own)
    if said.archive is not None and own.archive is None and said.files == own.files:
        yield f"it came out of the archive {shown(said.archive)}: verify with that, and not with what was in it"
        return
    for name, value in to_plain(said).items():
        if value != right[name]:
            yield f"{name} is {shown(value)}, of this checkpoint {shown(right[name])}"


def _verdict_check(metadata: Metadata, verdict: Sequence[Verdict]) -> Check:
    """Whether an artifact says that it passed the checks that it is held against now."""
    said = list(metadata.verification or ())
    wrong = [f"{shown(each.name)} of its own" for each in said if each not in verdict]
    wrong += [f"{shown(each.name)} is missing" for each in verdict if each not in said]
    if not wrong and said != list(verdict):
        wrong = ["they come in another order"]
    return count("checks it says it passed that are not these", len(wrong), f"first: {wrong[0]}" if wrong else "")


def _raise(error: NasexportError) -> tuple[()]:
    raise error
