"""What a reference says an artifact must give, whoever computed it and wherever it is kept.

A computed one and that of another implementation lie in a store of arrays; a recorded one is a file (see
`exporter.reference.recorded`). Their arrays have the same names, which are known here alone.
"""

from collections import ChainMap
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from exporter.checkpoint.synthetic import VERIFICATION_IMAGES
from exporter.files.arrays import Arrays, ArrayStore, ArrayWriter, below, chunks
from exporter.models.config import TASKS, ModelConfig, Task
from exporter.models.variables import end_points, features, main_end_point, variables

#: End points that are small enough to be recorded as they are.
RECORDED_WHOLE = ("global_pool", "Logits", "Predictions")

#: Recorded files have these names, those of users too: they stay.
_END_POINT, _STATISTICS, _TRAINING = "end_point/", "statistics/", "training/"
_NAMES, _DIGESTS = "names", "digests"
_REGULARIZATION_LOSS = "regularization_loss/"


#: The arrays that hold text.
TEXTS = (_NAMES, _DIGESTS)


class EndPoints:
    """What a reference says of end points, in inference or in training.

    ``values`` has those that are known in full, ``statistics`` the `statistics` of others; an end point may be in both.
    """

    def __init__(self, arrays: Arrays, prefix: str = ""):
        self.values: Arrays = below(arrays, f"{prefix}{_END_POINT}")
        self.statistics: Arrays = below(arrays, f"{prefix}{_STATISTICS}")
        #: What was compared with them, for those who do; artifacts of one network give the same again and again.
        self.compared: dict[Hashable, float] = {}

    def names(self, config: ModelConfig) -> list[str]:
        """The end points that are known in either way, in the order of the network."""
        return [name for name in end_points(config) if name in self.values or name in self.statistics]

    def output(self, task: Task) -> np.ndarray:
        """The main output of a task: logits [batch, num_classes], or feature vectors [batch, features]."""
        return self.values[main_end_point(task)]


class Reference:
    """What an artifact must give; arrays are read when they are asked for.

    ``end_points`` are those of `exporter.checkpoint.synthetic.VERIFICATION_IMAGES` in inference, and
    ``training_end_points`` those of a training graph whose drop path and dropout keep everything, rescaled.
    ``batch_statistics`` has, by the names of the moving statistics, what each batch norm found in that batch.
    ``regularization_losses`` has the L2 loss of each task, float64 [].

    Args:
        sources: where to find arrays; the first that has one counts.
    """

    def __init__(self, *sources: Arrays):
        arrays: Arrays = ChainMap(*sources)  # type: ignore[arg-type]
        self._arrays = arrays
        self.end_points, self.training_end_points = EndPoints(arrays), EndPoints(arrays, _TRAINING)
        self.batch_statistics: Arrays = below(arrays, _TRAINING, without=(_END_POINT, _STATISTICS))
        self.regularization_losses: Arrays = below(arrays, _REGULARIZATION_LOSS)
        #: What the network gives with weights of 16 bits; those who need it set it.
        self.rounded: EndPoints | None = None
        #: What it gives in training with batch norms in double precision; the same.
        self.precise: Reference | None = None

    @property
    def digests(self) -> dict[str, str]:
        """The sha256 of the values of each variable, by name, in the order of the network."""
        return dict(zip(self._arrays[_NAMES].tolist(), self._arrays[_DIGESTS].tolist(), strict=True))

    @property
    def is_whole(self) -> bool:
        """Whether an artifact can be verified with nothing else."""
        return _NAMES in self._arrays and "global_pool" in self.training_end_points.values

    def preceded_by(self, other: "Reference") -> "Reference":
        """Both together: what the other one says counts for more."""
        return Reference(other._arrays, self._arrays)

    def condensed(self) -> dict[str, np.ndarray]:
        """The arrays to record: statistics in the place of all but the smallest end points."""
        condensed = {}
        for name in self._arrays:
            prefix, end_point, last = name.rpartition(_END_POINT)
            if not end_point:
                condensed[name] = self._arrays[name]
                continue
            condensed[f"{prefix}{_STATISTICS}{last}"] = statistics(self._arrays[name])
            if last in RECORDED_WHOLE:
                condensed[name] = self._arrays[name]
        return condensed


