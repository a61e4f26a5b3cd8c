"""Makes a release: what is missing of it, side by side, each checkpoint read once for all that is made of it."""

import contextlib
import dataclasses
import functools
import itertools
import shutil
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import filelock

from exporter.build import warn_of_surprises
from exporter.checkpoint.source import Source
from exporter.errors import FetchError, NasexportError, ReleaseError, WorkerError
from exporter.fetch import published
from exporter.models import variables
from exporter.models.config import ModelConfig, largest_task
from exporter.processes import run as worker
from exporter.processes import scheduler
from exporter.processes.scheduler import Task
from exporter.progress import SILENT, Listener
from exporter.release import artifact, finalize
from exporter.release.plan import Planned, Target, planned
from exporter.settings import Settings
from exporter.verification.verify import Choices, Verifier

#: Where artifacts lie until they are whole; on the release's own file system, so that moving them is renaming them.
PARTIAL = ".partial"
_LOCK = ".release.lock"

#: Largest resident sets of the jobs' processes, in bytes: one part for TensorFlow and the graph, one for each byte of
#: weights. Measured with TensorFlow 2.21: 0.89 and 1.40 GB, 0.95 and 2.01 GB, 1.11 and 2.15 GB for nasnet_mobile and
#: nasnet_large.
_MEMORY = {"export": (0.9e9, 1.5), "reference": (0.9e9, 3.2), "probe": (1.1e9, 3.1)}


@dataclass(frozen=True)
class Made:
    """What became of one artifact: "kept", "made" or "failed", and then why; ``seconds`` it took to verify and pack."""

    handle: str
    state: str
    reason: str = ""
    seconds: float = 0.0


@dataclass
class Outcome:
    """What a run did.

    ``peaks`` has the largest resident set of the processes for each job of each model, in bytes, by ``(model, job)``.
    """

    made: list[Made] = field(default_factory=list)
    peaks: dict[tuple[str, str], int] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def failed(self) -> list[Made]:
        return [made for made in self.made if made.state == "failed"]

    def to_dict(self) -> dict[str, Any]:
        peaks = [{"model": model, "job": job, "bytes": peak} for (model, job), peak in sorted(self.peaks.items())]
        return {"artifacts": [dataclasses.asdict(made) for made in self.made], "peaks": peaks, "seconds": self.seconds}


def plan(
    targets: Sequence[Target],
    release: Path,
    checkpoints: Mapping[str, Path],
    settings: Settings = Settings(),
    *,
    listener: Listener = SILENT,
) -> list[Planned]:
    """How each target stands, without the network: a published archive counts where it is in the cache.

    Raises:
        NasexportError: a checkpoint that the user named is not one.
    """
    settings = dataclasses.replace(settings, offline=True)
    found = []
    for config, members in _by_model(targets):
        with contextlib.ExitStack() as stack:
            source, named = None, checkpoints.get(config.name)
            try:
                source = stack.enter_context(published.opened(config, named, settings, listener))
            except FetchError:
                if named:
                    raise
            for target in members:
                listener.step(f"checking {target.place.handle}")
                found.append(planned(target, release, source, settings))
    return sorted(found, key=lambda each: targets.index(each.target))


def make(
    targets: Sequence[Target],
    release: Path,
    checkpoints: Mapping[str, Path],
    settings: Settings = Settings(),
    *,
    jobs: int = 2,
    memory: int | None = None,
    listener: Listener = SILENT,
    debug: bool = False,
) -> Outcome:
    """Makes what is missing, stale or damaged of ``targets``, and then what belongs to the release as a whole.

    An artifact that fails does not stop the others, but leaves the release without a manifest.

    Args:
        checkpoints: of models by name, what `exporter.checkpoint.source.opened` takes; the others are fetched.
        jobs: how many processes may work at a time.
        memory: how much they may need in all, in bytes; by default nine tenths of what is free now.

    Raises:
        ReleaseError: another process makes the same release, its folder cannot be written, or artifacts of other models
            that are there already are not sound.
    """
    began = time.monotonic()
    outcome = Outcome()
    with held(release), contextlib.ExitStack() as stack:
        models = []
        groups = _by_model(targets)
        opened = _opened(stack, [config for config, _ in groups], checkpoints, settings, listener, release / PARTIAL)
        for (config, members), open_ in zip(groups, opened, strict=True):
            try:
                source = open_()
            except NasexportError as error:
                outcome.made += [Made(target.place.handle, "failed", str(error)) for target in members]
                continue
            plans = []
            for target in members:
                listener.step(f"checking {target.place.handle}")
                plans.append(planned(target, release, source, settings))
            outcome.made += [Made(each.target.place.handle, "kept") for each in plans if each.state == "done"]
            if todo := [each for each in plans if each.state != "done"]:
                models.append(_Model(config, source, todo, release, settings, outcome, listener, debug))
        if models or outcome.failed:
            finalize.open_again(release)
        with contextlib.ExitStack() as verifiers:
            # The largest take longest: they begin.
            models.sort(key=lambda model: -variables.parameters(model.config, "classification"))
            tasks = [task for model in models for task in model.tasks(verifiers)]
            scheduler.run(tasks, jobs, memory if memory is not None else free_memory())
        order = [target.place.handle for target in targets]
        outcome.made.sort(key=lambda made: order.index(made.handle))
        if not outcome.failed:
            listener.step("writing the manifest")
            finalize.close(release, {made.handle for made in outcome.made})
    outcome.seconds = time.monotonic() - began
    return outcome


