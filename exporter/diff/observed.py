"""What two artifacts do, compared: what each gave when it was loaded and run (`exporter.probe.saved_model`), an array at a time."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from exporter.artifact import variable_names
from exporter.diff.comparison import Comparison, equal, finite, largeness, sets
from exporter.diff.declared import flat_signatures
from exporter.models.formats import MOMENTUM_INPUT, TRAINING_MOMENTUM
from exporter.verification.differences import differences

#: Default momenta come out of two steps in float32, to some 1e-8; this is less than any two that anyone would set.
_MOMENTUM_TOLERANCE = 1e-5
#: As in the checks of a build: below it, the differences of a moving average are not divided by its size.
_STATISTICS_FLOOR = 1e-3
_END_POINTS = "end points"


class Side:
    """What the probe of one artifact wrote down, in the words that both formats share."""

    def __init__(self, arrays: Any, facts: dict[str, Any], prefix: str):
        self.arrays, self.hub, self._prefix = arrays, facts["format"] == "hub", prefix
        inputs = (set(signature["inputs"]) for signature in flat_signatures(facts).values())
        #: Whether a reader can choose the momentum; a TF2 SavedModel that did not take one could not be probed.
        self.settable = not self.hub or any(MOMENTUM_INPUT in names for names in inputs)

    def array(self, key: str) -> np.ndarray:
        return self.arrays[key]

    def names(self, key: str = "names") -> list[str]:
        return [variable_names.without(name, self._prefix) for name in self.arrays[key].tolist()]

    def changed_by_inference(self) -> set[str]:
        return self._changed("names", "digests", "after_inference")

    def changed_by_training(self) -> set[str]:
        train = "train/" if self.hub else ""
        return self._changed(f"{train}names", f"{train}digests", "after_training")

    def _changed(self, names: str, before: str, after: str) -> set[str]:
        moved = (self.arrays[before] != self.arrays[after]).tolist()
        return {name for name, changed in zip(self.names(names), moved, strict=True) if changed}

    def statistics(self, key: str) -> dict[str, str]:
        """Where the moving statistics are: ``before``, ``moved`` or ``moved_by_default``."""
        found = (name.removeprefix(f"{key}/") for name in self.arrays if name.startswith(f"{key}/"))
        return {variable_names.without(name, self._prefix): f"{key}/{name}" for name in found}

    def outputs(self) -> dict[str, dict[str, str]]:
        """Where the outputs in inference are, by what gives them and by their own name."""
        groups = self._by_signature("signature/")
        if self.hub:
            main = {"output": "signature/default/default"}
        else:
            main = {"output": "output", "output for one image": "output_single"}
        end_points = {_END_POINTS: self._end_points()}
        return {**{name: {"": key} for name, key in main.items() if key in self.arrays}, **end_points, **groups}

    def _end_points(self) -> dict[str, str]:
        """Where each end point is that a module gives, or that the graph of a SavedModel shows."""
        prefix = "signature/default/" if self.hub else "end_point/"
        keys = (key for key in self.arrays if key.startswith(prefix))
        # A module puts its network's name before each.
        named = {key.removeprefix(prefix).rsplit("/", 1)[-1]: key for key in keys}
        return {name: key for name, key in named.items() if not (self.hub and name == "default")}

    def training_outputs(self) -> dict[str, dict[str, str]]:
        """The same in training."""
        key = "train/signature/default/default" if self.hub else "training/output"
        main = {"output in training": {"": key}} if key in self.arrays else {}
        return {**main, **self._by_signature("train/signature/")}

    def _by_signature(self, prefix: str) -> dict[str, dict[str, str]]:
        groups: dict[str, dict[str, str]] = {}
        tags = "{train} " if prefix.startswith("train/") else "{} " if self.hub else ""
        for key in self.arrays:
            if key.startswith(prefix):
                name, output = key.removeprefix(prefix).split("/", 1)
                groups.setdefault(f"outputs of signature {tags}{name}", {})[output] = key
        return groups

    def default_momentum(self) -> float | None:
        """What moves the averages where nobody sets it, told by two steps; None where nothing moves.

        The batch is the same in both. Where the momentum of the first was set, it gives the batch's statistics, and
        the second step goes part of the way from there; otherwise the second step is shorter than the first by it.
        """
        product = square = 0.0
        for key in self.statistics("before").values():
            name = key.removeprefix("before/")
            before, moved, again = (
                self.arrays[f"{step}/{name}"].astype(np.float64) for step in ("before", "moved", "moved_by_default")
            )
            way = moved - before
            if self.settable:  # from moved = momentum * before + (1 - momentum) * batch follows batch - moved
                way *= TRAINING_MOMENTUM / (1 - TRAINING_MOMENTUM)
            weight = 1 / max(float(np.abs(moved).max(initial=0.0)), 1e-30) ** 2
            product += weight * float((way * (again - moved)).sum())
            square += weight * float((way * way).sum())
        if not square > 0 or not np.isfinite(product / square):
            return None
        return 1 - product / square if self.settable else product / square


def _trainable(a: Side, b: Side, _: float) -> Iterator[Comparison]:
    yield sets("trainable", "trainable variables", set(a.names("trainable")), set(b.names("trainable")))


def _regularization(a: Side, b: Side, tolerance: float) -> Iterator[Comparison]:
    losses = [side.array("regularization_loss") for side in (a, b)]
    # One term for each kernel, or one for all: their sum is what training adds.
    sums = [float(loss.sum(dtype=np.float64)) for loss in losses]
    _, relative = differences(np.array(sums[0]), np.array(sums[1]))
    texts = [
        f"{total:.6g} in {loss.size} {'term' if loss.size == 1 else 'terms'}"
        for total, loss in zip(sums, losses, strict=True)
    ]
    facts = {"a": finite(sums[0]), "b": finite(sums[1]), "relative_difference": finite(relative)}
    detail = f"{texts[0]} | {texts[1]}, relative difference {relative:.3g}"
    yield Comparison("l2", "L2 terms", relative <= tolerance, detail, facts)


def _outputs(a: Side, b: Side, tolerance: float, training: bool = False) -> Iterator[Comparison]:
    """Compares what both have. That one has more of it is a matter of its signatures."""
    aspect = "training" if training else "outputs"
    groups_a, groups_b = (side.training_outputs() if training else side.outputs() for side in (a, b))
    shared = [name for name in groups_a if groups_a[name].keys() & groups_b.get(name, {}).keys()]
    if not shared:
        yield Comparison(aspect, "outputs", False, "they have none in common that could be compared")
    if a.hub and b.hub and _END_POINTS in shared:
        shared.remove(_END_POINTS)  # they are outputs of the signatures
    for group in shared:
        own, other = groups_a[group], groups_b[group]
        rows = [_output(name, a.array(own[name]), b.array(other[name]), tolerance) for name in own if name in other]
        yield Comparison(aspect, group, all(row["same"] for row in rows), _output_text(rows), {"outputs": rows})


def _output(name: str, a: np.ndarray, b: np.ndarray, tolerance: float) -> dict[str, Any]:
    row: dict[str, Any] = {"name": name, "a": f"{a.dtype} {list(a.shape)}", "b": f"{b.dtype} {list(b.shape)}"}
    if row["a"] != row["b"]:
        return {**row, "same": False, "absolute_difference": None, "relative_difference": None}
    if a.tobytes() == b.tobytes():
        absolute = relative = 0.0
    else:
        absolute, relative = differences(a, b)
    figures = {"absolute_difference": finite(absolute), "relative_difference": finite(relative)}
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
    yield sets("training", "variables that inference changes", a.changed_by_inference(), b.changed_by_inference())
    yield sets("training", "variables that training changes", a.changed_by_training(), b.changed_by_training())
    yield from _outputs(a, b, tolerance, training=True)
    if a.settable == b.settable:
        yield _moving_averages(a, b, tolerance)


def _moving_averages(a: Side, b: Side, tolerance: float) -> Comparison:
    own, other = a.statistics("moved"), b.statistics("moved")
    wrong, largest, where = [], 0.0, ""
    shared = [name for name in own if name in other]
    for name in shared:
        one, two = a.array(own[name]), b.array(other[name])
        if one.shape != two.shape:
            relative = float("nan")
        else:
            scale = max(float(np.abs(one).max(initial=0.0)), _STATISTICS_FLOOR)
            relative = differences(one, two)[0] / scale
        if not relative <= tolerance:
            wrong.append({"name": name, "relative_difference": finite(relative)})
        if not relative <= largest:
            largest, where = relative, name
    how = f"momentum {TRAINING_MOMENTUM:g}" if a.settable else "their own momentum"
    detail = f"{len(shared)} in both, relative difference {largest:.3g}" + (f", at {where}" if where else "")
    facts = {"in_both": len(shared), "differing": wrong, "relative_difference": finite(largest)}
    same = not wrong and (bool(shared) or not (own or other))
    return Comparison("training", f"moving averages after one step at {how}", same, detail, facts)


def _momentum(a: Side, b: Side, _: float) -> Iterator[Comparison]:
    yield equal("momentum", "momentum can be set", a.settable, b.settable, _yes(a.settable), _yes(b.settable))
    own, other = a.default_momentum(), b.default_momentum()
    same = own is other if own is None or other is None else abs(own - other) <= _MOMENTUM_TOLERANCE
    texts = ["cannot be told" if value is None else f"{value:.6g}" for value in (own, other)]
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
