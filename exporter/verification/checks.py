"""What a check is, and the checks that artifacts of both formats share."""

from collections.abc import Iterator

import numpy as np

from exporter.files.arrays import Arrays, by_variable
from exporter.models.config import ModelConfig, Task
from exporter.models.variables import VariableSpec, end_points, variables
from exporter.reference.recorded import statistics
from exporter.verification.differences import relative_difference
from exporter.verification.results import TOLERANCE, Check, Expected, count

#: A sum of 10^8 squares in float32 differs by some 1e-6 from run to run, with the order in which threads add; less than
#: this tells nothing of an artifact.
_SUM_RESOLUTION = 1e-5


def gate_check(findings: list[str]) -> Check:
    return count("findings of the gate for TensorFlow 1.15", len(findings), "; ".join(findings[:1]))


def variables_checks(
    specs: list[VariableSpec], reference: Arrays, found: Arrays, ordered: bool = True
) -> Iterator[Check]:
    digests = by_variable(reference, "names", "digests")
    own = by_variable(found, "names", "digests")
    names = [spec.name for spec in specs]
    wrong = sorted(set(names) ^ set(own))
    if ordered and not wrong:
        wrong = [a for a, b in zip(names, found["names"].tolist(), strict=True) if a != b]
    yield count(
        "variables named differently", len(wrong), f"{len(own)} variables" + (f", first: {wrong[0]}" if wrong else "")
    )
    trained = [spec.name for spec in specs if spec.trainable]
    wrong = sorted(set(trained) ^ set(found["trainable"].tolist()))
    detail = f"{len(found['trainable'])} trainable" + (f", first: {wrong[0]}" if wrong else "")
    yield count("trainable variables that differ", len(wrong), detail)
    wrong = [name for name in names if own.get(name) != digests[name]]
    detail = "bit for bit those of the checkpoint" if not wrong else f"differs first in {wrong[0]}"
    yield count("variables with other values", len(wrong), detail)


def output_checks(name: str, task: Task, expected: np.ndarray, found: np.ndarray | None) -> Iterator[Check]:
    """Compares outputs of shape [batch, classes or features]."""
    if found is None:
        yield Check(name, float("nan"), TOLERANCE, "the artifact has no such output")
        return
    if found.shape != expected.shape or found.dtype != expected.dtype:
        detail = f"is {found.dtype} {list(found.shape)}, expected {expected.dtype} {list(expected.shape)}"
        yield Check(f"{name}, shape and type", float("nan"), 0, detail)
        return
    difference = np.abs(found.astype(np.float64) - expected)
    largest = float(np.abs(expected).max())
    detail = f"{expected.dtype} {list(expected.shape)}, largest difference {difference.max():.3g} of {largest:.3g}"
    yield Check(f"{name}, relative difference", float(difference.max()) / largest, TOLERANCE, detail)
    if task == "classification":
        disagree = int((found.argmax(axis=1) != expected.argmax(axis=1)).sum())
        yield count(f"{name}, top-1 disagreements", disagree, f"of {len(expected)} images")


def regularization_check(expected: np.ndarray, found: np.ndarray) -> Check:
    """Compares the sum of all L2 terms; the figure is rounded up, for the same verdict to the last digit every time."""
    detail = f"reference {float(expected):.6g}, of {found.size}"
    figure = float(found.sum())
    if expected:
        difference = abs(figure - float(expected)) / float(expected)
        figure = float(np.maximum(1, np.ceil(difference / _SUM_RESOLUTION)) * _SUM_RESOLUTION)
        detail += f"; rounded up to {_SUM_RESOLUTION:g}"
    return Check("regularization losses, relative difference", figure, TOLERANCE, detail)


def l2_checks(expected: Expected, found: Arrays) -> Iterator[Check]:
    """Which variables the L2 terms pull at, and how much: in the sum of all, a small one could hide."""
    kernels = {spec.name for spec in variables(expected.config, expected.task) if spec.is_kernel}
    weights = by_variable(found, "l2/names", "l2/weights")
    decay = expected.config.weight_decay
    wrong = sorted(kernels ^ set(weights)) if decay or weights else []
    detail = f"{len(weights)} variables" + (f", first wrong: {wrong[0]}" if wrong else "")
    yield count("variables under L2 that differ", len(wrong), detail)
    off = {name: abs(weight - decay) / (decay or 1.0) for name, weight in weights.items() if name in kernels}
    worst = max(off, key=lambda name: off[name], default="")
    detail = f"largest at {worst}: {weights[worst]:.6g}, expected {decay:.6g}" if worst and off[worst] else ""
    yield Check("L2 weights, relative difference", off.get(worst, 0.0), TOLERANCE, detail)


