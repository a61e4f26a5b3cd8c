"""One of two artifacts that are held against each other."""

from typing import Any

import numpy as np

from exporter.artifact import variable_names
from exporter.artifact.jobs import Inspection
from exporter.diff.declared import flat_signatures
from exporter.models.formats import FORMATS, TRAINING_MOMENTUM
from exporter.models.signatures import MOMENTUM_INPUT

END_POINTS = "end points"


class Side:
    """What the probe of one artifact wrote down, in the words that both formats share."""

    def __init__(self, arrays: Any, facts: Inspection, prefix: str):
        self.arrays, self.hub, self._prefix = arrays, facts.format == "hub", prefix
        inputs = (set(signature.inputs) for signature in flat_signatures(facts).values())
        always = all(version.momentum_settable for version in FORMATS[facts.format].versions)
        #: Whether a reader can choose the momentum; a TF2 SavedModel that did not take one could not be probed.
        self.settable = always or any(MOMENTUM_INPUT in names for names in inputs)

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
        end_points = {END_POINTS: self._end_points()}
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
