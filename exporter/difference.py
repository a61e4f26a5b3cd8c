"""Compares two artifacts with each other: what they are, what they hold, and what they do.

Their files are read in one process (`exporter.file_difference`), and each is loaded and run in one of its own
(`exporter.probe`); what those wrote down meets here, in NumPy, an array of each at a time.
"""

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from exporter import artifact, packed_artifact, variable_names, worker
from exporter.criteria import ASPECTS, FILE_ASPECTS, TOLERANCE
from exporter.departure import differences
from exporter.errors import ArtifactError
from exporter.formats import MOMENTUM_INPUT, TRAINING_MOMENTUM
from exporter.found_arrays import LazyArrays
from exporter.progress import Say

#: Of images, where nothing says how large they are: that of most image networks.
USUAL_IMAGE_SIZE = 224

#: Default momenta come out of two steps in float32, to some 1e-8; this is less than any two that anyone would set.
_MOMENTUM_TOLERANCE = 1e-5
#: As in the checks of a build: below it, the differences of a moving average are not divided by its size.
_STATISTICS_FLOOR = 1e-3
_END_POINTS = "end points"
#: Names of differing things in a line of text; JSON has them all.
_SHOWN = 3


@dataclass(frozen=True)
class Comparison:
    """One thing that was compared. ``detail`` is for people, ``facts`` are what JSON has beside it."""

    aspect: str
    name: str
    same: bool
    detail: str = ""
    facts: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{'same' if self.same else 'DIFF'} {self.name}" + (f": {self.detail}" if self.detail else "")

    def to_dict(self) -> dict[str, Any]:
        return {"aspect": self.aspect, "name": self.name, "same": self.same, "detail": self.detail, **self.facts}


@dataclass(frozen=True)
class Difference:
    """All comparisons of two artifacts. ``notes`` are facts worth knowing that do not decide."""

    a: str
    b: str
    tolerance: float
    comparisons: tuple[Comparison, ...]
    notes: tuple[str, ...]

    @property
    def same(self) -> bool:
        return all(comparison.same for comparison in self.comparisons)

    def to_dict(self) -> dict[str, Any]:
        return {
            "a": self.a,
            "b": self.b,
            "same": self.same,
            "tolerance": self.tolerance,
            "comparisons": [comparison.to_dict() for comparison in self.comparisons],
            "notes": list(self.notes),
        }


def compare(
    a: Path,
    b: Path,
    aspects: Sequence[str] = ASPECTS,
    *,
    tolerance: float = TOLERANCE,
    image_size: int | None = None,
    report: Say = lambda _: None,
    debug: bool = False,
) -> Difference:
    """Compares two artifacts, each a folder or a ``.tar.gz``, of any format and any writer.

    Args:
        aspects: which of `ASPECTS` to compare.
        tolerance: the largest difference of outputs that is none, as a part of the largest magnitude in ``a``.
        image_size: height and width of the images to run both on. By default, what each says of itself.

    Raises:
        ArtifactError: one of them is no artifact, is damaged, or cannot be used as its format promises.
    """
    with packed_artifact.opened(a) as folder_a, packed_artifact.opened(b) as folder_b:
        folders = {"a": folder_a, "b": folder_b}
        for folder in folders.values():
            artifact.require_saved_model(folder)
        request = {**{side: str(folder) for side, folder in folders.items()}, "values": "variables" in aspects}
        files = worker.run("compare_files", request, report, debug)
        notes = _prefix_notes(files["prefixes"])
        comparisons = [comparison for comparison in _of_files(files) if comparison.aspect in aspects]
        probed = [aspect for aspect in ASPECTS if aspect in aspects and aspect not in FILE_ASPECTS]
        if probed:
            sizes = {side: image_size or files[side]["image_size"] for side in folders}
            notes += [
                f"nothing tells the size of {side.upper()}'s images: {USUAL_IMAGE_SIZE} was taken (--image-size)"
                for side, size in sizes.items()
                if size is None
            ]
            with _running(folders, files, sizes, report, debug) as (side_a, side_b):
                for aspect in probed:
                    comparisons += _PROBED[aspect](side_a, side_b, tolerance)
                if "training" in aspects and side_a.settable != side_b.settable:
                    notes.append(
                        f"{'B' if side_a.settable else 'A'} keeps its own momentum in training:"
                        " how far one step moves the averages was not compared"
                    )
    return Difference(str(a), str(b), tolerance, tuple(comparisons), tuple(notes))


@contextlib.contextmanager
def _running(
    folders: dict[str, Path], files: dict[str, Any], sizes: dict[str, int | None], report: Say, debug: bool
) -> Iterator[tuple["_Side", "_Side"]]:
    """What both do, one after the other; the arrays stay on disk for the time of the ``with`` block."""
    with tempfile.TemporaryDirectory(prefix="nasexport-") as temporary:
        sides = []
        for (side, folder), prefix in zip(folders.items(), files["prefixes"], strict=True):
            output = Path(temporary) / side
            _probe(folder, sizes[side] or USUAL_IMAGE_SIZE, output, report, debug)
            arrays = LazyArrays(output)
            sides.append(_Side(arrays, files[side], prefix))
        yield sides[0], sides[1]