def _opened(
    stack: contextlib.ExitStack,
    configs: Sequence[ModelConfig],
    checkpoints: Mapping[str, Path],
    settings: Settings,
    listener: Listener,
    scratch: Path,
) -> list[Callable[[], Source]]:
    """What gives the checkpoint of each model, for as long as ``stack`` is open.

    Those that the user named are unpacked side by side; the others are fetched one after the other, when asked for.
    """

    def one(config: ModelConfig) -> Source:
        return stack.enter_context(
            published.opened(config, checkpoints.get(config.name), settings, listener, scratch=scratch)
        )

    with ThreadPoolExecutor() as threads:
        return [
            threads.submit(one, config).result if config.name in checkpoints else functools.partial(one, config)
            for config in configs
        ]


def steps(targets: Collection[Target]) -> int:
    """The number of steps that `make` reports where it has to make all targets."""
    models = {target.config.name for target in targets}
    return 2 * len(models) + 5 * len(targets) + 1


def _by_model(targets: Iterable[Target]) -> list[tuple[ModelConfig, list[Target]]]:
    groups: dict[str, list[Target]] = {}
    for target in targets:
        groups.setdefault(target.config.name, []).append(target)
    return [(members[0].config, members) for members in groups.values()]


def expected_memory(job: str, config: ModelConfig) -> int:
    """What a process is expected to need for a network, in bytes."""
    base, factor = _MEMORY[job]
    return int(base + factor * 4 * variables.parameters(config, "classification"))


def free_memory() -> int:
    """Nine tenths of what this machine has left, in bytes."""
    import psutil

    return int(psutil.virtual_memory().available * 0.9)


@contextlib.contextmanager
def held(release: Path) -> Iterator[None]:
    """The folder of a release, made where it is not there, for one process alone.

    What a killed one left behind is cleared away.

    Raises:
        ReleaseError: another process has it, or it cannot be written.
    """
    lock = filelock.FileLock(release / _LOCK)
    try:
        release.mkdir(parents=True, exist_ok=True)
        lock.acquire(blocking=False)
    except filelock.Timeout as error:
        raise ReleaseError(
            f"another nasexport is at work on {release}: wait for it, or choose another --output"
        ) from error
    except OSError as error:
        raise ReleaseError(f"cannot write in {release}: {error.strerror}") from error
    try:
        shutil.rmtree(release / PARTIAL, ignore_errors=True)
        (release / PARTIAL).mkdir()
        yield
    finally:
        shutil.rmtree(release / PARTIAL, ignore_errors=True)
        (release / _LOCK).unlink(missing_ok=True)
        lock.release()