def stored_check(expected: Expected, found: Arrays) -> Iterator[Check]:
    """Whether a file that nasexport wrote holds more than the variables: nobody would see, but all would carry it."""
    if expected.ordered:
        more = int(found["stored"]) - len(found["names"])
        yield count("values stored that no variable has", more, f"{int(found['stored'])} values")


def end_point_names(config: ModelConfig, reference: Arrays, prefix: str = "") -> list[str]:
    """The end points that a reference knows, in the order of the network; ``prefix`` is "" or "training/"."""
    keys = (f"{prefix}end_point/", f"{prefix}statistics/")
    return [name for name in end_points(config) if any(key + name in reference for key in keys)]


def end_point_difference(reference: Arrays, prefix: str, name: str, found: np.ndarray | None) -> float:
    """How far an end point is from the reference, relative to the largest magnitude there; NaN for another shape.

    A recorded reference has statistics of most end points alone: their differences count in the same way.
    """
    differences = []
    if (full := f"{prefix}end_point/{name}") in reference:
        differences.append(relative_difference(reference[full], found))
    if (short := f"{prefix}statistics/{name}") in reference:
        recorded = reference[short]
        own = np.full(3, np.nan) if found is None else statistics(found)
        differences.append(float(np.abs(own - recorded).max() / recorded[2]))
    return float(np.max(differences))


def statistics_of(found: Arrays) -> list[str]:
    """The names of the moving statistics that an artifact has."""
    return [name.removeprefix("before/") for name in found if name.startswith("before/")]


def change_checks(found: Arrays, names: np.ndarray, digests: np.ndarray) -> Iterator[Check]:
    """What inference and a training step change; ``names`` and ``digests`` are those before the step."""
    changed = int((found["after_inference"] != found["digests"]).sum())
    yield count("variables changed by inference", changed, "none may")
    statistics = statistics_of(found)
    moved = {name for name, a, b in zip(names.tolist(), digests, found["after_training"], strict=True) if a != b}
    wrong = sorted(moved ^ set(statistics))
    detail = f"{len(statistics)} moving statistics move, nothing else" + (f"; first wrong: {wrong[0]}" if wrong else "")
    yield count("variables changed by training", len(wrong), detail)


def gradient_checks(expected: Expected, found: Arrays) -> Iterator[Check]:
    """Whether the gradient of a loss reaches what is trained, and nothing else."""
    trained = {spec.name for spec in variables(expected.config, expected.task) if spec.trainable}
    reached = set(found["gradients/names"].tolist())
    wrong = sorted(trained ^ reached)
    detail = f"{len(reached)} reached" + (f", first wrong: {wrong[0]}" if wrong else "")
    yield count("gradients that reach the wrong variables", len(wrong), detail)
    wrong = found["gradients/not_finite"].tolist()
    yield count("gradients that are not finite", len(wrong), "; ".join(wrong[:1]))
    if expected.ordered:
        # Those of others may have ways of their own, as that of a mean that only shifts.
        stops = found["gradients/stops"].tolist()
        yield count("operations that stop gradients", len(stops), f"first: {stops[0]}" if stops else "")


def moving_averages_check(
    key: str, before: str, momentum: float, names: list[str], reference: Arrays, found: Arrays
) -> Check:
    """The largest error of a moving average after one step, relative to the largest magnitude of its variable."""
    names = [name for name in names if f"training/{name}" in reference]
    worst, where = 0.0 if names else float("nan"), ""
    for name in names:
        expected = momentum * found[f"{before}/{name}"] + (1 - momentum) * reference[f"training/{name}"]
        scale = max(float(np.abs(expected).max()), 1e-3)
        error = float(np.abs(found[f"{key}/{name}"] - expected).max()) / scale
        if not error <= worst:
            worst, where = error, name
    label = "default momentum" if key == "moved_by_default" else "momentum"
    detail = f"{len(names)} of them" + (f", largest at {where}" if where else "")
    return Check(f"moving averages at {label} {momentum:g}, relative difference", worst, TOLERANCE, detail)
