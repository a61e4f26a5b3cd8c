"""The checks of an ONNX model."""

from collections.abc import Collection

from exporter.models.formats import ONNX, Version
from exporter.models.signatures import END_POINTS_PROPERTY
from exporter.models.variables import variables
from exporter.probe.result import ProbeResult
from exporter.reference.result import Reference
from exporter.verification.checks import end_points_check, names_check, output_checks, unread_check, values_check
from exporter.verification.declared import interface_check, properties_check
from exporter.verification.recognition import poolings_check, recognized
from exporter.verification.results import Check, Expected, count


def compare(expected: Expected, reference: Reference, found: ProbeResult, problems: list[str]) -> list[Check]:
    """Every check of an ONNX model, passed or not.

    Args:
        found: what `exporter.probe.onnx.probe` found.
        problems: what keeps the runtimes from reading it that are promised to.
    """
    output = reference.end_points.output(expected.task)
    specs = variables(expected.config, expected.task)
    checks: list[Check] = []
    # Others have names of their own, and may have folded batch norms: what theirs computes decides.
    if expected.ordered:
        checks.append(count("problems for runtimes of opset 17", len(problems), "; ".join(problems[:1])))
        checks.append(names_check(specs, found.variables, ordered=False))
        checks.append(values_check(specs, reference.digests, found.variables))
        checks.append(unread_check(found))
        checks.append(interface_check(expected, found))
        checks.append(properties_check(expected, found, beside=(END_POINTS_PROPERTY,)))
    else:
        checks += poolings_check(found)
    checks += output_checks("output", expected.task, output, found.output)
    checks += output_checks("output for one image", expected.task, output[:1], found.single_output)
    shown = found.end_points if expected.ordered else recognized(expected, found)
    checks.append(end_points_check(expected, reference.end_points, shown))
    return checks


def guess_version(signatures: Collection[str]) -> Version:
    """The format has one version."""
    return ONNX.name
