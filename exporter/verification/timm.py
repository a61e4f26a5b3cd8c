"""The checks of weights for timm: its network must give what the original does, with its average pools corrected."""

import dataclasses
import json
from collections.abc import Collection, Iterator

import numpy as np

from exporter.artifact.timm import describe
from exporter.artifact.timm_names import CORRECTED, SHIPPED, USUAL, network_for
from exporter.models.classes import first_class
from exporter.models.formats import TIMM, Version
from exporter.models.variables import variables
from exporter.probe.result import ProbeResult
from exporter.reference.result import Reference, statistics
from exporter.verification.checks import end_points_check, names_check, output_checks, unread_check, values_check
from exporter.verification.declared import texts_check
from exporter.verification.differences import EndPointDifferences, relative_difference
from exporter.verification.results import TOLERANCE, Check, Expected


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
    if expected.ordered:
        checks.append(unread_check(found))
        checks.append(_described(expected, found))
    shipped = _shipped(expected, reference, found, output[:, first:])
    checks += _with_detail(output_checks("output", expected.task, output, found.output), shipped)
    checks += output_checks("output for one image", expected.task, output[:1], found.single_output)
    usual = _output(found, USUAL)
    checks += output_checks(f"output of {USUAL}", expected.task, output[:, first:], usual)
    checks.append(end_points_check(expected, reference.end_points, found.end_points))
    return checks


def guess_version(signatures: Collection[str]) -> Version:
    """The format has one version."""
    return TIMM.name


def _output(found: ProbeResult, signature: str) -> np.ndarray | None:
    return found.signatures[signature]["output"] if signature in found.signatures else None


def _with_detail(checks: Iterator[Check], text: str) -> Iterator[Check]:
    """The checks, of which the first says more."""
    for index, check in enumerate(checks):
        yield dataclasses.replace(check, detail=f"{check.detail}; {text}") if index == 0 else check


def _shipped(expected: Expected, reference: Reference, found: ProbeResult, usual: np.ndarray) -> str:
    """How far timm's network is off whose pools nobody corrected, where that begins, and which pools they are."""
    shipped = dict(found.signatures[SHIPPED]) if SHIPPED in found.signatures else {}
    corrected = found.properties.get(CORRECTED)
    off = f"{relative_difference(usual, shipped.get('output')):.3g} {SHIPPED}"
    if not corrected:
        return off
    known, own = reference.end_points, {name: value for name, value in shipped.items() if name != "output"}
    differences = {}
    for name in known.names(expected.config):
        if name in own:
            right = known.statistics[name] if name in known.statistics else statistics(known.values[name])
            differences[name] = float(np.abs(own[name] - right).max() / right[2])
    begins = EndPointDifferences(differences, TOLERANCE).first_divergent
    return f"with the pools {corrected} corrected; {off}, first divergent end point there: {begins}"


def _described(expected: Expected, found: ProbeResult) -> Check:
    """What ``config.json`` says: architecture, classes, preprocessing; and that no batch norm claims a training."""
    wanted = {name: json.dumps(value) for name, value in describe(expected.config, expected.task).items()}
    wanted["num_batches_tracked"] = "0"
    own = {name: text for name, text in found.properties.items() if name != CORRECTED}
    return texts_check(wanted, own, f"for timm's {network_for(expected.config).architecture}")
