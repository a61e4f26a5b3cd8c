"""Counts correct predictions; accuracy with its confidence interval, and calibration, follow from the counts."""

import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any

import msgspec

from exporter.validation import at_least

#: Top-k accuracy is counted for k from 1 to this.
MAX_K = 10
#: Bins of confidence, of equal width.
BINS = 10
#: The standard normal distribution has 95 % of its mass within this many standard deviations.
_Z = 1.959963984540054

_Count = Annotated[int, at_least(0)]
_Sum = Annotated[float, msgspec.Meta(ge=0, le=sys.float_info.max)]


def _of(length: int) -> msgspec.Meta:
    return msgspec.Meta(min_length=length, max_length=length)


@dataclass
class Tally:
    """Counts over images, of fixed size however many there are.

    ``ranks[r]`` is the number of images whose true class came r-th (from 0). For each bin of confidence: the number of
    ``images``, how many of them were classified ``right``, and the sum of their ``confidence``.
    """

    images: _Count = 0
    ranks: Annotated[list[_Count], _of(MAX_K)] = field(default_factory=lambda: [0] * MAX_K)
    bin_images: Annotated[list[_Count], _of(BINS)] = field(default_factory=lambda: [0] * BINS)
    bin_right: Annotated[list[_Count], _of(BINS)] = field(default_factory=lambda: [0] * BINS)
    bin_confidence: Annotated[list[_Sum], _of(BINS)] = field(default_factory=lambda: [0.0] * BINS)

    def __post_init__(self) -> None:
        """Raises ValueError if the counts contradict each other."""
        if not (
            sum(self.bin_images) == self.images >= sum(self.ranks)
            and sum(self.bin_right) == self.ranks[0]
            and all(right <= images for right, images in zip(self.bin_right, self.bin_images, strict=True))
        ):
            raise ValueError("its counts do not add up")

    @classmethod
    def of(cls, ranks: Any, confidences: Any) -> "Tally":
        """The tally of many images, int [image] and float [image] of NumPy, added up in their order as `add` does."""
        import numpy as np

        places = np.minimum((confidences * BINS).astype(np.int64), BINS - 1)
        counts = {
            "ranks": np.bincount(ranks[ranks < MAX_K], minlength=MAX_K),
            "bin_images": np.bincount(places, minlength=BINS),
            "bin_right": np.bincount(places[ranks == 0], minlength=BINS),
            "bin_confidence": np.bincount(places, confidences, BINS),
        }
        return cls(len(ranks), **{name: values.tolist() for name, values in counts.items()})

    def add(self, ranks: Sequence[int], confidences: Sequence[float]) -> None:
        """Adds a batch: for each image the rank of the true class, and the probability of the likeliest class."""
        for rank, confidence in zip(ranks, confidences, strict=True):
            self.images += 1
            if rank < MAX_K:
                self.ranks[rank] += 1
            place = min(int(confidence * BINS), BINS - 1)
            self.bin_images[place] += 1
            self.bin_right[place] += rank == 0
            self.bin_confidence[place] += confidence

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def right(self, k: int) -> int:
        """The number of images whose true class is among the ``k`` likeliest."""
        return sum(self.ranks[:k])

    def top(self, k: int, published: float | None) -> dict[str, Any]:
        """Accuracy in per cent with its 95 % confidence interval, and how it differs from the published one."""
        accuracy = 100 * self.right(k) / self.images
        return {
            "accuracy": accuracy,
            "interval": [100 * end for end in wilson(self.right(k), self.images)],
            "published": published,
            "difference": None if published is None else accuracy - published,
        }

    def calibration(self) -> dict[str, Any]:
        """The accuracy of the likeliest class in each bin of confidence; all values are from 0 to 1.

        The expected calibration error is the difference of confidence and accuracy, averaged over images.
        """
        bins = []
        error = 0.0
        for place, (images, right, confidence) in enumerate(
            zip(self.bin_images, self.bin_right, self.bin_confidence, strict=True)
        ):
            error += abs(confidence - right) / self.images
            bins.append(
                {
                    "from": place / BINS,
                    "to": (place + 1) / BINS,
                    "images": images,
                    "confidence": confidence / images if images else None,
                    "accuracy": right / images if images else None,
                }
            )
        return {"bins": bins, "expected_calibration_error": error}


def wilson(right: int, images: int) -> tuple[float, float]:
    """The 95 % confidence interval (Wilson's score) of the accuracy if ``right`` of ``images`` were correct."""
    share, weight = right / images, _Z**2 / images
    middle = (share + weight / 2) / (1 + weight)
    half = _Z * math.sqrt(share * (1 - share) / images + weight / (4 * images)) / (1 + weight)
    return max(0.0, middle - half), min(1.0, middle + half)
