"""The checks of what a file says of itself: its inputs and outputs, and how it is used; formats without signatures."""

from collections.abc import Collection, Mapping

from exporter.artifact.jobs import TensorFacts
from exporter.models.preprocessing import usage_texts
from exporter.models.signatures import SERVING_INPUT, SERVING_OUTPUTS
from exporter.models.variables import features, main_end_point
from exporter.probe.result import ProbeResult
from exporter.verification.results import Check, Expected, count


def tensors(expected: Expected) -> tuple[TensorFacts, TensorFacts]:
    """Type and shape of the images that an artifact takes, and of its output, with a free batch."""
    config = expected.config
    size = {"classification": config.num_classes, "feature_vector": features(config)}[expected.task]
    images = (None, config.image_size, config.image_size, 3)
    return TensorFacts("float32", images), TensorFacts("float32", (None, size))


def interface_check(expected: Expected, found: ProbeResult) -> Check:
    """Inputs and outputs, with a free batch; end points may be outputs, too, after the main one."""
    images, output = tensors(expected)
    wanted = [
        f"input {SERVING_INPUT} {images}",
        f"output {SERVING_OUTPUTS[expected.task]} {output}",
    ]
    own = found.interface
    wrong = [line for line in wanted if line not in own]
    more = [line for line in own if line not in wanted]
    if expected.options.end_points:
        names = {line.split()[1] for line in more if line.startswith("output ")}
        wrong += sorted(f"output {name}" for name in set(found.end_points) - {main_end_point(expected.task)} ^ names)
    else:
        wrong += more
    detail = "; ".join(own[:2]) + (f"; first: {wrong[0]}" if wrong else "")
    return count("inputs and outputs that differ", len(wrong), detail)


def properties_check(expected: Expected, found: ProbeResult, beside: Collection[str] = ()) -> Check:
    """What the file says of itself: model, task, preprocessing, classes; not the names ``beside``, which say more."""
    own = {name: text for name, text in found.properties.items() if name not in beside}
    return texts_check(usage_texts(expected.config, expected.task), own, f"{len(own)} properties")


def texts_check(wanted: Mapping[str, str], own: Mapping[str, str], detail: str) -> Check:
    """Texts by name, which must be these and no others."""
    wrong = sorted(name for name in wanted.keys() | own.keys() if wanted.get(name) != own.get(name))
    return count("properties that differ", len(wrong), detail + (f", first: {wrong[0]}" if wrong else ""))
