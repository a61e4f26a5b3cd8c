"""One thing that was compared in two artifacts, and how it is shown."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

#: Names of differing things in a line of text; JSON has them all.
SHOWN = 3


@dataclass(frozen=True)
class Comparison:
    """One thing that was compared. ``detail`` is for people, ``facts`` are what JSON has beside it."""

    aspect: str
    name: str
    same: bool
    detail: str = ""
    facts: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{'same' if self.same else 'DIFF'} {self.name}" + (f": {self.detail}" if self.detail else "")

    def to_dict(self) -> dict[str, Any]:
        return {"aspect": self.aspect, "name": self.name, "same": self.same, "detail": self.detail, **self.facts}


def equal(aspect: str, name: str, a: Any, b: Any, text_a: str, text_b: str) -> Comparison:
    """Compares two facts as they are."""
    same = a == b
    return Comparison(aspect, name, same, text_a if same else f"{text_a} | {text_b}", {"a": a, "b": b})


def sets(aspect: str, name: str, a: set[str], b: set[str]) -> Comparison:
    """Compares two sets of names."""
    only = {"a": sorted(a - b), "b": sorted(b - a)}
    parts = [f"{len(a & b)} in both", *(f"only in {side.upper()}: {listed(names)}" for side, names in only.items())]
    parts = parts[:1] + [part for part, names in zip(parts[1:], only.values(), strict=True) if names]
    facts = {"in_both": len(a & b), "only_in_a": only["a"], "only_in_b": only["b"]}
    return Comparison(aspect, name, a == b, "; ".join(parts), facts)


def listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:SHOWN])
    return f"{len(names)} ({shown}, …)" if len(names) > SHOWN else f"{len(names)} ({shown})"


def largeness(row: dict[str, Any]) -> float:
    """A row's relative difference; what is no finite number counts as larger than any."""
    relative = row["relative_difference"]
    return float("inf") if relative is None else float(relative)
