"""The way of one model's artifacts to their verdicts and places, as tasks for `exporter.processes.scheduler`.

What needs nothing of another runs side by side: the export and the reference; then the probes, each of which begins as
soon as its artifact is there, but for those that an earlier one spares some of their work. An artifact is completed
when it was probed and the reference is there. What probes of a format found is kept until the last of them has run.
``build`` runs the pipeline of one model, ``release`` those of all; ``verify`` and ``release verify`` run it over
artifacts that are there.
"""

import abc
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Generic

from exporter.errors import NasexportError
from exporter.models.config import ModelConfig, Task
from exporter.models.formats import FormatSpec
from exporter.probe.jobs import probe_job
from exporter.processes.memory import expected_memory
from exporter.processes.run import AnyJob
from exporter.processes.scheduler import ScheduledTask
from exporter.reference.jobs import REFERENCE
from exporter.verification.chains import Chains, Key, chains
from exporter.verification.prober import Probed
from exporter.verification.results import Check

#: What it takes to compare an artifact with the reference, or to pack it, in bytes; done in the command's own process.
_COMPLETION_MEMORY = 200_000_000
#: The name of what is there before the pipeline begins.
PRESENT = "present"


class Pipeline(abc.ABC, Generic[Key]):
    """The steps of one model, in their order; what each of them does is what a subclass says.

    `export`, `prepare`, `probe` and `complete` are called in threads of their own, everything else in that of the
    scheduler.
    """

    def __init__(self, config: ModelConfig, exports: Mapping[str, AnyJob], needs_reference: bool):
        """Steps that begin with ``exports``, jobs by names of their own, and with the reference.

        Without exports, the artifacts are there.
        """
        self.config = config
        self._exports, self._needs_reference = exports, needs_reference
        self._has_reference = not needs_reference
        self._failed = False
        self._awaiting: list[Key] = []
        self._probed: dict[Key, Probed | Check] = {}
        self._chains: dict[Key, Chains[Key]] = {}
        self._specs: dict[Key, tuple[FormatSpec, Task]] = {}
        #: Of each format, how many artifacts are still to be probed; how many, and exports, are still to be completed.
        self._unprobed: Counter[str] = Counter()
        self._incomplete = len(exports) or 1

    def planned(self, name: str) -> Mapping[Key, tuple[FormatSpec, Task]]:
        """The artifacts that an export is to write, where the pipelines of several models run side by side."""
        return {}

    def export(self, name: str) -> None:
        """Writes artifacts where they are probed; called for each of the exports."""
        raise NotImplementedError

    @abc.abstractmethod
    def prepare(self) -> None:
        """Gets the reference."""

    def unprepared(self, job: AnyJob, error: NasexportError) -> None:
        """Told that export or reference failed: nothing will be completed. What it raises ends everything."""
        raise error

    @abc.abstractmethod
    def exported(self, name: str) -> Mapping[Key, tuple[FormatSpec, Task]]:
        """Told that the artifacts of an export are there; those that are to be completed, in their order.

        Without exports, told once, of `PRESENT`.
        """

    @abc.abstractmethod
    def probe(self, key: Key) -> Probed | Check:
        """Runs an artifact: see `exporter.verification.verifier.Verifier.probe`."""

    @abc.abstractmethod
    def complete(self, key: Key, probed: Probed | Check) -> None:
        """Compares what an artifact gave with the reference, and does what comes after that."""

    def completion_memory(self) -> int:
        """What `complete` is expected to need, in bytes."""
        return _COMPLETION_MEMORY

    def completed(self, key: Key, error: NasexportError | None) -> None:
        """Told that an artifact is complete, or why it cannot be; what it raises ends everything."""
        if error:
            raise error

    def forget(self, spec: FormatSpec) -> None:
        """Told that all artifacts of a format have been probed."""

    def close(self) -> None:
        """Told that each artifact of the model is complete, or cannot be."""

    def tasks(self) -> Collection[ScheduledTask]:
        """What can be done at once; the rest follows from it."""
        # The reference first: where only one can run at a time, an artifact is then complete before the next is probed.
        tasks = [self._preparation(REFERENCE)] if self._needs_reference else []
        tasks += [self._preparation(job, name) for name, job in self._exports.items()]
        if not self._exports:
            tasks += self._begun(PRESENT)
        return tasks

    def _preparation(self, job: AnyJob, name: str | None = None) -> ScheduledTask:
        def failed(error: NasexportError) -> Collection[ScheduledTask]:
            self._failed = True
            self.unprepared(job, error)
            return ()

        memory = expected_memory(job, self.config)
        if name is None:
            return ScheduledTask(memory, self.prepare, self._with_reference, failed)
        following = chains(self.planned(name))
        remaining = 1 + max(map(following.length, following.first), default=0)
        return ScheduledTask(memory, lambda: self.export(name), lambda: self._begun(name), failed, remaining)

    def _begun(self, name: str) -> Collection[ScheduledTask]:
        """The first probes of an export, once its artifacts are there."""
        specs = self.exported(name)
        if self._failed:
            return ()
        self._specs.update(specs)
        self._unprobed.update(spec.name for spec, _ in specs.values())
        self._incomplete += len(specs) - 1
        found = chains(specs)
        self._chains |= dict.fromkeys(specs, found)
        return [self._probe(key) for key in found.first]

    def _with_reference(self) -> Collection[ScheduledTask]:
        self._has_reference = True
        return [self._completion(key) for key in self._awaiting]

    def _probe(self, key: Key) -> ScheduledTask:
        spec, chain = self._specs[key][0], self._chains[key]

        def after(error: NasexportError | None) -> Collection[ScheduledTask]:
            self._unprobed[spec.name] -= 1
            if self._failed:
                return ()
            following = [self._probe(each) for each in chain.following.get(key, ())]
            if not self._unprobed[spec.name]:
                self.forget(spec)
            if error:
                self._ended(key, error)
                return following
            if self._has_reference:
                return [self._completion(key), *following]
            self._awaiting.append(key)
            return following

        def run() -> None:
            self._probed[key] = self.probe(key)

        memory = expected_memory(probe_job(spec), self.config)
        return ScheduledTask(memory, run, lambda: after(None), after, chain.length(key))

    def _completion(self, key: Key) -> ScheduledTask:
        def after(error: NasexportError | None) -> Collection[ScheduledTask]:
            self._ended(key, error)
            return ()

        def run() -> None:
            self.complete(key, self._probed.pop(key))

        return ScheduledTask(self.completion_memory(), run, lambda: after(None), after)

    def _ended(self, key: Key, error: NasexportError | None) -> None:
        self._incomplete -= 1
        self.completed(key, error)
        if not self._incomplete:
            self.close()
