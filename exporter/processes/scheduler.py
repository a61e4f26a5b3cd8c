"""Runs tasks side by side, as many as the number of jobs and the memory allow."""

import math
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass

from exporter import interruption
from exporter.errors import NasexportError
from exporter.processes import run as worker


@dataclass(frozen=True)
class ScheduledTask:
    """A function to run in a thread.

    ``memory`` is what it is expected to need, in bytes. In the scheduler's own thread, ``then`` is called when it is
    done, and gives the tasks that can now run; ``failed`` likewise when it raised one of nasexport's errors.
    ``remaining`` is how many tasks are to be done one after the other, it and what follows; infinite for what comes
    before all others.
    """

    memory: int
    run: Callable[[], object]
    then: Callable[[], Iterable["ScheduledTask"]] = tuple
    failed: Callable[[NasexportError], Iterable["ScheduledTask"]] = lambda _: ()
    remaining: float = math.inf


def run(tasks: Iterable[ScheduledTask], jobs: int, memory: int) -> None:
    """Runs tasks and those that follow from them.

    One at a time they run in order, but what follows from a task comes before what waits. Side by side those with the
    longest way to go begin, and of those the largest: none of them shall be left to run alone at the end.

    Never more than ``jobs`` run, and never any whose expected memory is more than ``memory`` bytes together with that
    of the others. One that needs more than that alone runs alone.

    Raises:
        BaseException: what a task raised that is none of nasexport's errors, or what interrupted the waiting; all
            workers have been ended then.
    """
    waiting = list(tasks)
    running: dict[Future[object], ScheduledTask] = {}
    with interruption.threads(jobs, worker.end_all) as threads:
        while waiting or running:
            while (task := _next(waiting, running.values(), jobs, memory)) is not None:
                waiting.remove(task)
                running[threads.submit(task.run)] = task
            if (done := threads.finished()) is None:
                break
            task = running.pop(done)
            try:
                done.result()
            except NasexportError as error:
                waiting[:0] = task.failed(error)
            else:
                waiting[:0] = task.then()


def _next(
    waiting: list[ScheduledTask], running: Iterable[ScheduledTask], jobs: int, memory: int
) -> ScheduledTask | None:
    """The first task that may start now."""
    running = list(running)
    if len(running) >= jobs:
        return None
    left = memory - sum(task.memory for task in running)
    in_turn = waiting if jobs == 1 else sorted(waiting, key=lambda task: (-task.remaining, -task.memory))
    return next((task for task in in_turn if task.memory <= left or not running), None)
