"""Computes chunks on a cluster of Dask's: whatever process does one, and however often, it gives the same bits."""

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from exporter.artifact import folder
from exporter.errors import ClusterError, EvaluationError, MachineError, NasexportError
from exporter.evaluation import cluster_task
from exporter.evaluation.cluster_connection import ClusterOptions, connected
from exporter.evaluation.cluster_task import Answer, Task
from exporter.evaluation.engine import D, Work
from exporter.evaluation.jobs import Chunk, ChunksRequest, ChunksResult
from exporter.evaluation.threads import ONE
from exporter.probe.jobs import probe_job
from exporter.processes import device, environment, memory
from exporter.processes.job import Job
from exporter.processes.messages import from_plain, to_plain
from exporter.progress import Say

#: Chunks that wait at the scheduler for each thread of a worker: so many that none waits, and no more.
_AHEAD = 2
#: How many names of images an error has.
_SHOWN = 5
#: What a future is when its worker ended before anybody had the result: it is computed anew.
_LOST_RESULT = ("pending", "lost")
_LOST = "the connection to the scheduler was lost: run the same command to continue"


@dataclass
class Cluster:
    """An engine, see `exporter.evaluation.engine.Engine`: chunks go to whoever is free.

    A chunk that ends the process of every worker that reads it ends the run; or, where broken images are to be skipped,
    is halved until the image is found. A worker that has another artifact, other versions or no disk left is told to
    leave the cluster.
    """

    options: ClusterOptions
    warn: Say
    debug: bool = False
    workers: int = 0

    def compute(
        self,
        job: Job[ChunksRequest, ChunksResult, D],
        work: Work,
        chunks: Iterable[Chunk],
        take: Callable[[D], object],
        say: Say,
    ) -> None:
        """See `exporter.evaluation.engine.Engine`."""
        if device.wanted(job) == "gpu":
            raise ClusterError("workers of a cluster compute on the processor: leave out --device gpu")
        models = tuple(_with_absolute_path(model) for model in work.models)
        paths = [model.path for model in models]
        task = Task(
            job.reference.partition(":")[2],
            models,
            work.skip_broken,
            work.parts and work.parts.absolute(),
            tuple(map(folder.content, paths)),
            cluster_task.versions_of(paths),
        )
        if self.options.workers:
            _require_room(self.options.workers, paths)
        say("starting the workers" if self.options.workers else "connecting to the cluster")
        preload = _preload(paths)
        with connected(self.options, _variables(job, self.debug), preload, self.debug) as client:
            run = _Run(self, client, json.dumps(to_plain(task)), work.skip_broken)
            (event,) = job.events
            with _connected():
                run.all(iter(chunks), lambda plain: take(from_plain(plain, event)))


def _require_room(workers: int, paths: Sequence[Path]) -> None:
    """Refuses more workers than there are cores, or than there is memory for: by the least that each takes, which is a
    probe's of so many weights.

    Raises:
        MachineError: there is too little of one.
    """
    if workers > memory.cores():
        raise MachineError(f"--workers {workers} is more than the {memory.cores()} cores that this machine has for it")
    needed = 0.0
    for path in paths:
        expected = probe_job(folder.require_artifact(path)).memory
        assert expected
        weights = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        needed = max(needed, expected.base) + expected.per_weight * weights
    free = memory.free_memory()
    if workers * needed > free:
        raise MachineError(
            f"{workers} workers take {workers * needed / 1e9:.1f} GB and more, and {free / 1e9:.1f} GB are free: "
            f"choose fewer --workers"
        )


def _preload(paths: Sequence[Path]) -> list[str]:
    """The modules that workers which are started here have in common."""
    with_tensorflow = any(folder.require_artifact(path).runs_with_tensorflow for path in paths)
    return ["distributed", *(["exporter.evaluation.cluster_preload"] if with_tensorflow else [])]


def _with_absolute_path(model: Any) -> Any:
    """Workers have another working folder."""
    return type(model)(model.path.absolute(), model.image_size, model.classes, model.trust)


def _variables(job: Job[Any, Any, Any], debug: bool) -> dict[str, str]:
    """The variables of workers that are started here; what imports the package finds it as this process does."""
    import exporter

    variables = environment.of_worker([job], "cpu", debug)
    parts = [str(Path(exporter.__file__).resolve().parent.parent), variables.get("PYTHONPATH", "")]
    quiet = {} if debug else {cluster_task.QUIET: "1"}
    return {**ONE, **quiet, **variables, "PYTHONPATH": ":".join(filter(None, parts))}


@contextlib.contextmanager
def _connected() -> Iterator[None]:
    """Within it, what a lost connection raises, in whatever class, is a ClusterError."""
    try:
        yield
    except NasexportError:
        raise
    except (Exception, asyncio.CancelledError) as error:
        if not isinstance(error, OSError | CancelledError | asyncio.CancelledError) and not _is_of_dask(error):
            raise
        text = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise ClusterError(f"{_LOST}\n({text})") from error


def _is_of_dask(error: BaseException) -> bool:
    return type(error).__module__.partition(".")[0] == "distributed"


