"""Synthetic weights and images: the same values from the same names and seeds, on every machine.

The real weights cannot always be had. These stand in for them where that is asked for by name: same variables, same
shapes, values that keep activations at unit scale. Seed 0 gives the very weights on which the outputs of the original
networks were recorded (``data/statistics/``), so that a synthetic build can be held against the originals.
"""

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exporter.models.variables import STATISTICS, VariableSpec
from exporter.resources import resource

Floats = NDArray[np.float32]

#: The seed whose weights have recorded reference outputs.
RECORDED_SEED = 0
#: What the variables are called that show by themselves which seed they are of, and the seeds that are tried.
TELLING, TRIED_SEEDS = "/gamma", 1000
_GAMMAS = (0.6, 1.4)
#: Variances of the calibration are at least this, so that no channel is blown up.
MIN_VARIANCE = 1e-3


def base_value(spec: VariableSpec, seed: int = RECORDED_SEED) -> Floats:
    """The value of a variable, float32 of ``spec.shape``, from its name, its shape and the seed alone.

    Moving statistics get those of a standard normal distribution; `recorded_statistics` or a calibration replaces
    them.
    """
    random = _random(spec, seed)
    shape = spec.shape
    leaf = spec.name.rsplit("/", 1)[1]
    if leaf == "gamma":
        value = random.uniform(*_GAMMAS, shape)
    elif leaf == "beta":
        value = 0.2 * random.standard_normal(shape)
    elif leaf == "biases":
        value = 0.5 * random.standard_normal(shape)
    elif leaf in STATISTICS:
        value = np.full(shape, float(leaf == "moving_variance"))
    else:
        # A depthwise kernel sums over its pixels only, every other over all but its last axis.
        fan_in = np.prod(shape[:2] if leaf == "depthwise_weights" else shape[:-1])
        value = random.standard_normal(shape) * np.sqrt(2.0 / fan_in)
    return value.astype(np.float32)


def _random(spec: VariableSpec, seed: int) -> np.random.RandomState:
    salt = "nasexport/" if seed == RECORDED_SEED else f"nasexport/{seed}/"
    return np.random.RandomState(zlib.crc32((salt + spec.name).encode()))


def seed_of(spec: VariableSpec, value: Floats) -> int | None:
    """The seed that gives a `TELLING` variable this very value; None if none of the first `TRIED_SEEDS` does."""
    for seed in range(TRIED_SEEDS):
        first = np.float32(_random(spec, seed).uniform(*_GAMMAS))
        if first == value.flat[0] and np.array_equal(base_value(spec, seed), value):
            return seed
    return None


def recorded_statistics(model: str) -> dict[str, Floats]:
    """The moving statistics that go with seed 0, by variable name; empty for a model that has no record."""
    path = resource(f"data/statistics/bn_{model}.npz")
    if not path.exists():
        return {}
    with np.load(path) as file:
        return {name.replace("|", "/"): file[name].astype(np.float32) for name in file.files}


@dataclass(frozen=True)
class ImageSet:
    """A reproducible set of test images: ``count`` images, drawn from ``seed``."""

    count: int
    seed: int

    def at(self, size: int) -> Floats:
        """The images, float32 [count, size, size, 3] in [0, 1]: coarse patches of colour under fine noise."""
        random = np.random.RandomState(self.seed)
        patches = random.uniform(0, 1, (self.count, 8, 8, 3))
        repeats = -(-size // 8)
        coarse = np.kron(patches, np.ones((1, repeats, repeats, 1)))[:, :size, :size, :]
        fine = random.uniform(0, 1, (self.count, size, size, 3))
        return np.clip(0.8 * coarse + 0.2 * fine, 0, 1).astype(np.float32)


#: The images of every verification; the recorded outputs of the original networks are for these.
VERIFICATION_IMAGES = ImageSet(count=3, seed=11)
#: The images that a synthetic checkpoint of another seed is calibrated on.
CALIBRATION_IMAGES = ImageSet(count=4, seed=7)
