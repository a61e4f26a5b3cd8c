"""Compares what an artifact does with the reference, check by check.

The reference is the TF-Slim graph run straight from the checkpoint (`exporter.reference.computed`); the artifact was
loaded as
a user would (`exporter.probe.saved_model`). Each ran in a process of its own; what they wrote down meets here, in
NumPy.
"""

import pkgutil
from pathlib import Path
from typing import Any

from exporter.artifact.variable_names import prefixes
from exporter.files.arrays import Arrays, LazyArrays
from exporter.models.formats import FormatSpec
from exporter.models.signatures import SERVING_OUTPUTS
from exporter.models.variables import VariableSpec
from exporter.verification.checks import end_point_difference, end_point_names
from exporter.verification.differences import Departure
from exporter.verification.results import TOLERANCE, Check, Expected, Shown


def variables_prefix(path: Path, specs: list[VariableSpec]) -> str:
    """What precedes the checkpoint's names in all of an artifact's variables, as a foreign writer's scope does."""
    own, wanted = prefixes(LazyArrays(path)["names"].tolist(), [spec.name for spec in specs])
    return "" if wanted else own


def compare(expected: Expected, reference: Arrays, found: Arrays, findings: list[str]) -> list[Check]:
    """Every check of an artifact, passed or not; see the modules of the formats."""
    checks: list[Check] = pkgutil.resolve_name(_spec(expected).compare)(expected, reference, found, findings)
    return checks


def shown(expected: Expected, found: Arrays) -> Shown:
    """Where the outputs of an artifact are among the arrays of its probe."""
    places: Shown = pkgutil.resolve_name(_spec(expected).shown)(expected, found)
    return places


def _spec(expected: Expected) -> FormatSpec:
    return expected.config.format_spec(expected.version)


def against(kind: str, expected: Expected, independent: Arrays, found: Arrays) -> list[Check]:
    """Checks of an artifact against another implementation of its network, which knows some end points."""
    places = shown(expected, found).end_points
    names = [name for name in end_point_names(expected.config, independent) if name in places]
    differences = {name: end_point_difference(independent, "", name, found[places[name]]) for name in names}
    departure = Departure(differences, TOLERANCE)
    detail = f"{len(names)} end points{departure.told}"
    figure = departure.largest if names else float("nan")
    return [Check(f"end points against {kind}, relative difference", figure, TOLERANCE, detail)]


def departures(expected: Expected, reference: Arrays, found: Arrays) -> list[dict[str, object]]:
    """The ``name`` and relative ``difference`` of each end point that an artifact shows, in the network's order."""
    places = shown(expected, found).end_points
    return [
        {"name": name, "difference": end_point_difference(reference, "", name, found[places[name]])}
        for name in end_point_names(expected.config, reference)
        if name in places
    ]


def measured(expected: Expected, reference: Arrays, found: Arrays) -> dict[str, Any]:
    """What pictures of the comparison are drawn from.

    ``tolerance`` is the largest relative difference allowed. ``outputs`` has the ``name`` of the output and, flat, its
    values in the ``reference`` and those ``found``; it is None where the artifact has no output of that shape.
    ``end_points`` lists the ``name`` and relative ``difference`` of each end point that the artifact shows, in the
    order of the network; it is None where it shows none.
    """
    values = reference["end_point/Logits" if expected.task == "classification" else "end_point/global_pool"]
    own = found.get(shown(expected, found).output)
    outputs = None
    if own is not None and own.shape == values.shape:
        outputs = {"name": SERVING_OUTPUTS[expected.task], "reference": values.ravel(), "found": own.ravel()}
    return {"tolerance": TOLERANCE, "outputs": outputs, "end_points": departures(expected, reference, found) or None}
