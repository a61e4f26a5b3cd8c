"""The way of one model's artifacts from its checkpoint to their places, as tasks for `exporter.processes.scheduler`.

Export and reference need nothing of each other and run side by side. What both are needed for begins when both are
there: artifacts are completed side by side, those aside of which one spares the next some of its verification.
``build`` runs the pipeline of one model, ``release`` those of all.
"""

import abc
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


class Pipeline(abc.ABC, Generic[Key]):
    """The steps of one model, in their order; what each of them does is what a subclass says.

    `export`, `prepare` and `complete` are called in threads of their own, everything else in that of the scheduler.
    """

    def __init__(self, config: ModelConfig, exporting: AnyJob, needs_reference: bool):
        """Steps that begin with the job ``exporting``, and with the reference where anything is to be verified."""
        self.config = config
        self._preparations = {exporting: self.export}
        if needs_reference:
            self._preparations[REFERENCE] = self.prepare
        self._missing = set(self._preparations)
        self._chains: Chains[Key] = Chains((), {})
        self._specs: Mapping[Key, tuple[FormatSpec, Task]] = {}

    @abc.abstractmethod
    def export(self) -> None:
        """Writes all artifacts where they are verified."""

    @abc.abstractmethod
    def prepare(self) -> None:
        """Gets the reference."""

    @abc.abstractmethod
    def unprepared(self, job: AnyJob, error: NasexportError) -> None:
        """Told that one of both failed: nothing will be completed. What it raises ends everything."""

    @abc.abstractmethod
    def prepared(self) -> Mapping[Key, tuple[FormatSpec, Task]]:
        """Told that both are done; the artifacts that are to be completed now, in their order."""

    @abc.abstractmethod
    def complete(self, key: Key) -> None:
        """Verifies an artifact, and does what comes after that."""

    @abc.abstractmethod
    def completed(self, key: Key, error: NasexportError | None) -> None:
        """Told that an artifact is complete, or why it cannot be; what it raises ends everything."""

    def tasks(self) -> Collection[ScheduledTask]:
        """What can be done at once; the rest follows from it."""

        def task(job: AnyJob) -> ScheduledTask:
            memory, do = expected_memory(job, self.config), self._preparations[job]
            return ScheduledTask(memory, do, lambda: self._prepared_by(job), lambda error: self._unprepared(job, error))

        return [task(job) for job in self._preparations]

    def _unprepared(self, job: AnyJob, error: NasexportError) -> Collection[ScheduledTask]:
        self.unprepared(job, error)
        return ()

    def _prepared_by(self, job: AnyJob) -> Collection[ScheduledTask]:
        self._missing.discard(job)
        if self._missing:
            return ()
        self._specs = self.prepared()
        self._chains = chains(self._specs)
        return [self._completion(key) for key in self._chains.first]

    def _completion(self, key: Key) -> ScheduledTask:
        def after(error: NasexportError | None) -> Collection[ScheduledTask]:
            self.completed(key, error)
            return [self._completion(each) for each in self._chains.following.get(key, ())]

        memory = expected_memory(probe_job(self._specs[key][0]), self.config)
        return ScheduledTask(memory, lambda: self.complete(key), lambda: after(None), after)
