"""Measures how far off a kernel may be before an end point shows it: ``python -m scripts.measure_hidden_scale MODEL``.

Each kernel of the synthetic weights of seed 0 is multiplied by 1 + e. Printed is, for each kind of layer, the largest e
at which no end point of the verification images diverges, and at which the logits alone do not, with its kernel. That
is what `docs/explanation/verification.md` has.
"""

import sys
from collections import defaultdict

import numpy as np
import tensorflow as tf

from exporter.checkpoint.synthetic import VERIFICATION_IMAGES
from exporter.checkpoint.synthetic_checkpoint import weights
from exporter.graph import network
from exporter.models.config import ModelConfig, model
from exporter.models.variables import variables
from exporter.verification.differences import relative_difference
from exporter.verification.results import TOLERANCE

#: A scale at which the difference is far above float32's noise, and still in proportion.
_SCALE = 1e-3


def kind(name: str) -> str:
    """The kind of layer that a kernel belongs to."""
    scope, leaf = name.rsplit("/", 1)
    if leaf != "weights":
        return leaf.removesuffix("_weights")
    return scope if "/" not in scope else scope.rsplit("/", 1)[1]


class _Scaled:
    """A network whose kernels can be scaled, one at a time."""

    def __init__(self, config: ModelConfig):
        names = {spec.name for spec in variables(config, "classification")}
        self._values = {spec.name: value for spec, value in weights(config, 0).items() if spec.name in names}
        held = {name: tf.Variable(value) for name, value in self._values.items()}
        self._held = held

        def run(images: tf.Tensor) -> dict[str, tf.Tensor]:
            return network.build(config, "classification", images, lambda name, _: held[name]).end_points

        self._run = tf.function(run, autograph=False)
        self._images = tf.constant(VERIFICATION_IMAGES.at(config.image_size))
        self._right = self._run(self._images)

    def differences(self, name: str, scale: float) -> tuple[float, float]:
        """The relative difference, of the end point that is furthest off and of the logits."""
        self._held[name].assign(self._values[name] * np.float32(1 + scale))
        found = self._run(self._images)
        self._held[name].assign(self._values[name])
        differences = {key: relative_difference(self._right[key].numpy(), found[key].numpy()) for key in found}
        del differences["Predictions"]
        return max(differences.values()), differences["Logits"]

    def largest_hidden(self, name: str, which: int) -> float:
        """The largest scale that stays within the tolerance, to 1 %."""
        low, high = 0.0, _SCALE
        while high - low > 0.01 * high:
            middle = (low + high) / 2
            low, high = (middle, high) if self.differences(name, middle)[which] <= TOLERANCE else (low, middle)
        return low


def main(name: str) -> None:
    """Prints a line for each kind of layer."""
    config = model(name)
    kernels = defaultdict(list)
    for spec in variables(config, "classification"):
        if spec.is_kernel:
            kernels[kind(spec.name)].append(spec.name)
    scaled = _Scaled(config)
    for layer, names in kernels.items():
        differences = {name: scaled.differences(name, _SCALE) for name in names}
        line = f"{layer} ({len(names)})"
        for which, what in enumerate(("end points", "logits")):
            worst = min(names, key=lambda name, which=which: differences[name][which])  # type: ignore[misc]
            line += f"; {what}: {scaled.largest_hidden(worst, which):.2g} at {worst}"
        print(line, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
