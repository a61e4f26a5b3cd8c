"""The checks of weights for timm: its network must give what the original does, with its average pools corrected."""

import dataclasses
import json
from collections.abc import Collection, Iterator

import numpy as np

from exporter.artifact.timm import describe
from exporter.artifact.timm_names import SHIPPED, USUAL, network_for
from exporter.models.classes import first_class
from exporter.models.formats import TIMM, Version
from exporter.models.variables import variables
from exporter.probe.result import ProbeResult
from exporter.reference.result import Reference
from exporter.verification.checks import end_points_check, names_check, output_checks, values_check
from exporter.verification.differences import relative_difference
from exporter.verification.results import Check, Expected, count


def compare(expected: Expected, reference: Reference, found: ProbeResult, problems: list[str]) -> list[Check]:
    """Every check of weights for timm, passed or not.

    How far timm's own network is from the original as timm ships it decides nothing, and stands beside the output.

    Args:
        found: what `exporter.probe.timm.probe` found.
    """
    output = reference.end_points.output(expected.task)
    first = first_class(expected.config.num_classes) if expected.task == "classification" else 0
    specs = variables(expected.config, expected.task)
    checks = [names_check(specs, found.variables, ordered=False)]
    checks.append(values_check(specs, reference.digests, found.variables))
    checks += _unread(expected, found)
    checks += _described(expected, found)
    checks += _with_shipped(output_checks("output", expected.task, output, found.output), found, output[:, first:])
    checks += output_checks("output for one image", expected.task, output[:1], found.single_output)
    usual = _output(found, USUAL)
    checks += output_checks(f"output of {USUAL}", expected.task, output[:, first:], usual)
    checks.append(end_points_check(expected, reference.end_points, found.end_points, by_record=True))
    return checks


def guess_version(signatures: Collection[str]) -> Version:
    """The format has one version."""
    return TIMM.name


def _output(found: ProbeResult, signature: str) -> np.ndarray | None:
    return found.signatures[signature]["output"] if signature in found.signatures else None


def _unread(expected: Expected, found: ProbeResult) -> Iterator[Check]:
    """Whether the file has values that the network does not use: nobody would see, but all would carry them."""
    if expected.ordered:
        names = found.unread
        yield count("values stored that nothing reads", len(names), f"first: {names[0]}" if names else "")


def _with_shipped(checks: Iterator[Check], found: ProbeResult, usual: np.ndarray) -> Iterator[Check]:
    """The checks of the output; the first tells what timm's network gives whose pools nobody corrected."""
    shipped = _output(found, SHIPPED)
    for index, check in enumerate(checks):
        if index == 0 and shipped is not None:
            off = f"with corrected average pools; {relative_difference(usual, shipped):.3g} {SHIPPED}"
            check = dataclasses.replace(check, detail=f"{check.detail}; {off}")
        yield check


def _described(expected: Expected, found: ProbeResult) -> Iterator[Check]:
    """What ``config.json`` says: architecture, classes, preprocessing; and that no batch norm claims a training."""
    if not expected.ordered:
        return
    wanted = {name: json.dumps(value) for name, value in describe(expected.config, expected.task).items()}
    wanted["num_batches_tracked"] = "0"
    own = found.properties
    wrong = sorted(name for name in own.keys() | wanted.keys() if own.get(name) != wanted.get(name))
    detail = f"for timm's {network_for(expected.config).architecture}" + (f", first: {wrong[0]}" if wrong else "")
    yield count("properties that differ", len(wrong), detail)
