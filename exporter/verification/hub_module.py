"""The checks of a TF1 Hub module (versions 1 to 3)."""

from collections.abc import Collection, Iterator

import numpy as np

from exporter.files.arrays import Arrays
from exporter.models.formats import HUB, TRAINING_MOMENTUM
from exporter.models.signatures import HUB_COLLECTIONS, hub_signatures
from exporter.models.variables import variables
from exporter.probe.result import ProbeResult
from exporter.reference.result import EndPoints, Reference
from exporter.verification import drop_path
from exporter.verification.checks import (
    change_checks,
    compatibility_check,
    end_point_difference,
    gradient_checks,
    l2_checks,
    moving_averages_checks,
    output_checks,
    regularization_check,
    stored_check,
    variables_checks,
)
from exporter.verification.differences import EndPointDifferences
from exporter.verification.results import TOLERANCE, Check, Expected, count


def compare(expected: Expected, reference: Reference, found: ProbeResult, problems: list[str]) -> list[Check]:
    """Every check of a TF1 Hub module, passed or not.

    Args:
        found: what the probe of an artifact in this format found.
        problems: what keeps TensorFlow 1.15 from reading the file.
    """
    tag_sets = found.tag_sets
    listed = ", ".join("{" + tags + "}" for tags in tag_sets)
    checks = [compatibility_check(problems), count("tag sets that differ", len(set(tag_sets) ^ {"", "train"}), listed)]
    if not found.is_complete:
        # Nothing else can be said of it.
        return checks
    unknown = sorted(set(found.collections) - HUB_COLLECTIONS)
    checks.append(count("collections that readers refuse", len(unknown), ", ".join(unknown[:3])))
    specs = variables(expected.config, expected.task)
    checks += variables_checks(specs, reference.digests, found.variables, found.trainable, expected.ordered)
    checks += stored_check(expected, found)
    checks.append(_same_variables(found))
    checks.append(_image_size(expected, found))
    for training in (False, True):
        checks += _signatures(expected, reference, found, training)
    checks += _inactive_in_inference(found)
    checks += _training(expected, reference, found)
    return checks


def guess_version(signatures: Collection[str]) -> int:
    """The version of a module that has signatures of these names: the first that would have them."""
    settable = any("bn_hparams" in name for name in signatures)
    return next(row.number for row in HUB.versions if row.momentum_settable == settable)


def _same_variables(found: ProbeResult) -> Check:
    inference, training = found.variables.by_name, found.training_variables.by_name
    wrong = [name for name in {**inference, **training} if inference.get(name) != training.get(name)]
    return count("variables that differ between tag sets", len(wrong), f"{len(training)} variables")


def _image_size(expected: Expected, found: ProbeResult) -> Check:
    """What ``hub.get_expected_image_size`` says; without an attachment, it looks at the input of the graph itself."""
    sizes = found.attached_image_sizes
    wanted = [expected.config.image_size] * 2
    wrong = [size for size in sizes if size != wanted and (any(size) or expected.ordered)]
    return count("image sizes attached that differ", len(wrong), ", ".join(f"{h} x {w}" for h, w in sizes))


def _signatures(expected: Expected, reference: Reference, found: ProbeResult, training: bool) -> Iterator[Check]:
    """Names of signatures and outputs in one tag set, then every output of each signature."""
    tags = "{train}" if training else "{}"
    assert isinstance(expected.version, int)  # as its row says
    wanted = hub_signatures(expected.task, expected.version)
    signatures = found.training_signatures if training else found.signatures
    known = reference.training_end_points if training else reference.end_points
    inputs = {f"{name}/{key}" for name, signature in wanted.items() for key in signature.inputs}
    own_inputs = found.training_signature_inputs if training else found.signature_inputs
    wrong = sorted(signatures.keys() ^ set(wanted)) + sorted(inputs ^ own_inputs)
    detail = ", ".join(sorted(signatures)) + (f"; first wrong: {wrong[0]}" if wrong else "")
    yield count(f"signatures of {tags} that differ", len(wrong), detail)
    last = "Predictions" if expected.task == "classification" else "global_pool"
    end_points = known.names(expected.config)
    end_points = end_points[: end_points.index(last) + 1]
    for name in sorted(signatures.keys() & set(wanted)):
        outputs = signatures[name]
        named = {f"{expected.config.name}/{end_point}": end_point for end_point in end_points}
        named["default"] = wanted[name].end_point
        label = f"outputs of {tags} {name}"
        yield count(f"{label} that differ in name", len(outputs.keys() ^ set(named)), f"{len(outputs)} outputs")
        differences = {
            output: _difference(known, end_point, outputs, output)
            for output, end_point in named.items()
            if output in outputs
        }
        compared = EndPointDifferences(differences, TOLERANCE)
        largest = compared.largest if differences else float("nan")
        detail = f"{len(differences)} outputs{compared.note}"
        yield Check(f"{label}, relative difference", largest, TOLERANCE, detail)
        if not training and name == "default":
            single = known.values[wanted[name].end_point][:1]
            yield from output_checks("{} default for one image", expected.task, single, found.single_output)
        if not training and wanted[name].end_point == "Logits":
            logits = outputs["default"]
            yield from output_checks(f"{{}} {name}", "classification", known.values["Logits"], logits)


def _difference(reference: EndPoints, end_point: str, outputs: Arrays, output: str) -> float:
    """The relative difference of an output from the end point that it is said to be; NaN for another type."""
    if outputs[output].dtype != np.float32:
        return float("nan")
    return end_point_difference(reference, end_point, outputs, output)


def _inactive_in_inference(found: ProbeResult) -> Iterator[Check]:
    detail = "inference must have none"
    yield count("update operations of {}", found.inference_update_operations, detail)


def _training(expected: Expected, reference: Reference, found: ProbeResult) -> Iterator[Check]:
    yield from drop_path.checks(expected, found)
    yield from gradient_checks(expected, found)
    operations = found.update_operations
    missing = abs(operations - len(found.moving_statistics.before))
    yield count("update operations of {train}, difference", missing, f"{operations} operations")
    yield regularization_check(reference.regularization_losses[expected.task], found.regularization_losses)
    yield from l2_checks(expected, found)
    yield from change_checks(found)
    settable = HUB.version(expected.version).momentum_settable
    first = TRAINING_MOMENTUM if settable else expected.momentum
    yield from moving_averages_checks(found, reference.batch_statistics, first, expected.momentum)
