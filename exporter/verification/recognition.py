"""What is known of networks of others, which have names of their own: their end points, and their poolings."""

from collections.abc import Iterator

import numpy as np

from exporter.files.arrays import Arrays
from exporter.models.shapes import end_point_shapes
from exporter.probe.result import ProbeResult
from exporter.verification.results import TOLERANCE, Check, Expected, count


def recognized(expected: Expected, found: ProbeResult) -> Arrays:
    """The end points of a model of others: those that it names, or else the outputs of its concatenations that come in
    the order of the cells and have their shapes.
    """
    if len(found.end_points):
        return found.end_points
    waiting = list(found.concatenations)
    recognized: dict[str, np.ndarray] = {}
    for name, shape in end_point_shapes(expected.config).items():
        for index, value in enumerate(waiting if len(shape) == 3 else ()):
            own = next((one for one in (value, value.transpose(0, 2, 3, 1)) if one.shape[1:] == shape), None)
            if own is not None:
                recognized[name] = own
                del waiting[: index + 1]
                break
    return recognized


def poolings_check(found: ProbeResult) -> Iterator[Check]:
    """Whether each pooling gives what TensorFlow's does for the same feature map: where most ports depart."""
    differences = found.poolings
    if differences:
        wrong = [name for name, difference in differences.items() if not difference <= TOLERANCE]
        first = f", first: {wrong[0]}, off by {differences[wrong[0]]:.3g} of its largest value" if wrong else ""
        yield count("poolings unlike TensorFlow's SAME", len(wrong), f"{len(differences)} of its poolings{first}")
