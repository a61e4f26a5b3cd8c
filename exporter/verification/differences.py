"""How far two implementations of a network are from each other, and the end point at which a difference begins."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from exporter.files.arrays import Arrays, chunks
from exporter.files.json_values import finite_or_none


@dataclass(frozen=True)
class EndPointDifferences:
    """How far one implementation is from the other at each end point.

    ``differences`` has the relative difference of each end point, in the order of the network; see
    `relative_difference`. An end point diverges if its difference is not at most ``tolerance``.
    """

    differences: Mapping[str, float]
    tolerance: float

    @property
    def first_divergent(self) -> str | None:
        """The first end point that diverges, whose cell is the one to look at; None where all agree."""
        # A NaN is at most nothing.
        return next((name for name, value in self.differences.items() if not value <= self.tolerance), None)

    @property
    def note(self) -> str:
        """The first divergent end point and its difference, to follow other words; empty where all agree."""
        first = self.first_divergent
        if first is None:
            return ""
        return f", off by {self.differences[first]:.3g} at the first divergent end point: {first}"

    @property
    def largest(self) -> float:
        """The largest of the differences; NaN if one of them is, 0 if there is none."""
        return float(np.max([0.0, *self.differences.values()]))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; a difference that is no finite number is None, as JSON has none."""
        finite = {name: finite_or_none(value) for name, value in self.differences.items()}
        return {"first_divergent": self.first_divergent, "tolerance": self.tolerance, "differences": finite}


def compare_end_points(reference: Arrays, found: Arrays, tolerance: float) -> EndPointDifferences:
    """Compares two implementations, end point by end point.

    Args:
        reference: the end points of the one that counts, in the order of the network.
        found: those of the other, in any order. One that it lacks, or that has another shape, diverges; those that the
            reference does not have are not looked at.
        tolerance: the largest relative difference that is none, for example 1e-4.
    """
    differences = {name: relative_difference(value, found.get(name)) for name, value in reference.items()}
    return EndPointDifferences(differences, tolerance)


def relative_difference(reference: np.ndarray, found: np.ndarray | None) -> float:
    """The largest absolute difference, divided by the largest magnitude in the reference; computed in float64.

    It is infinite where only the reference is all zeros, 0 where both are, and NaN where ``found`` is None, has another
    shape, or either holds a NaN.
    """
    if found is None or np.shape(found) != np.shape(reference):
        return float("nan")
    return differences(np.asarray(reference), np.asarray(found))[1]


def differences(reference: np.ndarray, found: np.ndarray) -> tuple[float, float]:
    """The largest absolute difference of two arrays of one shape, and their `relative_difference`."""
    with np.errstate(divide="ignore", invalid="ignore"):
        gaps = [
            np.abs(np.subtract(b, a, dtype=np.float64)).max()
            for a, b in zip(chunks(reference), chunks(found), strict=True)
        ]
        absolute = float(np.max(gaps, initial=0.0))
        if absolute == 0.0:
            return 0.0, 0.0
        largest = np.max([np.abs(chunk).max() for chunk in chunks(reference)], initial=0.0)
        return absolute, float(np.float64(absolute) / largest)
