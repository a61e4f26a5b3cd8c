"""The checks of a TF1 Hub module (versions 1 to 3)."""

from collections.abc import Collection, Iterator

import numpy as np

from exporter.files.arrays import Arrays, by_variable, stored
from exporter.models.formats import HUB, TRAINING_MOMENTUM
from exporter.models.signatures import HUB_COLLECTIONS, hub_signatures
from exporter.models.variables import variables
from exporter.verification import drop_path
from exporter.verification.checks import (
    change_checks,
    end_point_difference,
    end_point_names,
    gate_check,
    gradient_checks,
    l2_checks,
    moving_averages_check,
    output_checks,
    regularization_check,
    statistics_of,
    stored_check,
    variables_checks,
)
from exporter.verification.differences import Departure
from exporter.verification.results import TOLERANCE, Check, Expected, Shown, count


def compare(expected: Expected, reference: Arrays, found: Arrays, findings: list[str]) -> list[Check]:
    """Every check of a TF1 Hub module, passed or not.

    Args:
        reference: arrays of `exporter.reference.computed.reference`.
        found: arrays of `exporter.probe.run.probe`, of an artifact in this format.
        findings: what the gate says of the file.
    """
    tag_sets = found["tag_sets"].tolist()
    listed = ", ".join("{" + tags + "}" for tags in tag_sets)
    checks = [gate_check(findings), count("tag sets that differ", len(set(tag_sets) ^ {"", "train"}), listed)]
    if not {"", "train"} <= set(tag_sets):
        # Nothing else can be said of it.
        return checks
    unknown = sorted(set(found["collections"].tolist()) - HUB_COLLECTIONS)
    checks.append(count("collections that readers refuse", len(unknown), ", ".join(unknown[:3])))
    specs = variables(expected.config, expected.task)
    checks += variables_checks(specs, reference, found, expected.ordered)
    checks += stored_check(expected, found)
    checks.append(_same_variables(found))
    checks.append(_image_size(expected, found))
    checks += _signatures(expected, reference, found, tags="")
    checks += _signatures(expected, reference, found, tags="train")
    checks += _inactive_in_inference(found)
    checks += _training(expected, reference, found)
    return checks


def shown(expected: Expected, found: Arrays) -> Shown:
    """Where the outputs of a TF1 Hub module are among the arrays of its probe."""
    prefix = f"signature/default/{expected.config.name}/"
    end_points = {name.removeprefix(prefix): name for name in found if name.startswith(prefix)}
    return Shown("signature/default/default", end_points)


def guess_version(signatures: Collection[str]) -> int:
    """The version of a module that has signatures of these names: the first that would have them."""
    settable = any("bn_hparams" in name for name in signatures)
    return next(row.number for row in HUB.versions if row.momentum_settable == settable)


def _same_variables(found: Arrays) -> Check:
    inference = by_variable(found, "names", "digests")
    training = by_variable(found, "train/names", "train/digests")
    wrong = [name for name in {**inference, **training} if inference.get(name) != training.get(name)]
    return count("variables that differ between tag sets", len(wrong), f"{len(training)} variables")


def _image_size(expected: Expected, found: Arrays) -> Check:
    """What ``hub.get_expected_image_size`` says; without an attachment, it looks at the input of the graph itself."""
    sizes = found["image_sizes"].tolist()
    wanted = [expected.config.image_size] * 2
    wrong = [size for size in sizes if size != wanted and (any(size) or expected.ordered)]
    return count("image sizes attached that differ", len(wrong), ", ".join(f"{h} x {w}" for h, w in sizes))


def _signatures(expected: Expected, reference: Arrays, found: Arrays, tags: str) -> Iterator[Check]:
    """Names of signatures and outputs, then every output of each signature."""
    wanted = hub_signatures(expected.task, expected.version)
    prefix = "train/signature/" if tags else "signature/"
    key = "training/" if tags else ""
    present = {name.removeprefix(prefix).split("/", 1)[0] for name in found if name.startswith(prefix)}
    inputs = {f"{name}/{key}" for name, signature in wanted.items() for key in signature.inputs}
    own = set(found[("train/" if tags else "") + "signature_inputs"].tolist())
    wrong = sorted(present ^ set(wanted)) + sorted(inputs ^ own)
    detail = ", ".join(sorted(present)) + (f"; first wrong: {wrong[0]}" if wrong else "")
    yield count(f"signatures of {{{tags}}} that differ", len(wrong), detail)
    last = "Predictions" if expected.task == "classification" else "global_pool"
    end_points = end_point_names(expected.config, reference, key)
    end_points = end_points[: end_points.index(last) + 1]
    known: dict[tuple[str, str], float] = {}
    for name in sorted(present & set(wanted)):
        outputs = {f"{expected.config.name}/{end_point}": end_point for end_point in end_points}
        outputs["default"] = wanted[name].end_point
        own = {output.removeprefix(f"{prefix}{name}/") for output in found if output.startswith(f"{prefix}{name}/")}
        detail = f"{len(own)} outputs"
        yield count(f"outputs of {{{tags}}} {name} that differ in name", len(own ^ set(outputs)), detail)
        places = {output: f"{prefix}{name}/{output}" for output in outputs if output in own}
        differences = {}
        for output, place in places.items():
            # Signatures give the same end points again.
            same = (outputs[output], stored(found, place))
            if same not in known:
                known[same] = _difference(reference, key, outputs[output], found[place])
            differences[output] = known[same]
        departure = Departure(differences, TOLERANCE)
        label = f"outputs of {{{tags}}} {name}, relative difference"
        largest = departure.largest if places else float("nan")
        yield Check(label, largest, TOLERANCE, f"{len(places)} outputs{departure.told}")
        if not tags and name == "default":
            single = reference[f"end_point/{wanted[name].end_point}"][:1]
            yield from output_checks("{} default for one image", expected.task, single, found["single"])
        if not tags and wanted[name].end_point == "Logits":
            logits = found[f"{prefix}{name}/default"]
            yield from output_checks(f"{{}} {name}", "classification", reference["end_point/Logits"], logits)


def _difference(reference: Arrays, key: str, end_point: str, found: np.ndarray) -> float:
    """The relative difference of an output from the end point that it is said to be; NaN for another type."""
    return end_point_difference(reference, key, end_point, found) if found.dtype == np.float32 else float("nan")


def _inactive_in_inference(found: Arrays) -> Iterator[Check]:
    yield count("update operations of {}", int(found["inference_update_ops"]), "none may be there")


def _training(expected: Expected, reference: Arrays, found: Arrays) -> Iterator[Check]:
    yield from drop_path.checks(expected, found)
    yield from gradient_checks(expected, found)
    statistics = statistics_of(found)
    missing = abs(int(found["update_ops"]) - len(statistics))
    yield count("update operations of {train}, difference", missing, f"{int(found['update_ops'])} operations")
    loss = reference[f"regularization_loss/{expected.task}"]
    yield regularization_check(loss, found["regularization_loss"])
    yield from l2_checks(expected, found)
    yield from change_checks(found, found["train/names"], found["train/digests"])
    settable = HUB.version(expected.version).momentum_settable
    first = TRAINING_MOMENTUM if settable else expected.momentum
    yield moving_averages_check("moved", "before", first, statistics, reference, found)
    yield moving_averages_check("moved_by_default", "moved", expected.momentum, statistics, reference, found)
