"""Verifies every artifact of a release against its checkpoint, several at a time."""

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from exporter.artifact.jobs import EXPORT, READ, ReadCheckpoint, ReadRequest, expected_export
from exporter.artifact.metadata import CheckpointFacts, Metadata, Verdict
from exporter.checkpoint.source import Source
from exporter.fetch import published
from exporter.models.config import ModelConfig, Task, largest_task, short_name
from exporter.models.formats import FORMATS, FormatSpec
from exporter.probe.jobs import PROBE
from exporter.processes import run as worker
from exporter.processes import scheduler
from exporter.processes.memory import expected_memory, for_jobs, free_memory
from exporter.processes.scheduler import ScheduledTask
from exporter.progress import SILENT, Listener, Say
from exporter.reference.jobs import REFERENCE
from exporter.release import rebuild
from exporter.release.claims import inputs_of
from exporter.release.derived import metadata_of
from exporter.release.manifest import Record, read_manifest
from exporter.settings import Settings
from exporter.validation import shown, to_plain
from exporter.verification.pipeline import Pipeline
from exporter.verification.prober import Probed
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
    tasks: list[ScheduledTask] = []
    with contextlib.ExitStack() as stack:
        # Imported while checkpoints are unpacked.
        needed = any(FORMATS[record.format].runs_with_tensorflow for record in records.values())
        stack.enter_context(worker.shared_import(REFERENCE, PROBE, at_once=needed, debug=debug))
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
            model = _ModelTasks(
                release, config, members, records, source, verifier, reports, listener, debug, again=again
            )
            tasks += model.tasks()
        scheduler.run(tasks, jobs, for_jobs(free_memory() if memory is None else memory))
    return [reports[handle] for handle in said]


class _ModelTasks(Pipeline[str]):
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
        super().__init__(config, {}, needs_reference=True)
        self._release, self._members, self._source = release, members, source
        self._records, self._verifier, self._again = records, verifier, again
        self._reports, self._listener, self._debug = reports, listener, debug
        self._found: tuple[ReadCheckpoint, ...] = ()

    def prepare(self) -> None:
        request = ReadRequest(self.config, self._source.prefix)
        with self._listener.job(self.config.name) as say:
            self._found = worker.run(READ, request, say, self._debug).result.found
            self._verifier.prepare(say)

    def exported(self, name: str) -> dict[str, tuple[FormatSpec, Task]]:
        return {handle: (FORMATS[self._records[handle].format], each.task) for handle, each in self._members.items()}

    def _expected(self, handle: str) -> Expected:
        metadata = self._members[handle]
        return Expected(self.config, metadata.task, metadata.version, metadata.options)

    def _name(self, handle: str) -> str:
        metadata = self._members[handle]
        return short_name(self.config.name, metadata.task, metadata.version)

    def probe(self, key: str) -> Probed | Check:
        with self._listener.job(self._name(key)) as say:
            return self._verifier.probe(self._release / key, self._expected(key), say)

    def forget(self, spec: FormatSpec) -> None:
        self._verifier.forget(spec)

    def close(self) -> None:
        self._verifier.close()

    def complete(self, key: str, probed: Probed | Check) -> None:
        with self._listener.job(self._name(key)) as say:
            self._check(key, probed, say)

    def _check(self, handle: str, probed: Probed | Check, say: Say) -> None:
        metadata = self._members[handle]
        found = self._verifier.judge(self._release / handle, self._expected(handle), probed, say)
        options = (metadata.task, metadata.version, metadata.options)
        right = [Metadata.of(self.config, *options, self._source, read).source for read in self._found]
        more = [_source_check(metadata, right)]
        # Another nasexport may have other checks.
        if inputs_of(record := self._records[handle]).is_of_this_code:
            more.append(_verdict_check(metadata, found.verdict()))
        if self._again:
            more.append(rebuild.check(self._release, record, metadata, self._source, say, self._debug))
        self._reports[handle] = dataclasses.replace(found, path=handle, checks=(*found.checks, *more))

    def completion_memory(self) -> int:
        if not self._again:
            return super().completion_memory()
        export = expected_export([FORMATS[self._records[handle].format] for handle in self._members])
        return expected_memory(export, self.config)


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
