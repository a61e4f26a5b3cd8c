"""The checks of a TF2 SavedModel (versions 4 and 5)."""

from collections.abc import Collection, Iterator, Sequence

import numpy as np

from exporter.models.formats import SAVED_MODEL_2, TRAINING_MOMENTUM
from exporter.models.signatures import SERVING_INPUT, SERVING_OUTPUTS
from exporter.models.variables import VariableSpec, variables
from exporter.probe.result import ProbeResult
from exporter.reference.result import Reference
from exporter.verification import drop_path
from exporter.verification.checks import (
    change_checks,
    compatibility_check,
    end_points_check,
    gradient_checks,
    l2_checks,
    moving_averages_checks,
    output_checks,
    regularization_check,
    stored_check,
    variables_checks,
)
from exporter.verification.results import Check, Expected, count


def compare(expected: Expected, reference: Reference, found: ProbeResult, problems: list[str]) -> list[Check]:
    """Every check of a TF2 SavedModel, passed or not.

    Args:
        found: what the probe of an artifact in this format found.
        problems: what keeps TensorFlow 1.15 from reading the file.
    """
    output = reference.end_points.output(expected.task)
    checks = [compatibility_check(problems)]
    specs = variables(expected.config, expected.task)
    checks += variables_checks(specs, reference.digests, found.variables, found.trainable, expected.ordered)
    checks += stored_check(expected, found)
    checks.append(_replicas(specs, found))
    checks += output_checks("output", expected.task, output, found.output)
    checks += output_checks("output for one image", expected.task, output[:1], found.single_output)
    checks.append(end_points_check(expected, reference.end_points, found.end_points))
    checks += _signatures(expected, output, found)
    checks.append(regularization_check(reference.regularization_losses[expected.task], found.regularization_losses))
    checks += l2_checks(expected, found)
    checks += _training(expected, reference, found)
    return checks


def guess_version(signatures: Collection[str]) -> int:
    """The version of a SavedModel that has signatures of these names: the first that would have them."""
    serves = "serving_default" in signatures
    return next(row.number for row in SAVED_MODEL_2.versions if row.serving == serves)


def _replicas(specs: Sequence[VariableSpec], found: ProbeResult) -> Check:
    """Whether replicas of a distributed training share what is trained, and take the mean of their moving averages."""
    means = {spec.name for spec in specs if not spec.trainable}
    wrong = sorted(means.symmetric_difference(found.replica_means or ()))
    detail = f"{len(means)} moving averages" + (f", first: {wrong[0]}" if wrong else "")
    return count("variables that replicas share in another way", len(wrong), detail)


def _signatures(expected: Expected, output: np.ndarray, found: ProbeResult) -> Iterator[Check]:
    serves = SAVED_MODEL_2.version(expected.version).serving
    wanted = {f"serving_default/{SERVING_OUTPUTS[expected.task]}"} if serves else set()
    outputs = {f"{name}/{key}": value for name, group in found.signatures.items() for key, value in group.items()}
    inputs = {f"serving_default/{SERVING_INPUT}"} if serves else set()
    labels = {name: "/".join(("signature", name)) for name in (*wanted, *outputs)}
    wrong = sorted(labels[name] for name in wanted ^ outputs.keys()) + sorted(inputs ^ found.signature_inputs)
    listed = ", ".join(sorted(outputs)) or "none"
    yield count("signatures that differ", len(wrong), listed + (f", first wrong: {wrong[0]}" if wrong else ""))
    for name in sorted(wanted & outputs.keys()):
        yield from output_checks(labels[name], expected.task, output, outputs[name])


def _training(expected: Expected, reference: Reference, found: ProbeResult) -> Iterator[Check]:
    yield from drop_path.checks(expected, found)
    yield from gradient_checks(expected, found)
    yield from change_checks(found)
    yield from moving_averages_checks(found, reference.batch_statistics, TRAINING_MOMENTUM, expected.momentum)
    output = reference.training_end_points.output(expected.task)
    yield from output_checks("output in training mode", expected.task, output, found.training_output)