def _probe(folder: Path, size: int, output: Path, report: Say, debug: bool) -> None:
    request = {"path": str(folder), "image_size": size, "output": str(output)}
    try:
        worker.run("probe", request, report, debug)
    except ArtifactError as error:
        hint = "what needs no loading can be compared with --only " + ",".join(FILE_ASPECTS)
        raise ArtifactError(f"{error}\n{hint}" if "\n" not in str(error) else str(error)) from error


def _prefix_notes(prefixes: Sequence[str]) -> list[str]:
    return [
        f"variables of {side} are named below {prefix}, which was left out when they were matched"
        for side, prefix in zip("AB", prefixes, strict=True)
        if prefix
    ]


def _equal(aspect: str, name: str, a: Any, b: Any, text_a: str, text_b: str) -> Comparison:
    """Compares two facts as they are."""
    same = a == b
    return Comparison(aspect, name, same, text_a if same else f"{text_a} | {text_b}", {"a": a, "b": b})


def _sets(aspect: str, name: str, a: set[str], b: set[str]) -> Comparison:
    """Compares two sets of names."""
    only = {"a": sorted(a - b), "b": sorted(b - a)}
    parts = [f"{len(a & b)} in both", *(f"only in {side.upper()}: {_listed(names)}" for side, names in only.items())]
    parts = parts[:1] + [part for part, names in zip(parts[1:], only.values(), strict=True) if names]
    facts = {"in_both": len(a & b), "only_in_a": only["a"], "only_in_b": only["b"]}
    return Comparison(aspect, name, a == b, "; ".join(parts), facts)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return f"{len(names)} ({shown}, …)" if len(names) > _SHOWN else f"{len(names)} ({shown})"


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None  # JSON has no other numbers


# What the files tell.


def _of_files(files: dict[str, Any]) -> Iterator[Comparison]:
    a, b = files["a"], files["b"]
    yield _equal("format", "format", a["format"], b["format"], a["format"], b["format"])
    sizes = [side["image_size"] for side in (a, b)]
    yield _equal("format", "image size", sizes[0], sizes[1], str(sizes[0] or "?"), str(sizes[1] or "?"))
    sets = [sorted(side["tag_sets"]) for side in (a, b)]
    texts = [" ".join("{" + ", ".join(tags) + "}" for tags in side) for side in sets]
    yield _equal("tag-sets", "tag sets", sets[0], sets[1], texts[0], texts[1])
    yield from _signatures(_flat_signatures(a), _flat_signatures(b))
    if "variables" in files:
        yield from _variables(files["variables"])


def _flat_signatures(facts: dict[str, Any]) -> dict[str, Any]:
    return {
        f"{{{tags}}} {name}": signature
        for tags, named in facts["signatures"].items()
        for name, signature in named.items()
    }


def _signatures(a: dict[str, Any], b: dict[str, Any]) -> Iterator[Comparison]:
    yield _sets("signatures", "signatures by name", set(a), set(b))
    changed = []
    for name in [name for name in a if name in b]:
        for side in ("inputs", "outputs"):
            own, other = a[name][side], b[name][side]
            for key in sorted(own.keys() | other.keys()):
                if own.get(key) != other.get(key):
                    where = f"{name} {side.removesuffix('s')} {key}"
                    changed.append({"where": where, "a": own.get(key), "b": other.get(key)})
    detail = "; ".join(f"{row['where']} {_tensor(row['a'])} | {_tensor(row['b'])}" for row in changed[:_SHOWN])
    detail += f"; {len(changed) - _SHOWN} more" if len(changed) > _SHOWN else ""
    yield Comparison("signatures", "inputs and outputs of signatures", not changed, detail, {"changed": changed})


def _tensor(tensor: dict[str, Any] | None) -> str:
    if tensor is None:
        return "absent"
    shape = (
        "?" if tensor["shape"] is None else ", ".join("?" if size is None else str(size) for size in tensor["shape"])
    )
    return f"{tensor['dtype']} [{shape}]"


def _variables(found: dict[str, Any]) -> Iterator[Comparison]:
    only = {side: found[f"only_in_{side}"] for side in ("a", "b")}
    parts = [f"{found['in_both']} in both"]
    parts += [f"only in {side.upper()}: {_listed(names)}" for side, names in only.items() if names]
    facts = {key: found[key] for key in ("in_both", "only_in_a", "only_in_b")}
    yield Comparison("variables", "variables by name", not any(only.values()), "; ".join(parts), facts)

    shapes = found["shape"]
    detail = f"{len(shapes)} differ, first: {shapes[0]['name']} {shapes[0]['a']} | {shapes[0]['b']}" if shapes else ""
    yield Comparison("variables", "shapes and types of variables", not shapes, detail, {"differing": shapes})

    values = found["value"]
    compared = found["in_both"] - len(shapes)
    detail = f"{compared}, bit for bit"
    facts = {"compared": compared, "differing": values}
    if values:
        detail = f"{len(values)} of {compared} differ, first: {_value(values[0])}"
        largest = max(values, key=_largeness)
        facts["largest"] = largest
        if largest is not values[0]:
            detail += f"; largest: {_value(largest)}"
    yield Comparison("variables", "values of variables", not values, detail, facts)


