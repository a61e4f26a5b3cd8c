"""The checks that artifacts of several formats share."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from exporter.files.arrays import ArrayGroup, Arrays
from exporter.models.config import Task
from exporter.models.variables import VariableSpec, variables
from exporter.probe.observations import Variables
from exporter.probe.result import ProbeResult
from exporter.reference.result import RECORDED_WHOLE, EndPoints, statistics
from exporter.terminal import counted
from exporter.verification.differences import EndPointDifferences, relative_difference
from exporter.verification.results import TOLERANCE, Check, Expected, count

#: A sum of 10^8 squares in float32 differs by some 1e-6 from run to run, with the order in which threads add; less than
#: this tells nothing of an artifact.
_SUM_RESOLUTION = 1e-5

#: The checks that tell the most of what is behind the others.
NAMES_CHECK = "variables named differently"
VALUES_CHECK = "variables with other values"


def compatibility_check(problems: list[str]) -> Check:
    return count("compatibility problems with TensorFlow 1.15", len(problems), "; ".join(problems[:1]))


def variables_checks(
    specs: list[VariableSpec],
    digests: Mapping[str, str],
    found: Variables,
    trainable: Sequence[str],
    ordered: bool = True,
) -> Iterator[Check]:
    """Names, order, values and kinds of variables.

    Args:
        digests: the sha256 of the values that each should have.
        found: the variables that the artifact has.
        trainable: those of them that it says are trainable.
        ordered: whether they must come in the order of ``specs``.
    """
    yield names_check(specs, found, ordered)
    trained = [spec.name for spec in specs if spec.trainable]
    wrong = sorted(set(trained) ^ set(trainable))
    detail = f"{len(trainable)} trainable" + (f", first: {wrong[0]}" if wrong else "")
    yield count("trainable variables that differ", len(wrong), detail)
    yield values_check(specs, digests, found)


def names_check(specs: list[VariableSpec], found: Variables, ordered: bool = True) -> Check:
    """Names of variables, and their order where they must come in that of ``specs``."""
    own, names = found.by_name, [spec.name for spec in specs]
    wrong = sorted(set(names) ^ set(own))
    if ordered and not wrong:
        wrong = [a for a, b in zip(names, found.names, strict=True) if a != b]
    detail = f"{len(own)} variables" + (f", first: {wrong[0]}" if wrong else "")
    return count(NAMES_CHECK, len(wrong), detail)


def values_check(specs: list[VariableSpec], digests: Mapping[str, str], found: Variables) -> Check:
    """Values of variables: each has the sha256 of ``digests``."""
    own = found.by_name
    wrong = [spec.name for spec in specs if own.get(spec.name) != digests[spec.name]]
    detail = "bit for bit those of the checkpoint" if not wrong else f"differs first in {wrong[0]}"
    return count(VALUES_CHECK, len(wrong), detail)


def unread_check(found: ProbeResult) -> Check:
    """Whether a file has values that the network does not use: nobody would see, but all would carry them."""
    names = found.unread
    return count("values stored that nothing reads", len(names), f"first: {names[0]}" if names else "")


def end_points_check(expected: Expected, reference: EndPoints, found: Arrays) -> Check:
    """Every end point that the artifact shows, and the first divergent one; what nasexport wrote shows all.

    Where another library than TensorFlow computes the artifact, an end point of which there are recorded statistics of
    the original network is held against these alone: value by value, the rounding of two libraries in float32 comes to
    2e-4 in the last cells of the large networks with synthetic weights, of which each is off by more than 1e-4 from the
    same in float64.
    """
    by_record = not expected.config.format_spec(expected.version).runs_on_original
    # The exported function ends before the probabilities, that of a feature vector before the classifier.
    beyond = {"classification": ("Predictions",), "feature_vector": ("Logits", "Predictions")}[expected.task]
    wanted = [name for name in reference.names(expected.config) if name not in beyond]
    shown = [name for name in wanted if name in found]
    differences = EndPointDifferences(
        {name: end_point_difference(reference, name, found, name, by_record=by_record) for name in shown}, TOLERANCE
    )
    recorded = sum(name in reference.statistics for name in shown) if by_record else 0
    by = f", {recorded} by what was recorded of the original" if recorded else ""
    detail = f"{len(shown)} of {len(wanted)} found in the graph{by}{differences.note}"
    missing = expected.ordered and len(shown) < len(wanted)
    figure = float("nan") if missing else differences.largest
    return Check("end points, relative difference", figure, TOLERANCE, detail)


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
        yield count(f"{name}, top-1 disagreements", disagree, f"of {counted(len(expected), 'image')}")


def regularization_check(expected: np.ndarray, found: np.ndarray) -> Check:
    """Compares the sum of all L2 terms; the figure is rounded up, for the same verdict to the last digit every time."""
    detail = f"reference {float(expected):.6g}, of {found.size}"
    figure = float(found.sum())
    if expected:
        difference = abs(figure - float(expected)) / float(expected)
        figure = float(np.maximum(1, np.ceil(difference / _SUM_RESOLUTION)) * _SUM_RESOLUTION)
        detail += f"; rounded up to {_SUM_RESOLUTION:g}"
    return Check("regularization losses, relative difference", figure, TOLERANCE, detail)


def l2_checks(expected: Expected, found: ProbeResult) -> Iterator[Check]:
    """Which variables have L2 gradients, and how large those are: in the sum of all losses, a small one could hide."""
    kernels = {spec.name for spec in variables(expected.config, expected.task) if spec.is_kernel}
    weights = found.l2_weights
    decay = expected.config.weight_decay
    wrong = sorted(kernels ^ set(weights)) if decay or weights else []
    detail = f"{len(weights)} variables" + (f", first wrong: {wrong[0]}" if wrong else "")
    yield count("variables under L2 that differ", len(wrong), detail)
    off = {name: abs(weight - decay) / (decay or 1.0) for name, weight in weights.items() if name in kernels}
    worst = max(off, key=lambda name: off[name], default="")
    detail = f"largest at {worst}: {weights[worst]:.6g}, expected {decay:.6g}" if worst and off[worst] else ""
    yield Check("L2 weights, relative difference", off.get(worst, 0.0), TOLERANCE, detail)


def stored_check(expected: Expected, found: ProbeResult) -> Iterator[Check]:
    """Whether a file that nasexport wrote has more than the variables: nobody would see, but all would carry it."""
    if expected.ordered:
        more = found.stored_values - len(found.variables.names)
        yield count("values stored that no variable has", more, f"{found.stored_values} values")


def end_point_difference(
    reference: EndPoints, name: str, outputs: Arrays, output: str, *, by_record: bool = False
) -> float:
    """How far an output is from an end point, relative to the largest magnitude there; NaN for another shape.

    A recorded reference has statistics of most end points alone: their differences count in the same way, and those
    alone ``by_record``. Equal arrays are compared once.
    """
    content = outputs.content(output) if isinstance(outputs, ArrayGroup) else None
    if content is None:
        return _end_point_difference(reference, name, outputs[output], by_record)
    key = (name, content, by_record)
    if key not in reference.compared:
        reference.compared[key] = _end_point_difference(reference, name, outputs[output], by_record)
    return reference.compared[key]


def _end_point_difference(reference: EndPoints, name: str, found: np.ndarray, by_record: bool) -> float:
    differences = []
    of_original = by_record and name in reference.statistics and name not in RECORDED_WHOLE
    if name in reference.values and not of_original:
        differences.append(relative_difference(reference.values[name], found))
    if name in reference.statistics:
        recorded = reference.statistics[name]
        differences.append(float(np.abs(statistics(found) - recorded).max() / recorded[2]))
    return float(np.max(differences))


def change_checks(found: ProbeResult) -> Iterator[Check]:
    """What inference and training steps change."""
    yield count("variables changed by inference", len(found.variables.changed), "inference must change none")
    statistics = list(found.moving_statistics.before)
    wrong = sorted(set(found.training_variables.changed) ^ set(statistics))
    detail = f"{len(statistics)} moving statistics move, nothing else" + (f"; first wrong: {wrong[0]}" if wrong else "")
    yield count("variables changed by training", len(wrong), detail)


def gradient_checks(expected: Expected, found: ProbeResult) -> Iterator[Check]:
    """Whether the gradient of a loss reaches what is trained, and nothing else."""
    gradients = found.gradients
    trained = {spec.name for spec in variables(expected.config, expected.task) if spec.trainable}
    reached = set(gradients.reached)
    wrong = sorted(trained ^ reached)
    detail = f"{len(reached)} reached" + (f", first wrong: {wrong[0]}" if wrong else "")
    yield count("gradients that reach the wrong variables", len(wrong), detail)
    wrong = gradients.not_finite
    yield count("gradients that are not finite", len(wrong), "; ".join(wrong[:1]))
    if expected.ordered:
        # Those of others may have ways of their own, as that of a mean that only shifts.
        stops = found.gradient_stops
        yield count("operations that stop gradients", len(stops), f"first: {stops[0]}" if stops else "")


def moving_averages_checks(
    found: ProbeResult, batch_statistics: Arrays, set_momentum: float, default_momentum: float
) -> Iterator[Check]:
    """How far the moving averages go in each of two steps, which a momentum between 0 and 1 decides.

    Args:
        batch_statistics: what each batch norm finds in the images, by the names of the moving averages.
        set_momentum: that of the first step.
        default_momentum: that of the second.
    """
    moving = found.moving_statistics
    steps = (
        ("momentum", set_momentum, moving.before, moving.after_set_momentum),
        ("default momentum", default_momentum, moving.after_set_momentum, moving.after_default_momentum),
    )
    for label, momentum, before, after in steps:
        name = f"moving averages at {label} {momentum:g}, relative difference"
        yield _moving_averages_check(name, momentum, before, after, batch_statistics)


def _moving_averages_check(
    name: str, momentum: float, before: Arrays, after: Arrays, batch_statistics: Arrays
) -> Check:
    """The largest error of a moving average after one step, relative to the largest magnitude of its variable."""
    names = [variable for variable in before if variable in batch_statistics]
    worst, where = 0.0 if names else float("nan"), ""
    for variable in names:
        expected = momentum * before[variable] + (1 - momentum) * batch_statistics[variable]
        scale = max(float(np.abs(expected).max()), 1e-3)
        error = float(np.abs(after[variable] - expected).max()) / scale
        if not error <= worst:
            worst, where = error, variable
    detail = f"{len(names)} of them" + (f", largest at {where}" if where else "")
    return Check(name, worst, TOLERANCE, detail)
