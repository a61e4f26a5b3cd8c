"""The checks of a TF2 SavedModel (versions 4 and 5)."""

from collections.abc import Collection, Iterator

import numpy as np

from exporter.files.arrays import Arrays
from exporter.models.formats import SAVED_MODEL_2, TRAINING_MOMENTUM
from exporter.models.signatures import SERVING_INPUT, SERVING_OUTPUTS
from exporter.models.variables import variables
from exporter.verification import drop_path
from exporter.verification.checks import (
    change_checks,
    end_point_difference,
    end_point_names,
    gate_check,
    gradient_checks,
    l2_checks,
    moving_averages_check,
    output_checks,
    regularization_check,
    statistics_of,
    stored_check,
    variables_checks,
)
from exporter.verification.differences import Departure
from exporter.verification.results import TOLERANCE, Check, Expected, Shown, count


def compare(expected: Expected, reference: Arrays, found: Arrays, findings: list[str]) -> list[Check]:
    """Every check of a TF2 SavedModel, passed or not.

    Args:
        reference: arrays of `exporter.reference.computed.reference`.
        found: arrays of `exporter.probe.run.probe`, of an artifact in this format.
        findings: what the gate says of the file.
    """
    name = "Logits" if expected.task == "classification" else "global_pool"
    output = reference[f"end_point/{name}"]
    checks = [gate_check(findings)]
    specs = variables(expected.config, expected.task)
    checks += variables_checks(specs, reference, found, expected.ordered)
    checks += stored_check(expected, found)
    checks += output_checks("output", expected.task, output, found.get("output"))
    checks += output_checks("output for one image", expected.task, output[:1], found.get("output_single"))
    checks.append(_end_points(expected, reference, found))
    checks += _signatures(expected, output, found)
    checks.append(regularization_check(reference[f"regularization_loss/{expected.task}"], found["regularization_loss"]))
    checks += l2_checks(expected, found)
    checks += _training(expected, reference, found)
    return checks


def shown(expected: Expected, found: Arrays) -> Shown:
    """Where the outputs of a TF2 SavedModel are among the arrays of its probe."""
    prefix = "end_point/"
    return Shown("output", {name.removeprefix(prefix): name for name in found if name.startswith(prefix)})


def guess_version(signatures: Collection[str]) -> int:
    """The version of a SavedModel that has signatures of these names: the first that would have them."""
    serves = "serving_default" in signatures
    return next(row.number for row in SAVED_MODEL_2.versions if row.serving == serves)


def _end_points(expected: Expected, reference: Arrays, found: Arrays) -> Check:
    """Every end point that the function's graph shows, and the first that departs."""
    # The exported function ends before the probabilities, that of a feature vector before the classifier.
    beyond = {"classification": ("Predictions",), "feature_vector": ("Logits", "Predictions")}[expected.task]
    wanted = [name for name in end_point_names(expected.config, reference) if name not in beyond]
    shown = [name for name in wanted if f"end_point/{name}" in found]
    differences = {name: end_point_difference(reference, "", name, found[f"end_point/{name}"]) for name in shown}
    departure = Departure(differences, TOLERANCE)
    detail = f"{len(shown)} of {len(wanted)} found in the graph{departure.told}"
    missing = expected.ordered and len(shown) < len(wanted)
    return Check("end points, relative difference", float("nan") if missing else departure.largest, TOLERANCE, detail)


def _signatures(expected: Expected, output: np.ndarray, found: Arrays) -> Iterator[Check]:
    serves = SAVED_MODEL_2.version(expected.version).serving
    wanted = {f"signature/serving_default/{SERVING_OUTPUTS[expected.task]}"} if serves else set()
    names = {name for name in found if name.startswith("signature/")}
    inputs = {f"serving_default/{SERVING_INPUT}"} if serves else set()
    wrong = sorted(wanted ^ names) + sorted(inputs ^ set(found["signature_inputs"].tolist()))
    listed = ", ".join(sorted(name.removeprefix("signature/") for name in names)) or "none"
    yield count("signatures that differ", len(wrong), listed + (f", first wrong: {wrong[0]}" if wrong else ""))
    for name in sorted(wanted & names):
        yield from output_checks(name, expected.task, output, found[name])


def _training(expected: Expected, reference: Arrays, found: Arrays) -> Iterator[Check]:
    yield from drop_path.checks(expected, found)
    yield from gradient_checks(expected, found)
    yield from change_checks(found, found["names"], found["digests"])
    statistics = statistics_of(found)
    yield moving_averages_check("moved", "before", TRAINING_MOMENTUM, statistics, reference, found)
    yield moving_averages_check("moved_by_default", "moved", expected.momentum, statistics, reference, found)
    name = "Logits" if expected.task == "classification" else "global_pool"
    output = reference[f"training/end_point/{name}"]
    yield from output_checks("output in training mode", expected.task, output, found["training/output"])
