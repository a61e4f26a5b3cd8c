"""What two artifacts do, compared: what each gave when it was loaded and run (`exporter.probe`), an array at a time."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from exporter.diff.comparison import Comparison, equal, largeness, sets
from exporter.diff.side import END_POINTS, Side
from exporter.files.json_values import finite_or_none
from exporter.models.formats import TRAINING_MOMENTUM
from exporter.verification.differences import differences

#: Default momenta come out of two steps in float32, to some 1e-8; this is less than any two that anyone would set.
_MOMENTUM_TOLERANCE = 1e-5
#: As in the checks of a build: below it, the differences of a moving average are not divided by its size.
_STATISTICS_FLOOR = 1e-3


def _trainable(a: Side, b: Side, _: float) -> Iterator[Comparison]:
    yield sets("trainable", "trainable variables", set(a.found.trainable), set(b.found.trainable))
    own, other = a.found.replica_means, b.found.replica_means
    if own is not None and other is not None:
        yield sets("trainable", "variables of which replicas read the mean", set(own), set(other))


def _regularization(a: Side, b: Side, tolerance: float) -> Iterator[Comparison]:
    losses = [side.found.regularization_losses for side in (a, b)]
    # One term for each kernel, or one for all: their sum is what training adds.
    sums = [float(loss.sum(dtype=np.float64)) for loss in losses]
    _, relative = differences(np.array(sums[0]), np.array(sums[1]))
    texts = [
        f"{total:.6g} in {loss.size} {'term' if loss.size == 1 else 'terms'}"
        for total, loss in zip(sums, losses, strict=True)
    ]
    facts = {
        "a": finite_or_none(sums[0]),
        "b": finite_or_none(sums[1]),
        "relative_difference": finite_or_none(relative),
    }
    detail = f"{texts[0]} | {texts[1]}, relative difference {relative:.3g}"
    yield Comparison("l2", "L2 terms", relative <= tolerance, detail, facts)


def _outputs(a: Side, b: Side, tolerance: float, training: bool = False) -> Iterator[Comparison]:
    """Compares what both have. That one has more of it is a matter of its signatures."""
    aspect = "training" if training else "outputs"
    groups_a, groups_b = (side.training_outputs() if training else side.outputs() for side in (a, b))
    shared = [name for name in groups_a if groups_a[name].keys() & groups_b.get(name, {}).keys()]
    if not shared:
        yield Comparison(aspect, "outputs", False, "they have none in common that could be compared")
    if a.found.main_signature and b.found.main_signature and END_POINTS in shared:
        shared.remove(END_POINTS)  # they are outputs of the signatures
    for group in shared:
        own, other = groups_a[group], groups_b[group]
        rows = [_output(name, own[name], other[name], tolerance) for name in own if name in other]
        yield Comparison(aspect, group, all(row["same"] for row in rows), _output_text(rows), {"outputs": rows})


def _output(name: str, a: np.ndarray, b: np.ndarray, tolerance: float) -> dict[str, Any]:
    row: dict[str, Any] = {"name": name, "a": f"{a.dtype} {list(a.shape)}", "b": f"{b.dtype} {list(b.shape)}"}
    if row["a"] != row["b"]:
        return {**row, "same": False, "absolute_difference": None, "relative_difference": None}
    if a.tobytes() == b.tobytes():
        absolute = relative = 0.0
    else:
        absolute, relative = differences(a, b)
    figures = {"absolute_difference": finite_or_none(absolute), "relative_difference": finite_or_none(relative)}
    return {**row, "same": relative <= tolerance, **figures}


def _output_text(rows: list[dict[str, Any]]) -> str:
    worst = next((row for row in rows if row["a"] != row["b"]), None)
    if worst:
        return f"{worst['name'] or 'it'} is {worst['a']} | {worst['b']}"
    worst = max(rows, key=largeness)
    relative = worst["relative_difference"]
    text = "relative difference " + ("no finite number" if relative is None else f"{relative:.3g}")
    if len(rows) > 1:
        text += f", the largest of {len(rows)} outputs" + (f", at {worst['name']}" if relative != 0 else "")
    return text


def _training(a: Side, b: Side, tolerance: float) -> Iterator[Comparison]:
    changed = [set(side.found.variables.changed) for side in (a, b)]
    yield sets("training", "variables that inference changes", *changed)
    changed = [set(side.found.training_variables.changed) for side in (a, b)]
    yield sets("training", "variables that training changes", *changed)
    yield from _outputs(a, b, tolerance, training=True)
    if a.found.momentum_settable == b.found.momentum_settable:
        yield _moving_averages(a, b, tolerance)


def _moving_averages(a: Side, b: Side, tolerance: float) -> Comparison:
    own, other = (side.found.moving_statistics.after_set_momentum for side in (a, b))
    wrong, largest, where = [], 0.0, ""
    shared = [name for name in own if name in other]
    for name in shared:
        one, two = own[name], other[name]
        if one.shape != two.shape:
            relative = float("nan")
        else:
            scale = max(float(np.abs(one).max(initial=0.0)), _STATISTICS_FLOOR)
            relative = differences(one, two)[0] / scale
        if not relative <= tolerance:
            wrong.append({"name": name, "relative_difference": finite_or_none(relative)})
        if not relative <= largest:
            largest, where = relative, name
    how = f"momentum {TRAINING_MOMENTUM:g}" if a.found.momentum_settable else "their own momentum"
    detail = f"{len(shared)} in both, relative difference {largest:.3g}" + (f", at {where}" if where else "")
    facts = {"in_both": len(shared), "differing": wrong, "relative_difference": finite_or_none(largest)}
    same = not wrong and (bool(shared) or not (own or other))
    return Comparison("training", f"moving averages after one step at {how}", same, detail, facts)


def _momentum(a: Side, b: Side, _: float) -> Iterator[Comparison]:
    settable_a, settable_b = (side.found.momentum_settable for side in (a, b))
    yield equal("momentum", "momentum can be set", settable_a, settable_b, _yes(settable_a), _yes(settable_b))
    own, other = a.default_momentum(), b.default_momentum()
    same = own is other if own is None or other is None else abs(own - other) <= _MOMENTUM_TOLERANCE
    texts = ["unknown" if value is None else f"{value:.6g}" for value in (own, other)]
    detail = texts[0] if same else f"{texts[0]} | {texts[1]}"
    yield Comparison("momentum", "default momentum", same, detail, {"a": own, "b": other})


def _yes(fact: bool) -> str:
    return "yes" if fact else "no"


#: What compares two sides, by aspect; the number is the largest relative difference of outputs that is none.
PROBED: dict[str, Callable[[Side, Side, float], Iterator[Comparison]]] = {
    "trainable": _trainable,
    "l2": _regularization,
    "outputs": _outputs,
    "training": _training,
    "momentum": _momentum,
}
