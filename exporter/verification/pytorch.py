"""The checks of a PyTorch program."""

from collections.abc import Collection

from exporter.models.formats import PYTORCH, Version
from exporter.models.signatures import END_POINTS_PROPERTY, SERVING_INPUT
from exporter.models.variables import variables
from exporter.probe.result import ProbeResult
from exporter.reference.result import Reference
from exporter.verification.checks import (
    end_points_check,
    gradient_checks,
    output_checks,
    stored_check,
    variables_checks,
)
from exporter.verification.declared import properties_check, tensors
from exporter.verification.results import Check, Expected, count


def compare(expected: Expected, reference: Reference, found: ProbeResult, problems: list[str]) -> list[Check]:
    """Every check of a PyTorch program, passed or not.

    Args:
        found: what `exporter.probe.pytorch.probe` found.
    """
    output = reference.end_points.output(expected.task)
    specs = variables(expected.config, expected.task)
    checks = list(variables_checks(specs, reference.digests, found.variables, found.trainable, ordered=False))
    checks += stored_check(expected, found)
    if expected.ordered:
        checks.append(_interface(expected, found))
        # Its end points are named there besides.
        checks.append(properties_check(expected, found, beside=(END_POINTS_PROPERTY,)))
    checks += output_checks("output", expected.task, output, found.output)
    checks += output_checks("output for one image", expected.task, output[:1], found.single_output)
    checks.append(end_points_check(expected, reference.end_points, found.end_points))
    checks += gradient_checks(expected, found)
    return checks


def guess_version(signatures: Collection[str]) -> Version:
    """The format has one version."""
    return PYTORCH.name


def _interface(expected: Expected, found: ProbeResult) -> Check:
    """Inputs and outputs, with a free batch; PyTorch has no names for outputs."""
    images, output = tensors(expected)
    wanted = [f"input {SERVING_INPUT} {images}", f"output {output}"]
    wrong = sorted(set(wanted) ^ set(found.interface))
    detail = "; ".join(found.interface[:2]) + (f"; first: {wrong[0]}" if wrong else "")
    return count("inputs and outputs that differ", len(wrong), detail)