@dataclass
class _Run:
    """A run on a connected cluster. ``unfit`` has the addresses of workers that were told to leave."""

    cluster: Cluster
    client: Any
    task: str
    skip_broken: bool
    unfit: set[str] = field(default_factory=set)

    def all(self, chunks: Iterator[Chunk], take: Callable[[Any], object]) -> None:
        """Computes all chunks.

        Raises:
            NasexportError: of the first that failed.
        """
        from distributed import as_completed

        waiting = as_completed(raise_errors=False)
        known: dict[Any, Chunk] = {}
        ended: list[Chunk] = []

        def submit(chunk: Chunk) -> None:
            future = self._submitted(chunk)
            known[future] = chunk
            waiting.add(future)

        for chunk in islice(chunks, self._room()):
            submit(chunk)
        while known:
            future = next(waiting)
            if future.status in _LOST_RESULT:
                waiting.add(future)
                continue
            chunk = known.pop(future)
            answer = self._answer(future)
            if answer is None:
                # Perhaps another chunk ended the process: what this one does is seen when it is alone.
                ended.append(chunk)
            elif answer.unfit or answer.machine:
                self._leave_out(answer)
                submit(chunk)
            else:
                self._taken(answer, take)
            for more in islice(chunks, max(0, self._room() - len(known))):
                submit(more)
        for chunk in ended:
            self._alone(chunk, take)

    def _room(self) -> int:
        """How many chunks may be at the cluster now."""
        threads = {name: count for name, count in self.client.nthreads().items() if name not in self.unfit}
        self.cluster.workers = len(threads)
        return max(1, _AHEAD * sum(threads.values()))

    def _submitted(self, chunk: Chunk, lost: tuple[int, ...] = (), *, probe: bool = False) -> Any:
        text = json.dumps(to_plain(chunk))
        return self.client.submit(cluster_task.do, self.task, text, list(lost), probe=probe, pure=False)

    def _answer(self, future: Any) -> Answer | None:
        """What came of a chunk; None where it, or another beside it, ended one process after the other.

        Raises:
            ClusterError: the scheduler is gone, or the worker cannot even be asked.
        """
        from distributed import KilledWorker

        if future.status == "finished":
            return from_plain(json.loads(future.result()), Answer)
        if future.status == "cancelled":
            raise ClusterError(_LOST)
        error = future.exception()
        if isinstance(error, KilledWorker):
            return None
        text = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise ClusterError(f"a worker cannot do the work; has it this version of nasexport? {text}") from error

    def _leave_out(self, answer: Answer) -> None:
        """Tells a worker to leave the cluster.

        Raises:
            NasexportError: there is no other worker: that of its machine, or a ClusterError.
        """
        what = answer.unfit or (answer.failure.message if answer.failure else "")
        if answer.worker not in self.unfit:
            self.unfit.add(answer.worker)
            self.cluster.warn(f"the worker {answer.worker} was told to leave: {what}")
        if not set(self.client.nthreads()) - self.unfit:
            if answer.failure:
                raise answer.failure.exception()
            raise ClusterError(f"no worker is left that can do the work: {what}")
        # Not before: what waits for a worker goes nowhere when the last of them leaves.
        self.client.retire_workers([answer.worker])

    def _taken(self, answer: Answer, take: Callable[[Any], object]) -> None:
        if answer.failure:
            raise answer.failure.exception()
        for plain in answer.done:
            take(plain)

    def _alone(self, chunk: Chunk, take: Callable[[Any], object]) -> None:
        """Computes a chunk during which processes ended, with no other beside it."""
        answer = None if self.skip_broken else self._asked(chunk)
        if answer is None:
            if not self.skip_broken:
                names = ", ".join(image.name for image in chunk.images[:_SHOWN])
                more = f" and {len(chunk.images) - _SHOWN} more" if len(chunk.images) > _SHOWN else ""
                raise EvaluationError(
                    f"every worker that read these images was ended, as by a lack of memory: {names}{more}\n"
                    f"--skip-broken finds the one that does it, and leaves it out"
                )
            lost = self._culprits(chunk, 0, len(chunk.images))
            names = ", ".join(chunk.images[place].name for place in lost[:_SHOWN])
            if lost:
                self.cluster.warn(f"left out, since every worker that read it was ended: {names}")
            answer = self._asked(chunk, lost)
            if answer is None:
                raise ClusterError("workers were ended by images that end none alone: there may be too little memory")
        self._taken(answer, take)

    def _asked(self, chunk: Chunk, lost: tuple[int, ...] = (), *, probe: bool = False) -> Answer | None:
        while True:
            future = self._submitted(chunk, lost, probe=probe)
            future_answer = self._waited(future)
            if future_answer is None or not (future_answer.unfit or future_answer.machine):
                return future_answer
            self._leave_out(future_answer)

    def _waited(self, future: Any) -> Answer | None:
        from distributed import wait

        wait(future)
        while future.status in _LOST_RESULT:
            wait(future)
        return self._answer(future)

    def _culprits(self, chunk: Chunk, begin: int, end: int) -> tuple[int, ...]:
        """The places from ``begin`` to ``end`` of the images of a chunk that end processes, found by halving."""
        part = Chunk(chunk.start + begin, chunk.images[begin:end], chunk.models)
        if self._asked(part, probe=True) is not None:
            return ()
        if end - begin == 1:
            return (begin,)
        middle = (begin + end) // 2
        return self._culprits(chunk, begin, middle) + self._culprits(chunk, middle, end)
