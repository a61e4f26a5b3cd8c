"""Measures an artifact's accuracy on a data set; a stopped evaluation can be continued."""

import contextlib
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from exporter.artifact import folder
from exporter.errors import EvaluationError
from exporter.evaluation.accuracy import MAX_K, Tally
from exporter.evaluation.classifier import Classifier
from exporter.evaluation.dataset import DataSet
from exporter.evaluation.engine import Engine, OneProcess, Work
from exporter.evaluation.jobs import EVALUATE, Chunk, ClassifiedChunk
from exporter.evaluation.ledger import Ledger
from exporter.evaluation.outcomes import Outcomes
from exporter.evaluation.pace import Pace
from exporter.files import staging
from exporter.progress import Say
from exporter.terminal import counted

#: Incremented with every change of what is counted, or of how images are preprocessed.
STATE_SCHEMA = 2


class Evaluation:
    """An evaluation, unfinished or finished; `opened` returns one."""

    def __init__(self, classifier: Classifier, dataset: DataSet, identity: dict[str, Any], state: Path):
        self.classifier, self._dataset, self._identity = classifier, dataset, identity
        self.state = state
        self.ledger = Ledger(state, ClassifiedChunk, STATE_SCHEMA, identity, len(dataset.items), "evaluation")
        self._outcomes = Outcomes()

    @property
    def total(self) -> int:
        return self.ledger.total

    @property
    def done(self) -> int:
        """The number of images that were processed, in whatever order."""
        return self.ledger.done

    @property
    def finished(self) -> bool:
        return self.ledger.finished

    @property
    def tally(self) -> Tally:
        return self._outcomes.tally()

    @property
    def devices(self) -> list[str]:
        """What the network ran on, which may have changed after a stop."""
        return self._outcomes.devices

    def run(
        self, batch_size: int, skip_broken: bool = False, say: Say = lambda _: None, engine: Engine = OneProcess()
    ) -> None:
        """Evaluates the remaining images. After each chunk a line of the state is written and ``say`` is called.

        Raises:
            ImageError: an image cannot be read, and ``skip_broken`` is not set.
            EvaluationError: an image is missing, a record's label is wrong, or the state cannot be written.
            ArtifactError, ConfigError: the artifact cannot classify the images.
        """
        pace = Pace(self.total)

        def count(chunk: ClassifiedChunk) -> None:
            self.count(chunk)
            say(self._progress(pace, engine.workers))

        chunks = (Chunk(start, self._dataset.images(start, count)) for start, count in self.ledger.todo(batch_size))
        self.begin()
        try:
            engine.compute(EVALUATE, Work((self.classifier.to_load(),), skip_broken), chunks, count, say)
        finally:
            self.ledger.close()

    def begin(self) -> None:
        """Makes ready for `count`; see `exporter.evaluation.ledger.Ledger.begin`."""
        self.ledger.begin(str(self.classifier.path), self._dataset.named)

    def count(self, chunk: ClassifiedChunk) -> None:
        """Counts a chunk and writes its line."""
        self.ledger.append(chunk)
        self._outcomes.add(chunk)

    def _progress(self, pace: Pace, workers: int) -> str:
        found = self._outcomes
        share = f", top-1 {100 * found.right / found.images:.1f} %" if found.images else ""
        return f"{self.done:,} of {counted(self.total, 'image')}{share}{pace.text(self.done, workers)}"

    def broken(self) -> list[str]:
        """The names of the images that could not be read."""
        return [
            self._dataset.image(entry.start + one.place).name for entry in self.ledger.entries() for one in entry.broken
        ]

    def result(self) -> dict[str, Any]:
        """The result as JSON values, accuracy in per cent.

        Raises:
            EvaluationError: no image could be read.
        """
        tally = self.tally
        if not tally.images:
            raise EvaluationError(f"none of {counted(self.total, 'image')} in {self._dataset.named} could be read")
        config = self.classifier.config
        published = (config and config.accuracy) or {}
        return {
            **self.classifier.facts(),
            "dataset": {
                "folder": self._dataset.named,
                "arrangement": self._dataset.arrangement,
                "available": self._dataset.available,
                "sha256": self._identity["images"],
            },
            "images": tally.images,
            "broken": self.broken() if tally.images < self.total else [],
            "devices": self.devices,
            "top_1": tally.top(1, published.get("top_1")),
            "top_5": tally.top(5, published.get("top_5")),
            "top_k": [100 * tally.right(k) / tally.images for k in range(1, MAX_K + 1)],
            "calibration": tally.calibration(),
            "state": str(self.state),
        }

    def load(self) -> None:
        """Reads the state file; without one, the evaluation starts at the first image.

        Raises:
            EvaluationError: it is damaged, or belongs to another artifact or data set.
        """
        self._outcomes = Outcomes()
        self.ledger.load(self._outcomes.add)


@contextlib.contextmanager
def opened(
    classifier: Classifier, dataset: DataSet, cache: Path, state: Path | None = None, restart: bool = False
) -> Iterator[Evaluation]:
    """The evaluation of an artifact on a data set, continued from its state file.

    Args:
        cache: the folder of the cache.
        state: the state file; by default one below ``cache``.
        restart: remove the state file, and start at the first image.

    Raises:
        EvaluationError: the state file belongs to another evaluation, is damaged, cannot be used, or is in use.
    """
    identity = identity_of(classifier, dataset)
    path = state or _default_state(cache, classifier, identity)
    evaluation = Evaluation(classifier, dataset, {**identity, "decoder": classifier.decoder}, path)
    if path.is_dir():
        raise EvaluationError(f"{path} is a folder: name a file with --state")
    taken = f"another nasexport is running this evaluation ({path}): wait for it"
    with staging.held(path.with_name(f".{path.name}.lock"), EvaluationError, taken):
        if restart:
            _removed(path)
        evaluation.load()
        yield evaluation


def identity_of(classifier: Classifier, dataset: DataSet) -> dict[str, Any]:
    """What an evaluation depends on: the artifact's files, the list of images and labels, and the model's name."""
    named = classifier.config.name if classifier.config else None
    return {"artifact": folder.content(classifier.path), "images": dataset.digest(), "model": named}


def _removed(state: Path) -> None:
    try:
        state.unlink(missing_ok=True)
    except OSError as error:
        raise EvaluationError(f"cannot replace {state}: {error.strerror}") from error


def _default_state(cache: Path, classifier: Classifier, identity: dict[str, Any]) -> Path:
    key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
    name = classifier.config.name if classifier.config else "artifact"
    return cache / "evaluations" / f"{name}-{key}.json"
