"""The checks of a PyTorch program."""

from collections.abc import Collection, Iterator

from exporter.models.formats import PYTORCH, Version
from exporter.models.preprocessing import usage_texts
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
from exporter.verification.declared import tensors
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
    checks += _interface(expected, found)
    checks += _properties(expected, found)
    checks += output_checks("output", expected.task, output, found.output)
    checks += output_checks("output for one image", expected.task, output[:1], found.single_output)
    checks.append(end_points_check(expected, reference.end_points, found.end_points))
    checks += gradient_checks(expected, found)
    return checks


def guess_version(signatures: Collection[str]) -> Version:
    """The format has one version."""
    return PYTORCH.name


def _interface(expected: Expected, found: ProbeResult) -> Iterator[Check]:
    """Inputs and outputs, with a free batch; PyTorch has no names for outputs."""
    if not expected.ordered:
        return
    images, output = tensors(expected)
    wanted = [f"input images {images}", f"output {output}"]
    wrong = sorted(set(wanted) ^ set(found.interface))
    detail = "; ".join(found.interface[:2]) + (f"; first: {wrong[0]}" if wrong else "")
    yield count("inputs and outputs that differ", len(wrong), detail)


def _properties(expected: Expected, found: ProbeResult) -> Iterator[Check]:
    """What the program says of itself: model, task, preprocessing, classes; it names its end points besides."""
    if not expected.ordered:
        return
    wanted = usage_texts(expected.config, expected.task)
    own = {name: text for name, text in found.properties.items() if name != "end_points"}
    wrong = sorted(name for name in wanted.keys() | own.keys() if wanted.get(name) != own.get(name))
    detail = f"{len(own)} properties" + (f", first: {wrong[0]}" if wrong else "")
    yield count("properties that differ", len(wrong), detail)
