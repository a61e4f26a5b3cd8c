"""Compares what an artifact does with the reference, check by check.

The reference is the TF-Slim graph run straight from the checkpoint (`exporter.reference.computed`); the artifact was
loaded as a user would (`exporter.probe.run`). Each ran in a process of its own; what they wrote down meets here, in
NumPy.
"""

import pkgutil
from typing import Any

from exporter.models.signatures import SERVING_OUTPUTS
from exporter.probe.result import ProbeResult
from exporter.reference.result import Reference
from exporter.verification.checks import end_point_difference
from exporter.verification.differences import EndPointDifferences
from exporter.verification.results import TOLERANCE, Check, Expected


def compare(expected: Expected, reference: Reference, found: ProbeResult, problems: list[str]) -> list[Check]:
    """Every check of an artifact, passed or not; see the modules of the formats."""
    spec = expected.config.format_spec(expected.version)
    checks: list[Check] = pkgutil.resolve_name(spec.compare)(expected, reference, found, problems)
    return checks


def against(kind: str, expected: Expected, independent: Reference, found: ProbeResult) -> list[Check]:
    """Checks of an artifact against another implementation of its network, which knows some end points."""
    differences = EndPointDifferences(_differences(expected, independent, found), TOLERANCE)
    count = len(differences.differences)
    figure = differences.largest if count else float("nan")
    detail = f"{count} end points{differences.note}"
    return [Check(f"end points against {kind}, relative difference", figure, TOLERANCE, detail)]


def measured(expected: Expected, reference: Reference, found: ProbeResult) -> dict[str, Any]:
    """What pictures of the comparison are drawn from.

    ``tolerance`` is the largest relative difference allowed. ``outputs`` has the ``name`` of the output and, flat, its
    values in the ``reference`` and those ``found``; it is None where the artifact has no output of that shape.
    ``end_points`` lists the ``name`` and relative ``difference`` of each end point that the artifact shows, in the
    order of the network; it is None where it shows none.
    """
    values, own = reference.end_points.output(expected.task), found.output
    outputs = None
    if own is not None and own.shape == values.shape:
        outputs = {"name": SERVING_OUTPUTS[expected.task], "reference": values.ravel(), "found": own.ravel()}
    differences = _differences(expected, reference, found)
    end_points = [{"name": name, "difference": difference} for name, difference in differences.items()]
    return {"tolerance": TOLERANCE, "outputs": outputs, "end_points": end_points or None}


def _differences(expected: Expected, reference: Reference, found: ProbeResult) -> dict[str, float]:
    """The relative difference of each end point that both have, in the order of the network."""
    return {
        name: end_point_difference(reference.end_points, name, found.end_points, name)
        for name in reference.end_points.names(expected.config)
        if name in found.end_points
    }