def named_arrays(
    *,
    end_points: Mapping[str, Any] = {},
    end_point_statistics: Mapping[str, Any] = {},
    training_end_points: Mapping[str, Any] = {},
    batch_statistics: Mapping[str, Any] = {},
    digests: Mapping[str, str] = {},
    regularization_losses: Mapping[Task, float] = {},
) -> dict[str, Any]:
    """The arrays of a reference, under the names by which `Reference` finds them; its attributes say what they are."""
    arrays = {f"{_END_POINT}{name}": value for name, value in end_points.items()}
    arrays |= {f"{_STATISTICS}{name}": value for name, value in end_point_statistics.items()}
    arrays |= {f"{_TRAINING}{_END_POINT}{name}": value for name, value in training_end_points.items()}
    arrays |= {f"{_TRAINING}{name}": value for name, value in batch_statistics.items()}
    if digests:
        arrays |= {_NAMES: np.array(list(digests)), _DIGESTS: np.array(list(digests.values()))}
    return arrays | {f"{_REGULARIZATION_LOSS}{task}": np.float64(loss) for task, loss in regularization_losses.items()}


def shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """The shape of each array that a recorded reference of a network may have, by name."""
    count, classes = VERIFICATION_IMAGES.count, config.num_classes
    whole = {"global_pool": features(config), "Logits": classes, "Predictions": classes}
    found: dict[str, tuple[int, ...]] = dict.fromkeys(TEXTS, (len(variables(config, "classification")),))
    for prefix in ("", _TRAINING):
        found |= {f"{prefix}{_STATISTICS}{name}": (3,) for name in end_points(config)}
        found |= {f"{prefix}{_END_POINT}{name}": (count, whole[name]) for name in RECORDED_WHOLE}
    moving = (spec for spec in variables(config, "feature_vector") if not spec.trainable)
    found |= {f"{_TRAINING}{spec.name}": spec.shape for spec in moving}
    return found | {f"{_REGULARIZATION_LOSS}{task}": () for task in TASKS}


def missing_from_whole(arrays: Arrays, config: ModelConfig) -> list[str]:
    """What recorded arrays lack, or have wrong, although they say that they are a whole reference; see `is_whole`."""
    reference = Reference(arrays)
    if not reference.is_whole:
        return []
    missing = [name for name in shapes(config) if name not in arrays]
    names = [spec.name for spec in variables(config, "classification")]
    if not missing and sorted(reference.digests) != sorted(names):
        missing.append("a digest of each variable")
    return missing


def write(folder: Path, arrays: Mapping[str, Any]) -> None:
    """Writes arrays from `named_arrays` into a new folder for `read`.

    Raises:
        OSError: it is there already, or cannot be written.
    """
    with ArrayWriter(folder) as writer:
        for name, value in arrays.items():
            writer.write(name, value)


def read(folder: Path) -> Reference:
    """The reference in a folder that `write` wrote."""
    return Reference(ArrayStore(folder))


def statistics(value: np.ndarray) -> np.ndarray:
    """Mean, standard deviation and largest magnitude, float64 [3]: what is recorded of an end point."""
    size = np.size(value)
    mean = sum(float(chunk.sum(dtype=np.float64)) for chunk in chunks(value)) / size
    squares = sum(float(np.square(chunk.astype(np.float64) - mean).sum()) for chunk in chunks(value))
    largest = np.max([np.abs(chunk).max() for chunk in chunks(value)])
    return np.array([mean, np.sqrt(squares / size), largest], np.float64)
