"""Runs contestants in turns, each in a new process, and measures time and memory of its process tree."""

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

#: Seconds between two samples of memory.
_INTERVAL = 0.02
#: New processes are looked for once in so many samples, as that reads every process of the machine.
_SAMPLES_PER_SEARCH = 10
#: Proportional sizes are read once in so many samples: that takes milliseconds in which a process cannot allocate.
_SAMPLES_PER_PROPORTIONAL_SIZE = 50
_SIZES = re.compile(rb"^(VmHWM|VmRSS|Pss):\s+(\d+) kB", re.MULTILINE)
#: Variables that would make a contestant use other packages than its command says.
_EXCLUDED_VARIABLES = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PYENV_VERSION", "__PYVENV_LAUNCHER__")


class BenchmarkError(click.ClickException):
    """Something cannot be measured; the command line prints the message and exits 1."""

    def show(self, file: Any = None) -> None:
        click.echo(f"benchmarks: error: {self.message}", err=True)


@dataclass(frozen=True)
class Contestant:
    """A command to measure. ``before`` is called before each run, outside of the measurement."""

    name: str
    command: Sequence[object]
    variables: Mapping[str, str] = field(default_factory=dict)
    before: Callable[[], object] = lambda: None


@dataclass(frozen=True)
class Run:
    """What one run took: wall time in seconds, memory in bytes, and ``facts``, the JSON of its last line if it is any.

    ``largest_process`` is the largest resident set that any process of the tree ever had; ``all_processes`` the largest
    sum of resident sets at any one time, in which shared pages count for each process that has them. In
    ``proportional_size`` (the largest sum of proportional set sizes) they count once; it is sampled once a second.
    ``processor_seconds`` is what all its processes computed for that were waited for.
    """

    seconds: float
    largest_process: int
    all_processes: int
    facts: Mapping[str, Any]
    proportional_size: int = 0
    processor_seconds: float = 0


def variables(**more: str) -> dict[str, str]:
    """The environment of a contestant: this process's, without `_EXCLUDED_VARIABLES` and nasexport's settings."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in _EXCLUDED_VARIABLES and not name.startswith("NASEXPORT_")
    }
    return {**kept, "TF_CPP_MIN_LOG_LEVEL": "3", **more}


def take_turns(
    contestants: Sequence[Contestant],
    runs: int,
    logs: Path,
    log: Callable[[str], object] = lambda _: None,
) -> dict[str, list[Run]]:
    """Runs all contestants ``runs`` times, one at a time; each round starts with a different one.

    Their output goes to files in ``logs`` that are named after them; ``log`` gets a line for each run.

    Raises:
        BenchmarkError: a contestant did not exit with 0.
    """
    found: dict[str, list[Run]] = {contestant.name: [] for contestant in contestants}
    for number in range(runs):
        first = number % len(contestants)
        for contestant in [*contestants[first:], *contestants[:first]]:
            run = measure(contestant, logs)
            found[contestant.name].append(run)
            log(f"run {number + 1} of {runs}, {contestant.name}: {run.seconds:.2f} s, {run.all_processes / 1e6:.0f} MB")
    return found


def measure(contestant: Contestant, logs: Path) -> Run:
    """Runs a contestant once, to its end."""
    contestant.before()
    logs.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"\W+", "-", contestant.name).strip("-")
    out, err = logs / f"{name}.out", logs / f"{name}.err"
    command = [str(part) for part in contestant.command]
    # Data of the previous contestant that is still to be written must not slow down this one.
    os.sync()
    with open(out, "wb") as stdout, open(err, "wb") as stderr:
        started, before = time.perf_counter(), os.times()
        try:
            process = subprocess.Popen(
                command, env=variables(**contestant.variables), stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr
            )
        except OSError as error:
            raise BenchmarkError(
                f"{contestant.name} could not be started: {command[0]}: {error.strerror}\n"
                f"install it, or choose other figures with --only"
            ) from error
        with _Memory(process.pid) as memory:
            try:
                status = process.wait()
            except BaseException:
                process.kill()
                raise
            seconds, after = time.perf_counter() - started, os.times()
    if status:
        how = f"exit status {status}" if status > 0 else f"signal {-status}"
        raise BenchmarkError(
            f"{contestant.name} failed with {how}, expected 0; its error output is in {err}\n{_last(err)}"
        )
    return Run(
        seconds,
        memory.largest_process,
        memory.all_processes,
        _facts(_last(out)),
        memory.proportional_size,
        # Contestants run one at a time, and nothing else is started meanwhile.
        after.children_user + after.children_system - before.children_user - before.children_system,
    )


def seconds(runs: Mapping[str, Sequence[Run]]) -> dict[str, list[float]]:
    """The seconds of all runs of each contestant."""
    return {name: [run.seconds for run in of_one] for name, of_one in runs.items()}


def processor_seconds(runs: Mapping[str, Sequence[Run]]) -> dict[str, list[float]]:
    """The processor time of all runs of each contestant, in seconds."""
    return {name: [run.processor_seconds for run in of_one] for name, of_one in runs.items()}


def megabytes(runs: Mapping[str, Sequence[Run]], largest: bool = False) -> dict[str, list[float]]:
    """The memory of all runs of each contestant, of all their processes or of the largest one, in 10⁶ bytes."""
    return {
        name: [(run.largest_process if largest else run.all_processes) / 1e6 for run in of_one]
        for name, of_one in runs.items()
    }


def _last(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "(no output)")


def _facts(line: str) -> dict[str, Any]:
    with contextlib.suppress(ValueError):
        if isinstance(facts := json.loads(line), dict):
            return facts
    return {}


class _Memory:
    """Samples the memory of a process and of all that it starts.

    The system's own figure for a child that has ended cannot be used: it includes the memory of the parent, of which
    the child was a copy before it started its program.
    """

    def __init__(self, pid: int):
        self.all_processes = 0
        self.proportional_size = 0
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
            if samples % _SAMPLES_PER_SEARCH == 0:
                with contextlib.suppress(psutil.Error):
                    self._pids = [root, *(child.pid for child in psutil.Process(root).children(recursive=True))]
            total = 0
            for pid in self._pids:
                peak, now = _resident(pid)
                total += now
                if peak:
                    # The latest sample, not the largest: before its program starts, a child shows its parent's peak.
                    self._peaks[pid] = peak
            self.all_processes = max(self.all_processes, total)
            if samples % _SAMPLES_PER_PROPORTIONAL_SIZE == 0:
                self.proportional_size = max(self.proportional_size, sum(map(_proportional, self._pids)))
            samples += 1
            if self._ended.wait(_INTERVAL):
                return


def _resident(pid: int) -> tuple[int, int]:
    """The largest and the current resident set of a process, in bytes."""
    found = _sizes(pid, "status")
    return found.get(b"VmHWM", 0), found.get(b"VmRSS", 0)


def _proportional(pid: int) -> int:
    """The proportional set size of a process in bytes: each page is divided by the number of processes that have it."""
    return _sizes(pid, "smaps_rollup").get(b"Pss", 0)


def _sizes(pid: int, name: str) -> dict[bytes, int]:
    """The sizes in a file of ``/proc/PID``, in bytes; empty if the process has ended or there is no ``/proc``."""
    try:
        with open(f"/proc/{pid}/{name}", "rb") as file:
            return {key: int(number) * 1024 for key, number in _SIZES.findall(file.read())}
    except OSError:
        return {}
