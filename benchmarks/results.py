"""Figures with all their runs, facts about the machine, and the JSON file that keeps both."""

import dataclasses
import datetime
import json
import os
import platform
import statistics
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import psutil

from benchmarks.measuring import ROOT, BenchmarkError

FILE = "results.json"
#: Facts that may differ between the figures of a subject.
_MAY_DIFFER = ("date", "commit")


@dataclass(frozen=True)
class Goal:
    """A limit for the ratio to the peer or for nasexport's own value; an upper one if ``most``, else a lower one."""

    of: Literal["ratio", "value"]
    limit: float
    most: bool = True

    def met(self, value: float) -> bool:
        return value <= self.limit if self.most else value >= self.limit


@dataclass(frozen=True)
class Figure:
    """One quantity, measured for several contestants.

    ``key`` is ``subject/...``; ``runs`` has the value of every run of each contestant, in ``unit``; ``ours`` and
    ``peer`` are the two whose medians are compared. ``extra`` holds more facts, which depend on the subject.
    """

    key: str
    title: str
    unit: str
    runs: Mapping[str, list[float]]
    ours: str
    peer: str | None = None
    goal: Goal | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def subject(self) -> str:
        return _subject(self.key)

    def median(self, contestant: str) -> float:
        return statistics.median(self.runs[contestant])

    @property
    def ratio(self) -> float | None:
        """Nasexport's median divided by the peer's."""
        return self.median(self.ours) / self.median(self.peer) if self.peer else None

    @property
    def met(self) -> bool | None:
        if self.goal is None:
            return None
        value = self.ratio if self.goal.of == "ratio" else self.median(self.ours)
        return None if value is None else self.goal.met(value)

    def to_dict(self) -> dict[str, Any]:
        """For JSON, with what follows from the runs written out for readers of the file."""
        return {
            **dataclasses.asdict(self),
            "median": {name: self.median(name) for name in self.runs},
            "ratio": self.ratio,
            "met": self.met,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Figure":
        kept = {name.name: values[name.name] for name in dataclasses.fields(cls)}
        return cls(**{**kept, "goal": Goal(**kept["goal"]) if kept["goal"] else None})


def load(folder: Path) -> dict[str, Any]:
    """The stored results: ``figures`` by key, each with the ``machine``, ``date`` and ``commit`` of its run."""
    path = folder / FILE
    if not path.exists():
        return {"figures": {}}
    try:
        stored: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        for each in stored["figures"].values():
            Figure.from_dict(each)
            each["machine"]["cpu"], each["date"], each["commit"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BenchmarkError(
            f"{path} was not written by these benchmarks ({type(error).__name__}: {error})\n"
            f"remove it, or name another folder with --output"
        ) from error
    return stored


def merged(stored: Mapping[str, Any], machine: Mapping[str, Any], figures: Iterable[Figure]) -> dict[str, Any]:
    """The stored results with new figures in place of those with the same keys; all others stay.

    But a subject has the figures of one machine with one set of versions: where older ones of the same subject were
    measured on another, they are left out.
    """
    when = {name: machine[name] for name in _MAY_DIFFER}
    where = {name: fact for name, fact in machine.items() if name not in _MAY_DIFFER}
    new = {figure.key: {**figure.to_dict(), **when, "machine": where} for figure in figures}
    dropped = elsewhere(stored, machine, {_subject(key) for key in new})
    both = {**{key: each for key, each in stored["figures"].items() if key not in dropped}, **new}
    # The sort is stable: within a subject the order stays.
    return {"figures": {key: both[key] for key in sorted(both, key=_subject)}}


def elsewhere(stored: Mapping[str, Any], machine: Mapping[str, Any], subjects: Iterable[str]) -> list[str]:
    """The keys of stored figures of these subjects that were measured on another machine, or with other versions."""
    where = {name: fact for name, fact in machine.items() if name not in _MAY_DIFFER}
    return [key for key, each in stored["figures"].items() if _subject(key) in subjects and each["machine"] != where]


def _subject(key: str) -> str:
    return key.split("/", 1)[0]


def save(folder: Path, stored: Mapping[str, Any]) -> None:
    """Replaces the file atomically: an interrupted run must not destroy figures that took hours."""
    folder.mkdir(parents=True, exist_ok=True)
    written = folder / f".{FILE}.new"
    written.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")
    os.replace(written, folder / FILE)


def figures(stored: Mapping[str, Any]) -> list[Figure]:
    return [Figure.from_dict(each) for each in stored["figures"].values()]


def machine_facts() -> dict[str, Any]:
    """The machine, the versions of libraries, the date, and the commit that is measured."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        # Read from files: importing them takes longer than the shortest figure.
        **{name: metadata.version(name) for name in ("tensorflow", "keras", "numpy")},
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "commit": _commit(),
    }


def _cpu() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or "unknown"


def _commit() -> str:
    """The commit, marked if the exporter or the benchmarks differ from it."""
    try:
        commit = _git("rev-parse", "--short=12", "HEAD")
        return commit + (" with changes" if _git("status", "--porcelain", "--", "exporter", "benchmarks") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()
