"""The checks of an ONNX model."""

from collections.abc import Collection, Iterator

import numpy as np

from exporter.artifact.jobs import TensorFacts
from exporter.files.arrays import Arrays
from exporter.models.formats import ONNX, Version
from exporter.models.preprocessing import usage_texts
from exporter.models.shapes import end_point_shapes
from exporter.models.signatures import SERVING_INPUT, SERVING_OUTPUTS
from exporter.models.variables import features, variables
from exporter.probe.result import ProbeResult
from exporter.reference.result import Reference
from exporter.verification.checks import end_points_check, names_check, output_checks, values_check
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
        checks += _unread(found)
        checks += _interface(expected, found)
        checks += _properties(expected, found)
    checks += output_checks("output", expected.task, output, found.output)
    checks += output_checks("output for one image", expected.task, output[:1], found.single_output)
    shown = found.end_points if expected.ordered else _recognized(expected, found)
    checks.append(end_points_check(expected, reference.end_points, shown, by_record=True))
    return checks


def guess_version(signatures: Collection[str]) -> Version:
    """The format has one version."""
    return ONNX.name


def _recognized(expected: Expected, found: ProbeResult) -> Arrays:
    """The end points of a model of others: those that it names, or else the outputs of its concatenations that come in
    the order of the cells and have their shapes.
    """
    if len(found.end_points):
        return found.end_points
    waiting = list(found.concatenations)
    recognized: dict[str, np.ndarray] = {}
    for name, shape in end_point_shapes(expected.config).items():
        for index, value in enumerate(waiting if len(shape) == 3 else ()):
            own = next((one for one in (value, value.transpose(0, 2, 3, 1)) if one.shape[1:] == shape), None)
            if own is not None:
                recognized[name] = own
                del waiting[: index + 1]
                break
    return recognized


def _unread(found: ProbeResult) -> Iterator[Check]:
    """Whether the file has values that the network does not use: nobody would see, but all would carry them."""
    names = found.unread
    yield count("values stored that nothing reads", len(names), f"first: {names[0]}" if names else "")


def _interface(expected: Expected, found: ProbeResult) -> Iterator[Check]:
    """Inputs and outputs, with a free batch; end points may be outputs, too, after the main one."""
    config, task = expected.config, expected.task
    size = {"classification": config.num_classes, "feature_vector": features(config)}[task]
    images = TensorFacts("float32", (None, config.image_size, config.image_size, 3))
    wanted = [
        f"input {SERVING_INPUT} {images}",
        f"output {SERVING_OUTPUTS[task]} {TensorFacts('float32', (None, size))}",
    ]
    own = found.interface
    wrong = [line for line in wanted if line not in own]
    more = [line for line in own if line not in wanted]
    if expected.options.end_points:
        names = {line.split()[1] for line in more if line.startswith("output ")}
        wrong += sorted(f"output {name}" for name in set(found.end_points) - {_main(expected)} ^ names)
    else:
        wrong += more
    detail = "; ".join(own[:2]) + (f"; first: {wrong[0]}" if wrong else "")
    yield count("inputs and outputs that differ", len(wrong), detail)


def _main(expected: Expected) -> str:
    return {"classification": "Logits", "feature_vector": "global_pool"}[expected.task]


def _properties(expected: Expected, found: ProbeResult) -> Iterator[Check]:
    """What the file says of itself: model, task, preprocessing, classes."""
    wanted = usage_texts(expected.config, expected.task)
    own = found.properties
    wrong = [name for name, text in wanted.items() if own.get(name) != text]
    detail = f"{len(own)} properties" + (f", first: {wrong[0]}" if wrong else "")
    yield count("properties that differ", len(wrong), detail)