def _largeness(row: dict[str, Any]) -> float:
    """A row's relative difference; what is no finite number counts as larger than any."""
    relative = row["relative_difference"]
    return float("inf") if relative is None else float(relative)


def _value(row: dict[str, Any]) -> str:
    figures = [row["absolute_difference"], row["relative_difference"]]
    absolute, relative = ("no finite number" if figure is None else f"{figure:.3g}" for figure in figures)
    return f"{row['name']} by {absolute}, relative {relative}"


# What loading and running them tells.


class _Side:
    """What the probe of one artifact wrote down, in the words that both formats share."""

    def __init__(self, arrays: Any, facts: dict[str, Any], prefix: str):
        self.arrays, self.hub, self._prefix = arrays, facts["format"] == "hub", prefix
        inputs = (set(signature["inputs"]) for signature in _flat_signatures(facts).values())
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


def _trainable(a: _Side, b: _Side, _: float) -> Iterator[Comparison]:
    yield _sets("trainable", "trainable variables", set(a.names("trainable")), set(b.names("trainable")))


def _regularization(a: _Side, b: _Side, tolerance: float) -> Iterator[Comparison]:
    losses = [side.array("regularization_loss") for side in (a, b)]
    # One term for each kernel, or one for all: their sum is what training adds.
    sums = [float(loss.sum(dtype=np.float64)) for loss in losses]
    _, relative = differences(np.array(sums[0]), np.array(sums[1]))
    texts = [
        f"{total:.6g} in {loss.size} {'term' if loss.size == 1 else 'terms'}"
        for total, loss in zip(sums, losses, strict=True)
    ]
    facts = {"a": _finite(sums[0]), "b": _finite(sums[1]), "relative_difference": _finite(relative)}
    detail = f"{texts[0]} | {texts[1]}, relative difference {relative:.3g}"
    yield Comparison("l2", "L2 terms", relative <= tolerance, detail, facts)


def _outputs(a: _Side, b: _Side, tolerance: float, training: bool = False) -> Iterator[Comparison]:
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
    figures = {"absolute_difference": _finite(absolute), "relative_difference": _finite(relative)}
    return {**row, "same": relative <= tolerance, **figures}


def _output_text(rows: list[dict[str, Any]]) -> str:
    worst = next((row for row in rows if row["a"] != row["b"]), None)
    if worst:
        return f"{worst['name'] or 'it'} is {worst['a']} | {worst['b']}"
    worst = max(rows, key=_largeness)
    relative = worst["relative_difference"]
    text = "relative difference " + ("no finite number" if relative is None else f"{relative:.3g}")
    if len(rows) > 1:
        text += f", the largest of {len(rows)} outputs" + (f", at {worst['name']}" if relative != 0 else "")
    return text


def _training(a: _Side, b: _Side, tolerance: float) -> Iterator[Comparison]:
    yield _sets("training", "variables that inference changes", a.changed_by_inference(), b.changed_by_inference())
    yield _sets("training", "variables that training changes", a.changed_by_training(), b.changed_by_training())
    yield from _outputs(a, b, tolerance, training=True)
    if a.settable == b.settable:
        yield _moving_averages(a, b, tolerance)


def _moving_averages(a: _Side, b: _Side, tolerance: float) -> Comparison:
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
            wrong.append({"name": name, "relative_difference": _finite(relative)})
        if not relative <= largest:
            largest, where = relative, name
    how = f"momentum {TRAINING_MOMENTUM:g}" if a.settable else "their own momentum"
    detail = f"{len(shared)} in both, relative difference {largest:.3g}" + (f", at {where}" if where else "")
    facts = {"in_both": len(shared), "differing": wrong, "relative_difference": _finite(largest)}
    same = not wrong and (bool(shared) or not (own or other))
    return Comparison("training", f"moving averages after one step at {how}", same, detail, facts)


def _momentum(a: _Side, b: _Side, _: float) -> Iterator[Comparison]:
    yield _equal("momentum", "momentum can be set", a.settable, b.settable, _yes(a.settable), _yes(b.settable))
    own, other = a.default_momentum(), b.default_momentum()
    same = own is other if own is None or other is None else abs(own - other) <= _MOMENTUM_TOLERANCE
    texts = ["cannot be told" if value is None else f"{value:.6g}" for value in (own, other)]
    detail = texts[0] if same else f"{texts[0]} | {texts[1]}"
    yield Comparison("momentum", "default momentum", same, detail, {"a": own, "b": other})


def _yes(fact: bool) -> str:
    return "yes" if fact else "no"


_PROBED = {
    "trainable": _trainable,
    "l2": _regularization,
    "outputs": _outputs,
    "training": _training,
    "momentum": _momentum,
}
