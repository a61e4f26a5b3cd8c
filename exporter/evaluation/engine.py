"""Computes chunks: in one worker process, by default, or wherever else there is an engine for it.

All engines call the same functions of `exporter.evaluation.chunks`, and so give the same bits.
"""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias, TypeVar

from exporter.artifact import folder
from exporter.evaluation.jobs import Chunk, ChunksRequest, ChunksResult, ClassifiedChunk, EmbeddedChunk, ModelToLoad
from exporter.files import temporary
from exporter.processes import run as worker
from exporter.processes.job import Job
from exporter.processes.messages import encode
from exporter.progress import Say

Done: TypeAlias = ClassifiedChunk | EmbeddedChunk
D = TypeVar("D", ClassifiedChunk, EmbeddedChunk)
AnyJob = TypeVar("AnyJob", bound=Job[Any, Any, Any])


@dataclass(frozen=True)
class Work:
    """What is to be done with every chunk: see `exporter.evaluation.jobs.ChunksRequest`."""

    models: tuple[ModelToLoad, ...]
    skip_broken: bool
    parts: Path | None = None


class Engine(Protocol):
    """What computes chunks."""

    @property
    def workers(self) -> int:
        """How many workers there are now; 0 where nobody counts them."""

    def compute(
        self,
        job: Job[ChunksRequest, ChunksResult, D],
        work: Work,
        chunks: Iterable[Chunk],
        take: Callable[[D], object],
        say: Say,
    ) -> None:
        """Does ``work`` with each chunk, and calls ``take`` in this process with what came of it, in any order.

        Raises:
            NasexportError: that of the job, for the first chunk that failed.
        """


@dataclass(frozen=True)
class OneProcess:
    """One worker process, which takes the chunks in their order."""

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
        """See `Engine`."""
        with temporary.folder() as made:
            # Not in the request, which is in memory as a whole.
            path = made / "chunks"
            with open(path, "w", encoding="ascii") as file:
                file.writelines(map(encode, chunks))
            request = ChunksRequest(work.models, path, work.skip_broken, work.parts)
            worker.run(fitting(job, [model.path for model in work.models]), request, say, self.debug, on_event=take)


def fitting(job: AnyJob, artifacts: Sequence[Path]) -> AnyJob:
    """A job as it is to run with these artifacts: without TensorFlow, where all of them do without it."""
    if any(folder.require_artifact(path).runs_with_tensorflow for path in artifacts):
        return job
    return dataclasses.replace(job, tensorflow=False, devices=("cpu",))
