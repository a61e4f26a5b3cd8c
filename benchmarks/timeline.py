"""``python -m benchmarks.timeline OUTPUT.svg COMMAND ...``: which process of a command computed when, on which core.

It runs the command once and draws its processes over time. Linux only: all of it is read from ``/proc``.
"""

import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click
import psutil

from benchmarks import plots
from benchmarks.measuring import BenchmarkError, variables

#: Seconds between two samples.
_INTERVAL = 0.1
_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


@dataclass
class Lane:
    """A process: what it is called, and the processor seconds that it had by number of sample and core."""

    name: str
    samples: dict[int, dict[int, float]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(float)))

    @property
    def seconds(self) -> float:
        """Its processor time."""
        return sum(sum(cores.values()) for cores in self.samples.values())


@dataclass(frozen=True)
class Timeline:
    """The processes of a command, in the order in which they began; ``interval`` and ``seconds`` in seconds."""

    lanes: Sequence[Lane]
    interval: float
    seconds: float

    @property
    def together(self) -> Lane:
        """All processes as one."""
        whole = Lane("all")
        for lane in self.lanes:
            for sample, cores in lane.samples.items():
                for core, spent in cores.items():
                    whole.samples[sample][core] += spent
        return whole

    @property
    def share(self) -> float:
        """The part of the processor time of all cores that the command used."""
        return self.together.seconds / self.seconds / (os.cpu_count() or 1)


def record(command: Sequence[str]) -> Timeline:
    """Runs a command to its end, and samples its processes meanwhile.

    Raises:
        BenchmarkError: it did not exit with 0.
    """
    lanes: dict[tuple[int, float], Lane] = {}
    threads: dict[tuple[int, str], float] = {}
    began = time.perf_counter()
    process = subprocess.Popen(command, env=variables(), stdin=subprocess.DEVNULL)
    while True:
        time.sleep(_INTERVAL)
        sample = int((time.perf_counter() - began) / _INTERVAL)
        for key, name in _processes(process.pid):
            lane = lanes.setdefault(key, Lane(name))
            lane.name = name
            for thread, core, total in _threads(key[0]):
                spent = total - threads.get((key[0], thread), 0.0)
                threads[key[0], thread] = total
                if spent:
                    lane.samples[sample][core] += spent
        if process.poll() is not None:
            break
    if process.returncode:
        raise BenchmarkError(f"{' '.join(command)}: exit status {process.returncode}, expected 0")
    return Timeline(list(lanes.values()), _INTERVAL, time.perf_counter() - began)


def _processes(root: int) -> Iterator[tuple[tuple[int, float], str]]:
    """What identifies a process, with its name (a worker's is its job): ``root`` and all that it has started."""
    try:
        first = psutil.Process(root)
        found = [first, *first.children(recursive=True)]
    except psutil.Error:
        return
    for process in found:
        try:
            yield (process.pid, process.create_time()), "command" if process == first else process.name()
        except psutil.Error:
            continue


def _threads(pid: int) -> Iterator[tuple[str, int, float]]:
    """Of each thread its number, the core that it ran on last, and its processor time so far in seconds."""
    for task in Path(f"/proc/{pid}/task").glob("*/stat"):
        try:
            fields = task.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        # Fields 14, 15 and 39 of proc_pid_stat(5), where the first two are cut off.
        yield task.parent.name, int(fields[36]), (int(fields[11]) + int(fields[12])) / _TICKS


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("output", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--title", help="Title of the picture. [default: the command]")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def main(output: Path, title: str | None, command: tuple[str, ...]) -> None:
    """Run COMMAND and draw into OUTPUT, an SVG file, which of its processes computed when, and on which core."""
    if sys.platform != "linux":
        raise BenchmarkError(f"processes are sampled in /proc, which {sys.platform} does not have")
    timeline = record(command)
    output.write_text(plots.timeline(title or " ".join(command), timeline), encoding="utf-8")
    click.echo(f"{timeline.seconds:.1f} s, {100 * timeline.share:.1f} % of all cores: {output}")


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.timeline")
