"""Several artifacts on one data set in one pass: each is evaluated, and held against the others picture by picture."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from exporter.errors import EvaluationError
from exporter.evaluation.dataset import DataSet
from exporter.evaluation.engine import Engine, Work
from exporter.evaluation.evaluation import Evaluation
from exporter.evaluation.jobs import EVALUATE, Chunk, ClassifiedChunk
from exporter.evaluation.pace import Pace
from exporter.models.classes import described
from exporter.progress import Say
from exporter.terminal import counted

#: From so many pictures on that only one of two gets right, McNemar's statistic is taken for what it tends to.
_MANY = 1000


@dataclass(frozen=True)
class Answered:
    """What an artifact answered for a picture."""

    right: bool
    index: int
    probability: float


class Comparison:
    """The evaluations of several artifacts on one data set, each with a state of its own."""

    def __init__(self, evaluations: Sequence[Evaluation], dataset: DataSet, classes: int):
        self._evaluations, self._dataset, self._classes = evaluations, dataset, classes

    @property
    def done(self) -> int:
        """How many images were processed, each counted for every artifact."""
        return sum(each.done for each in self._evaluations)

    @property
    def total(self) -> int:
        return sum(each.total for each in self._evaluations)

    def todo(self, batch_size: int) -> list[tuple[int, int, tuple[int, ...]]]:
        """The chunks that are not finished: start, count, and the places of the artifacts that they are for."""
        wanted: dict[tuple[int, int], list[int]] = {}
        for place, each in enumerate(self._evaluations):
            for chunk in each.ledger.todo(batch_size):
                wanted.setdefault(chunk, []).append(place)
        return [(*chunk, tuple(places)) for chunk, places in sorted(wanted.items())]

    def run(self, batch_size: int, skip_broken: bool, say: Say, engine: Engine) -> None:
        """Evaluates what is left, reading each image once for all artifacts; see `Evaluation.run`."""
        pace = Pace(self.total)

        def count(chunk: ClassifiedChunk) -> None:
            self._evaluations[chunk.model].count(chunk)
            say(f"{self.done:,} of {self.total:,} answers{pace.text(self.done, engine.workers)}")

        chunks = (
            Chunk(start, self._dataset.images(start, count), places) for start, count, places in self.todo(batch_size)
        )
        models = tuple(each.classifier.to_load() for each in self._evaluations)
        try:
            for each in self._evaluations:
                each.begin()
            engine.compute(EVALUATE, Work(models, skip_broken), chunks, count, say)
        finally:
            for each in self._evaluations:
                each.ledger.close()

    def result(self) -> dict[str, Any]:
        """The results of all, each pair of them held against each other, and the pictures that they do not agree on.

        Raises:
            EvaluationError: there is no picture that all of them could read.
        """
        pairs = {pair: _Pair() for pair in combinations(range(len(self._evaluations)), 2)}
        disagreed: list[dict[str, Any]] = []
        common = 0
        for place, answers in self._answers():
            common += 1
            for (one, other), pair in pairs.items():
                pair.add(answers[one], answers[other])
            if len({answer.index for answer in answers}) > 1:
                disagreed.append({"path": self._dataset.items[place].name, "answers": list(map(self._shown, answers))})
        if not common:
            images = counted(len(self._dataset.items), "image")
            raise EvaluationError(f"none of {images} could be read by all artifacts")
        names = [str(each.classifier.path) for each in self._evaluations]
        return {
            "images": common,
            "artifacts": [each.result() for each in self._evaluations],
            "pairs": [
                {"artifacts": [names[one], names[other]], **pair.result()} for (one, other), pair in pairs.items()
            ],
            "disagreements": disagreed,
        }

    def _shown(self, answer: Answered) -> dict[str, Any]:
        wnid, name = described(answer.index, self._classes)
        return {
            "index": answer.index,
            "wnid": wnid,
            "name": name,
            "probability": answer.probability,
            "right": answer.right,
        }

    def _answers(self) -> Iterator[tuple[int, list[Answered]]]:
        """The place of each picture that all could read, with their answers, in order."""
        for rows in zip(*map(_by_place, self._evaluations), strict=True):
            answers = [answer for _, answer in rows if answer is not None]
            if len(answers) == len(rows):
                yield rows[0][0], answers


def _by_place(evaluation: Evaluation) -> Iterator[tuple[int, Answered | None]]:
    for entry in evaluation.ledger.entries():
        broken = {one.place for one in entry.broken}
        found = iter(zip(entry.ranks, entry.classes, entry.confidences, strict=True))
        for place in range(entry.count):
            if place in broken:
                yield entry.start + place, None
            else:
                rank, index, probability = next(found)
                yield entry.start + place, Answered(rank == 0, index, probability)


class _Pair:
    """Two artifacts on the same pictures."""

    def __init__(self) -> None:
        self._same = self._both = self._neither = self._first = self._second = 0

    def add(self, one: Answered, other: Answered) -> None:
        self._same += one.index == other.index
        self._both += one.right and other.right
        self._neither += not one.right and not other.right
        self._first += one.right and not other.right
        self._second += other.right and not one.right

    def result(self) -> dict[str, Any]:
        """Agreement in per cent, how many pictures both, one or none of them got right, and McNemar's test."""
        images = self._both + self._neither + self._first + self._second
        return {
            "agreement": 100 * self._same / images,
            "both_right": self._both,
            "only_first_right": self._first,
            "only_second_right": self._second,
            "both_wrong": self._neither,
            "mcnemar": mcnemar(self._first, self._second),
        }


def mcnemar(first: int, second: int) -> dict[str, Any]:
    """McNemar's test of the hypothesis that two classifiers are right equally often.

    Up to a thousand pictures that only one gets right, it is the exact one, of the binomial distribution, two-sided;
    from then on, the statistic with Edwards' correction, which has a chi-squared distribution of one degree of freedom.

    Args:
        first: how many pictures only the first gets right.
        second: the same of the second.
    """
    both = first + second
    if both <= _MANY:
        tail = sum(math.comb(both, count) for count in range(min(first, second) + 1))
        return {"test": "exact", "p_value": min(1.0, 2 * tail / 2**both)}
    statistic = (abs(first - second) - 1) ** 2 / both
    return {"test": "chi-squared", "statistic": statistic, "p_value": math.erfc(math.sqrt(statistic / 2))}
