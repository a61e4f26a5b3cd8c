"""What became of the images of an evaluation, chunk by chunk, in memory: 12 bytes for each."""

from array import array
from itertools import accumulate

from exporter.evaluation.accuracy import Tally
from exporter.evaluation.jobs import ClassifiedChunk


class Outcomes:
    """The rank of each image's true class and the probability of its likeliest one; chunks come in any order."""

    def __init__(self) -> None:
        self._starts, self._sizes = array("Q"), array("Q")
        self._ranks, self._confidences = array("i"), array("d")
        #: How many images were classified, and how many of them right.
        self.images = self.right = 0
        #: What the network ran on, which may change after a stop.
        self.devices: list[str] = []

    def add(self, chunk: ClassifiedChunk) -> None:
        self._starts.append(chunk.start)
        self._sizes.append(len(chunk.ranks))
        self._ranks.extend(chunk.ranks)
        self._confidences.extend(chunk.confidences)
        self.images += len(chunk.ranks)
        self.right += chunk.ranks.count(0)
        if chunk.device and chunk.device not in self.devices:
            self.devices.append(chunk.device)

    def tally(self) -> Tally:
        """The counts, whose sums are taken in the order of the images: they are the same whoever finished first."""
        if not self.images:
            return Tally()
        import numpy as np

        ranks, confidences = np.frombuffer(self._ranks, np.int32), np.frombuffer(self._confidences, np.float64)
        order = sorted(range(len(self._starts)), key=self._starts.__getitem__)
        if order != list(range(len(order))):
            ends = list(accumulate(self._sizes))
            pieces = [slice(ends[place] - self._sizes[place], ends[place]) for place in order]
            ranks = np.concatenate([ranks[piece] for piece in pieces])
            confidences = np.concatenate([confidences[piece] for piece in pieces])
        return Tally.of(ranks, confidences)
