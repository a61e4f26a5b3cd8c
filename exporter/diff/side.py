"""One of two artifacts that are compared."""

from collections.abc import Mapping

import numpy as np

from exporter.files.arrays import Arrays
from exporter.models.formats import TRAINING_MOMENTUM
from exporter.probe.result import ProbeResult

END_POINTS = "end points"


class Side:
    """What the probe of one artifact found, as far as two artifacts of any formats can be compared in it."""

    def __init__(self, found: ProbeResult):
        self.found = found

    def outputs(self) -> dict[str, Arrays]:
        """The outputs in inference, by what gives them and by their own name."""
        main = {"output": self.found.output}
        if self.found.main_signature is None:
            # Of those that are called by a signature, this is not compared.
            main["output for one image"] = self.found.single_output
        named = {name: {"": value} for name, value in main.items() if value is not None}
        tags = "{} " if self.found.tag_sets else ""
        return {**named, END_POINTS: self.found.end_points, **_labelled(self.found.signatures, tags)}

    def training_outputs(self) -> dict[str, Arrays]:
        """The same in training."""
        output = self.found.training_output
        main = {} if output is None else {"output in training": {"": output}}
        return {**main, **_labelled(self.found.training_signatures, "{train} ")}

    def default_momentum(self) -> float | None:
        """The momentum of the averages where nobody sets it, as two steps show it; None where nothing moves.

        The batch is the same in both. Where the momentum of the first was set, it gives the batch's statistics, and
        the second step goes part of the way from there; otherwise the second step is shorter than the first by it.
        """
        product = square = 0.0
        statistics, settable = self.found.moving_statistics, self.found.momentum_settable
        steps = (statistics.before, statistics.after_set_momentum, statistics.after_default_momentum)
        for name in statistics.before:
            before, moved, again = (step[name].astype(np.float64) for step in steps)
            way = moved - before
            if settable:  # from moved = momentum * before + (1 - momentum) * batch follows batch - moved
                way *= TRAINING_MOMENTUM / (1 - TRAINING_MOMENTUM)
            weight = 1 / max(float(np.abs(moved).max(initial=0.0)), 1e-30) ** 2
            product += weight * float((way * (again - moved)).sum())
            square += weight * float((way * way).sum())
        if not square > 0 or not np.isfinite(product / square):
            return None
        return 1 - product / square if settable else product / square


def _labelled(signatures: Mapping[str, Arrays], tags: str) -> dict[str, Arrays]:
    return {f"outputs of signature {tags}{name}": outputs for name, outputs in signatures.items()}