class _Model:
    """What is to be made of one model: exported by one process, and verified against one reference."""

    def __init__(
        self,
        config: ModelConfig,
        source: Source,
        todo: Sequence[Planned],
        release: Path,
        settings: Settings,
        outcome: Outcome,
        listener: Listener,
        debug: bool,
    ):
        self.config, self._source, self._todo = config, source, todo
        self._release, self._settings, self._outcome = release, settings, outcome
        self._listener, self._debug = listener, debug
        self._guard = threading.Lock()
        self._partial = release / PARTIAL / config.name
        self._exported: dict[str, Any] = {}
        self._failures: dict[str, str] = {}
        self._waits_for = 2
        #: By the handle of an artifact, those to be completed once it is.
        self._after: dict[str, list[Planned]] = {}

    def tasks(self, stack: contextlib.ExitStack) -> list[Task]:
        """Export and reference, which bring forth the rest; ``stack`` ends what they need when all is done."""
        self._partial.mkdir(parents=True)
        tasks = {each.target.task for each in self._todo}
        self._verifier = stack.enter_context(
            Verifier(
                self.config,
                self._source,
                largest_task(tasks),
                self._settings,
                Choices(measure=True),
                scratch=self._partial,
                debug=self._debug,
            )
        )
        return [
            Task(expected_memory("export", self.config), self._export, self._ready, self._all_failed),
            Task(expected_memory("reference", self.config), self._prepare, self._ready, self._all_failed),
        ]

    def _folder(self, target: Target) -> Path:
        return self._partial / f"{target.task}-{target.version}"

    def _step(self, text: str) -> None:
        with self._guard:
            self._listener.step(text)

    def _export(self) -> None:
        """Exports all targets; where the process ends before it is done, a new one goes on after the guilty target."""
        waiting = list(self._todo)
        while waiting:
            writing = ""

            def report(said: Any) -> None:
                nonlocal writing
                if isinstance(said, str):
                    self._step(f"{self.config.name}: {said}")
                elif "read" in said:
                    self._exported = said["read"]
                else:
                    writing = said["writes"]

            try:
                result = worker.run("export", self._request(waiting), report, self._debug, scratch=self._partial)
            except WorkerError as error:
                if not writing:
                    raise
                guilty = next(each for each in waiting if str(self._folder(each.target)) == writing)
                self._failures[guilty.target.place.handle] = str(error)
                waiting = waiting[waiting.index(guilty) + 1 :]
                continue
            self._saw_peak("export", result["peak_memory"])
            for each in waiting:
                if failure := result["failed"].get(str(self._folder(each.target))):
                    self._failures[each.target.place.handle] = failure[1]
            break
        warn_of_surprises(self._source, self._exported, self._listener.warn)

    def _request(self, planned: Sequence[Planned]) -> dict[str, Any]:
        targets = [each.target for each in planned]
        return {
            "config": self.config.to_dict(),
            "prefix": str(self._source.prefix),
            "targets": [
                {"task": t.task, "version": t.version, "momentum": t.momentum, "folder": str(self._folder(t))}
                for t in targets
            ],
        }

    def _prepare(self) -> None:
        self._verifier.prepare(lambda said: self._step(f"{self.config.name}: {said}"))

    def _ready(self) -> list[Task]:
        """A task for each artifact that may come first, once there are both artifacts and reference."""
        self._waits_for -= 1
        if self._waits_for:
            return []
        for handle, reason in self._failures.items():
            self._outcome.made.append(Made(handle, "failed", reason))
        chains: dict[tuple[str, str], list[Planned]] = {}
        for each in self._todo:
            if each.target.place.handle not in self._failures:
                chains.setdefault((each.target.format, each.target.task), []).append(each)
        # What they have in common is verified once: SavedModels of one task, and TF1 Hub modules of both.
        pairs = [pair for chain in chains.values() for pair in itertools.pairwise(chain)]
        first = {key: chain[0] for key, chain in chains.items()}
        if ("hub", "classification") in first and ("hub", "feature_vector") in first:
            pairs.append((first["hub", "classification"], first.pop(("hub", "feature_vector"))))
        for before, after in pairs:
            self._after.setdefault(before.target.place.handle, []).append(after)
        return [self._completion(each) for each in first.values()]

    def _all_failed(self, error: NasexportError) -> tuple[()]:
        if self._waits_for > 0:
            self._waits_for = -1
            self._outcome.made += [Made(each.target.place.handle, "failed", str(error)) for each in self._todo]
        return ()

    def _completion(self, each: Planned) -> Task:
        """The task of an artifact, which brings forth those that come after it."""
        handle = each.target.place.handle
        began = 0.0

        def run() -> None:
            nonlocal began
            began = time.monotonic()
            folder = self._folder(each.target)
            say = lambda said: self._step(f"{handle}: {said}")  # noqa: E731
            try:
                artifact.complete(each, folder, self._release, self._verifier, self._source, self._exported, say)
            except OSError as error:
                raise ReleaseError(f"cannot write {error.filename or folder}: {error.strerror}") from error
            finally:
                shutil.rmtree(folder, ignore_errors=True)

        def done(state: str, reason: str = "") -> list[Task]:
            self._outcome.made.append(Made(handle, state, reason, time.monotonic() - began))
            for job, peak in self._verifier.peaks.items():
                self._saw_peak(job, peak)
            return [self._completion(following) for following in self._after.get(handle, ())]

        memory = expected_memory("probe", self.config)
        return Task(memory, run, lambda: done("made"), lambda error: done("failed", str(error)))

    def _saw_peak(self, job: str, peak: int) -> None:
        key = (self.config.name, job)
        self._outcome.peaks[key] = max(peak, self._outcome.peaks.get(key, 0))
