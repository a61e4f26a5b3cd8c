"""Runs contestants in fresh processes, in turns: seconds, memory of the tree of processes, and what they print."""

import contextlib
import json
import os
import re
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import psutil

ROOT = Path(__file__).resolve().parent.parent

_EVERY = 0.02
#: Looking for new processes reads every process of the machine, so it is done once in so many samples.
_SAMPLES_FOR_A_SEARCH = 10
#: Telling what a process shares walks all its pages, which takes milliseconds in which it cannot have new ones.
_SAMPLES_FOR_SHARES = 50
_SIZES = re.compile(rb"^(VmHWM|VmRSS|Pss):\s+(\d+) kB", re.MULTILINE)
#: Those that would lead a contestant to other packages, or to other settings, than its command says.
_MISLEADING = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PYENV_VERSION", "__PYVENV_LAUNCHER__")


class BenchmarkError(click.ClickException):
    """Something that cannot be measured; the command line prints the message and exits 1."""

    def show(self, file: Any = None) -> None:
        click.echo(f"benchmarks: error: {self.message}", err=True)


@dataclass(frozen=True)
class Contestant:
    """One command, run as often as there are runs. ``before`` clears the way for each run and is not measured."""

    name: str
    command: Sequence[object]
    variables: Mapping[str, str] = field(default_factory=dict)
    before: Callable[[], object] = lambda: None


@dataclass(frozen=True)
class Run:
    """What one process took: wall time in seconds, memory in bytes, and the JSON of its last line, if it is any.

    ``largest_process`` is the largest resident set that any one process of the tree ever had; ``all_processes`` the
    largest sum over the tree at any one time, in which pages that processes share count for each of them. In
    ``shares`` they count once; it is looked at once a second only.
    """

    seconds: float
    largest_process: int
    all_processes: int
    facts: Mapping[str, Any]
    shares: int = 0


def variables(**more: str) -> dict[str, str]:
    """The environment of a contestant: this one's, without what misleads, and with TensorFlow kept quiet."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in _MISLEADING and not name.startswith("NASEXPORT_")
    }
    return {**kept, "TF_CPP_MIN_LOG_LEVEL": "3", **more}


def take_turns(
    contestants: Sequence[Contestant],
    runs: int,
    logs: Path,
    report: Callable[[str], object] = lambda _: None,
) -> dict[str, list[Run]]:
    """Runs each contestant ``runs`` times, one after the other; each round begins with another one.

    What they print goes to a file in ``logs`` by the contestant's name.

    Raises:
        BenchmarkError: a contestant did not exit with 0.
    """
    found: dict[str, list[Run]] = {contestant.name: [] for contestant in contestants}
    for number in range(runs):
        first = number % len(contestants)
        for contestant in [*contestants[first:], *contestants[:first]]:
            run = measure(contestant, logs)
            found[contestant.name].append(run)
            report(
                f"run {number + 1} of {runs}, {contestant.name}: {run.seconds:.2f} s, {run.all_processes / 1e6:.0f} MB"
            )
    return found


def measure(contestant: Contestant, logs: Path) -> Run:
    """Runs a contestant once, to its end."""
    contestant.before()
    logs.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"\W+", "-", contestant.name).strip("-")
    out, err = logs / f"{name}.out", logs / f"{name}.err"
    command = [str(part) for part in contestant.command]
    # What the one before has left to be written must not slow this one down.
    os.sync()
    with open(out, "wb") as stdout, open(err, "wb") as stderr:
        began = time.perf_counter()
        try:
            process = subprocess.Popen(
                command, env=variables(**contestant.variables), stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr
            )
        except OSError as error:
            raise BenchmarkError(
                f"{contestant.name} could not be started: {command[0]}: {error.strerror}\n"
                f"install it, or leave its figure out with --only"
            ) from error
        with _Memory(process.pid) as memory:
            try:
                status = process.wait()
            except BaseException:
                process.kill()
                raise
            seconds = time.perf_counter() - began
    if status:
        how = f"exit status {status}" if status > 0 else f"signal {-status}"
        raise BenchmarkError(f"{contestant.name} failed with {how}, expected 0; all it said is in {err}\n{_last(err)}")
    return Run(seconds, memory.largest_process, memory.all_processes, _facts(_last(out)), memory.shares)


def _last(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "(it said nothing)")


def _facts(line: str) -> dict[str, Any]:
    with contextlib.suppress(ValueError):
        if isinstance(facts := json.loads(line), dict):
            return facts
    return {}


class _Memory:
    """Watches a process and all those that it starts.

    The usage that the system reports of a child that ended would not do: it counts the parent's memory from before the
    child's own program began.
    """

    def __init__(self, pid: int):
        self.all_processes = 0
        self.shares = 0
        self._peaks: dict[int, int] = {}
        self._pids = [pid]
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "_Memory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    @property
    def largest_process(self) -> int:
        return max(self._peaks.values(), default=0)

    def _watch(self) -> None:
        root, samples = self._pids[0], 0
        while True:
            if samples % _SAMPLES_FOR_A_SEARCH == 0:
                with contextlib.suppress(psutil.Error):
                    self._pids = [root, *(child.pid for child in psutil.Process(root).children(recursive=True))]
            total = 0
            for pid in self._pids:
                peak, now = _resident(pid)
                total += now
                if peak:
                    # Not the largest of all samples: before its own program begins, a child shows the parent's.
                    self._peaks[pid] = peak
            self.all_processes = max(self.all_processes, total)
            if samples % _SAMPLES_FOR_SHARES == 0:
                self.shares = max(self.shares, sum(map(_share, self._pids)))
            samples += 1
            if self._ended.wait(_EVERY):
                return


def _resident(pid: int) -> tuple[int, int]:
    """The largest and the present resident set of a process, in bytes."""
    found = _sizes(pid, "status")
    return found.get(b"VmHWM", 0), found.get(b"VmRSS", 0)


def _share(pid: int) -> int:
    """The resident set of a process in bytes, each page divided by the processes that have it."""
    return _sizes(pid, "smaps_rollup").get(b"Pss", 0)


def _sizes(pid: int, name: str) -> dict[bytes, int]:
    """What a file of the system's tells of a process, in bytes; nothing when it has ended, or without /proc."""
    try:
        with open(f"/proc/{pid}/{name}", "rb") as file:
            return {key: int(number) * 1024 for key, number in _SIZES.findall(file.read())}
    except OSError:
        return {}
