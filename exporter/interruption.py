"""What signals such as Ctrl-C find: work that is told to end, never a line that is half done.

A signal's handler raises its exception between any two instructions of the main thread: where a thread has just been
started and nobody knows of it yet, or a lock is held. Here it waits until that does no harm.
"""

import atexit
import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Any, TypeVar

_T = TypeVar("_T")

_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
#: How long those that were told to end have until they are told again, in seconds: they may just have begun.
PATIENCE = 0.1


@contextlib.contextmanager
def deferred(on_signal: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Within it, a signal that would raise an exception calls ``on_signal`` at once, and raises at the end.

    Only the main thread is interrupted, so that this does nothing in others. The first signal counts.

    Args:
        on_signal: called between any two instructions; must not raise.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    over = False

    def record(number: int, frame: FrameType | None) -> None:
        if over:
            # It is still there: another signal came before it could be replaced.
            handlers[number](number, frame)
        else:
            came.append(number)
            on_signal()

    handlers = {number: handler for number in _SIGNALS if callable(handler := signal.getsignal(number))}
    try:
        for number in handlers:
            signal.signal(number, record)
        yield
    finally:
        first = came[:1]
        try:
            # Before others are restored: a second signal, of who is impatient, would be the first one that they get.
            for number in first:
                handlers[number](number, None)
        finally:
            over = True
            for number, handler in handlers.items():
                # A handler may have replaced others.
                if signal.getsignal(number) is record:
                    signal.signal(number, handler)
        if not first:
            for number in came[:1]:
                handlers[number](number, None)


#: What the blocks of `afterwards` call that have not ended.
_left: list[Callable[[], object]] = []
# A forked process has not begun what its parent has.
os.register_at_fork(after_in_child=_left.clear)


@contextlib.contextmanager
def afterwards(function: Callable[[], object]) -> Iterator[None]:
    """Calls ``function`` once, after the block or at the end of the process; a signal waits until it returns.

    The end of the process is for where a signal cut off what follows the block before its first instruction.
    """
    _left.append(function)
    try:
        yield
    finally:
        _call_left(function)


@atexit.register
def finish() -> None:
    """Calls what blocks of `afterwards` have left, the last first."""
    for function in reversed(_left.copy()):
        _call_left(function)


def _call_left(function: Callable[[], object]) -> None:
    with deferred():
        if function in _left:
            _left.remove(function)
            function()


class Threads:
    """Functions that run in threads of their own; see `threads`."""

    def __init__(self, executor: ThreadPoolExecutor, ready: "SimpleQueue[Future[Any] | None]"):
        self._executor, self._ready = executor, ready
        self.running: set[Future[Any]] = set()

    def submit(self, function: Callable[[], _T]) -> "Future[_T]":
        """Begins a function as soon as a thread is free."""
        future = self._executor.submit(function)
        self.running.add(future)
        future.add_done_callback(self._ready.put)
        return future

    def finished(self, timeout: float | None = None) -> "Future[Any] | None":
        """One that has ended, each once, waited for; None where a signal comes.

        Raises:
            queue.Empty: nothing came for ``timeout`` seconds.
        """
        future = self._ready.get(timeout=timeout)
        if future:
            self.running.remove(future)
        return future


@contextlib.contextmanager
def threads(count: int, end: Callable[[], object]) -> Iterator[Threads]:
    """Threads that have ended after the block, in which a signal raises no exception: it does so at the end.

    Args:
        end: threads cannot be ended, but this ends what they wait for. It is called until none runs, where the block
            was left before.
    """
    ready: SimpleQueue[Future[Any] | None] = SimpleQueue()
    with deferred(lambda: ready.put(None)), ThreadPoolExecutor(count) as executor:
        made = Threads(executor, ready)
        try:
            yield made
        finally:
            while made.running:
                end()
                with contextlib.suppress(Empty):
                    made.finished(PATIENCE)


def call(function: Callable[[], _T], end: Callable[[], object]) -> _T:
    """What ``function`` gives, called in another thread where this is the main one, and waited for.

    Args:
        end: when a signal comes, called until the function returns or raises.

    Raises:
        BaseException: what the function raises, or what the signal does.
    """
    if threading.current_thread() is not threading.main_thread():
        return function()
    with threads(1, end) as begun:
        future = begun.submit(function)
        begun.finished()
    return future.result()
