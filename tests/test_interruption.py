"""What Ctrl-C finds, at whatever line it comes: nothing goes on, and nobody waits for what will not come."""

import contextlib
import gc
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import filelock._api
import psutil
import pytest

from exporter import interruption
from exporter.checkpoint.jobs import INVENTORY, SYNTHESIZE, InventoryRequest
from exporter.errors import NasexportError, WorkerError
from exporter.files import staging
from exporter.models.config import model
from exporter.processes import run, scheduler
from exporter.processes.scheduler import ScheduledTask

#: When what is not ended ends all the same, in seconds.
_LATE = 10.0


@pytest.fixture(autouse=True)
def heeded() -> Iterator[None]:
    """Ctrl-C interrupts, also where the tests are started by what makes its children deaf to it, as a shell does."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True)
def nothing_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the tests' own process has begun is not ended with what is interrupted here."""
    monkeypatch.setattr(interruption, "_left", [])


class _Interruption:
    """A signal at one of the lines that the main thread executes within it, counted from 0."""

    def __init__(self, line: int):
        self._left, self.came = line, False

    def __enter__(self) -> "_Interruption":
        self._traced = sys.gettrace()
        # The one before may have come where another handler is replaced.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        sys.settrace(self._trace)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        sys.settrace(self._traced)
        return self.came and kind is KeyboardInterrupt

    def _trace(self, frame: FrameType, event: str, _: object) -> Any:
        if event == "line" and not self.came and frame.f_code.co_filename != __file__:
            self._left -= 1
            if self._left < 0 and self._is_heard(frame):
                self.came = True
                signal.raise_signal(signal.SIGINT)
        return self._trace

    def _is_heard(self, frame: FrameType | None) -> bool:
        """Whether somebody gets what is raised there, unlike in a finalizer or a callback of a weak reference."""
        while frame:
            if frame.f_code.co_name == "__del__" or "weakref" in frame.f_code.co_filename:
                return False
            frame = frame.f_back
        return True


def _at_each_line(function: Callable[[_Interruption], object], check: Callable[[], object]) -> int:
    """Calls ``function`` with an interruption at its first line, at its second, and so on, and each time ``check``.

    How many lines it has.
    """
    # What it imports the first time has lines of its own, which would be taken for its end when they come no more.
    function(_Interruption(-1))
    line = 0
    # What is there already is not looked through each time.
    gc.freeze()
    try:
        while True:
            with _Interruption(line) as once:
                function(once)
            # A context that was entered and never left ends with its traceback, or when the process does.
            gc.collect()
            interruption.finish()
            check()
            # Where filelock was cut off, this process could start no other any more.
            assert filelock._api._FORK_STATE.active_transitions == 0
            if not once.came:
                return line
            line += 1
    finally:
        gc.unfreeze()


class _Workers:
    """In place of processes: until there is an interruption they soon end, then when all that run are ended."""

    def __init__(self) -> None:
        self.interruption: _Interruption | None = None
        self.running: set[threading.Event] = set()
        self.late = False

    def work(self) -> None:
        ended, end = threading.Event(), time.monotonic() + _LATE
        self.running.add(ended)
        while not ended.wait(0.001) and self.interruption and self.interruption.came and not self.late:
            self.late = time.monotonic() > end
        self.running.remove(ended)

    def end_all(self) -> None:
        for ended in list(self.running):
            ended.set()


@pytest.mark.long
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_scheduler_that_is_interrupted_ends_all_that_it_began(jobs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    workers = _Workers()
    monkeypatch.setattr(run, "end_all", workers.end_all)
    monkeypatch.setattr(interruption, "PATIENCE", 0.01)
    before = threading.active_count()

    def schedule(once: _Interruption) -> None:
        workers.interruption = once
        following = ScheduledTask(1, workers.work)
        scheduler.run([ScheduledTask(1, workers.work, lambda: [following]), ScheduledTask(1, workers.work)], jobs, 9)

    def check() -> None:
        assert (threading.active_count(), workers.late) == (before, False)

    assert _at_each_line(schedule, check) > 100


@pytest.mark.more_stops
def test_a_command_that_is_interrupted_ends_its_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    request = InventoryRequest(model("nasnet_mobile"), tmp_path)

    def started(*_: object) -> subprocess.Popen[str]:
        piped = subprocess.PIPE
        return subprocess.Popen(["sleep", "0.02"], stdin=piped, stdout=piped, stderr=piped, text=True)

    monkeypatch.setattr(run, "_started", started)
    monkeypatch.setattr(interruption, "PATIENCE", 0.01)

    def work(_: _Interruption) -> None:
        with contextlib.suppress(WorkerError):
            run.run(INVENTORY, request, scratch=tmp_path)

    def check() -> None:
        assert (psutil.Process().children(), list(tmp_path.iterdir())) == ([], [])

    assert _at_each_line(work, check) > 100


class _Server:
    """In place of a process that imports, for workers to be forked from."""

    running: set["_Server"] = set()  # noqa: RUF012

    def __init__(self, *_: object) -> None:
        self.running.add(self)

    def close(self) -> None:
        self.running.remove(self)


@pytest.mark.more_stops
def test_what_workers_would_be_forked_from_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "ForkServer", _Server)

    def share(_: _Interruption) -> None:
        with run.shared_import(SYNTHESIZE, at_once=True):
            pass

    def check() -> None:
        assert _Server.running == set()

    assert _at_each_line(share, check) > 100


@pytest.mark.more_stops
def test_what_is_being_written_is_gone(tmp_path: Path) -> None:
    def write(_: _Interruption) -> None:
        with (
            staging.held(tmp_path / "lock", NasexportError, "taken"),
            staging.in_turn(tmp_path / "turn", lambda: None, keep=False),
            staging.folder_beside(tmp_path / "new") as folder,
        ):
            staging.write(folder / "file", b"content")

    def check() -> None:
        assert list(tmp_path.iterdir()) == []

    assert _at_each_line(write, check) > 100


def test_the_first_signal_counts() -> None:
    def second(_: int, __: object) -> NoReturn:
        raise AssertionError

    def interrupted() -> None:
        with interruption.deferred():
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.raise_signal(number)

    before = {number: signal.signal(number, second) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        with pytest.raises(KeyboardInterrupt):
            interrupted()
        assert {signal.getsignal(number) for number in before} == {second}
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_what_a_block_has_left_is_done_once_when_its_process_ends() -> None:
    begun = "import os\nfrom exporter import interruption\nblock = interruption.afterwards(lambda: print('done'))\n"
    forked = "block.__enter__()\nif os.fork() == 0:\n    raise SystemExit\nassert os.wait()[1] == 0\n"
    done = subprocess.run([sys.executable, "-c", begun + forked], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("done\n", "")
