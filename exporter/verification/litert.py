"""The checks of a LiteRT model.

Its weights are products of the checkpoint's values, so that no check holds them against these bit for bit: what the
model gives is what counts. One with weights of 16 bits must give what the float32 graph of the rounded weights does.
"""

import dataclasses
from collections.abc import Collection, Iterator

from exporter.artifact.litert_texts import texts
from exporter.models.formats import LITERT, Version
from exporter.models.signatures import SERVING_INPUT, SERVING_OUTPUTS
from exporter.probe.result import ProbeResult
from exporter.reference.result import Reference
from exporter.verification.checks import output_checks
from exporter.verification.declared import tensors
from exporter.verification.differences import relative_difference
from exporter.verification.results import HALF_TOLERANCE, Check, Expected, count

SIGNATURE = "serving_default"


def compare(expected: Expected, reference: Reference, found: ProbeResult, problems: list[str]) -> list[Check]:
    """Every check of a LiteRT model, passed or not.

    Args:
        reference: with ``rounded`` where the artifact has weights of 16 bits.
        found: what `exporter.probe.litert.probe` found; operations that are not built in have no place there, as LiteRT
            does not run a model with them.
    """
    checks = list(_interface(expected, found))
    checks += _precision(expected, found)
    checks += _beside(expected, found)
    half = expected.options.precision == "float16"
    exact = reference.end_points.output(expected.task)
    wanted = exact
    if half:
        assert reference.rounded is not None  # the verifier has set it
        wanted = reference.rounded.output(expected.task)
    named = {"output": (wanted, found.output), "output for one image": (wanted[:1], found.single_output)}
    for name, (value, own) in named.items():
        for check in output_checks(name, expected.task, value, own):
            if half and check.name.endswith("relative difference"):
                off = f"from the weights as rounded; rounding them moves it by {relative_difference(exact, wanted):.3g}"
                check = dataclasses.replace(check, tolerance=HALF_TOLERANCE, detail=f"{check.detail}; {off}")
            checks.append(check)
    return checks


def guess_version(signatures: Collection[str]) -> Version:
    """The format has one version."""
    return LITERT.name


def _interface(expected: Expected, found: ProbeResult) -> Iterator[Check]:
    """Inputs and outputs of the signature, with a free batch."""
    if not expected.ordered:
        return
    images, output = tensors(expected)
    wanted = [
        f"input {SERVING_INPUT} {images} of {SIGNATURE}",
        f"output {SERVING_OUTPUTS[expected.task]} {output} of {SIGNATURE}",
    ]
    wrong = sorted(set(wanted) ^ set(found.interface))
    detail = "; ".join(found.interface[:2]) + (f"; first: {wrong[0]}" if wrong else "")
    yield count("inputs and outputs that differ", len(wrong), detail)


def _precision(expected: Expected, found: ProbeResult) -> Iterator[Check]:
    """Whether weights are stored as promised."""
    wanted = {f"weights in {expected.options.precision}"}
    own = {name for name in found.properties if name.startswith("weights in ")}
    wrong = sorted(own ^ wanted)
    yield count("types of weights that differ", len(wrong), ", ".join(sorted(own)))


def _beside(expected: Expected, found: ProbeResult) -> Iterator[Check]:
    """The files for which the format has no place: preprocessing, and the names of classes."""
    if not expected.ordered:
        return
    wanted = texts(expected.config, expected.task)
    own = {name: text for name, text in found.properties.items() if not name.startswith("weights in ")}
    wrong = sorted(name for name in wanted.keys() | own.keys() if wanted.get(name) != own.get(name))
    detail = ", ".join(sorted(own)) + (f"; first: {wrong[0]}" if wrong else "")
    yield count("files beside the model that differ", len(wrong), detail)
