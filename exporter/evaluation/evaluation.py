"""Measures an artifact's accuracy on a data set; a stopped evaluation can be continued."""

import contextlib
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec

from exporter.artifact import folder
from exporter.errors import EvaluationError
from exporter.evaluation.accuracy import MAX_K, Tally
from exporter.evaluation.classifier import Classifier
from exporter.evaluation.dataset import DataSet
from exporter.evaluation.jobs import EVALUATE, ClassifiedBatch, EvaluateRequest
from exporter.files import staging
from exporter.processes import run as worker
from exporter.progress import Say
from exporter.validation import MOST_JSON, at_least, convert, parse_json, read, to_plain

#: Incremented with every change of what is counted, or of how images are preprocessed.
STATE_SCHEMA = 1


class _StateHeader(msgspec.Struct, frozen=True):
    """The start of a state file: the version of its schema, and the inputs that identify the evaluation."""

    schema: int
    identity: dict[str, Any]


class _State(_StateHeader, frozen=True, kw_only=True):
    """The content of a state file. ``artifact``, ``folder`` and ``total`` are only for people who read it."""

    artifact: str
    folder: str
    total: int
    position: Annotated[int, at_least(0)]
    broken: list[str]
    tally: Tally
    devices: list[str] = []


class Evaluation:
    """An evaluation, unfinished or finished; `opened` returns one.

    ``position`` is the number of items that were processed; ``broken`` has the names of those that could not be read,
    ``devices`` what the network ran on, which may have changed after a stop.
    """

    def __init__(self, classifier: Classifier, dataset: DataSet, identity: dict[str, Any], state: Path):
        self._classifier, self._dataset, self._identity = classifier, dataset, identity
        self.state = state
        self.position = 0
        self.tally = Tally()
        self.broken: list[str] = []
        self.devices: list[str] = []

    @property
    def total(self) -> int:
        return len(self._dataset.items)

    @property
    def finished(self) -> bool:
        return self.position == self.total

    def run(
        self, batch_size: int, skip_broken: bool = False, say: Say = lambda _: None, *, debug: bool = False
    ) -> None:
        """Evaluates the remaining images. After each batch the state is saved and ``say`` is called.

        Raises:
            ImageError: an image cannot be read, and ``skip_broken`` is not set.
            EvaluationError: a record's label is wrong, or the state cannot be written.
            ArtifactError, ConfigError: the artifact cannot classify the images.
        """

        def count(batch: ClassifiedBatch) -> None:
            self._count(batch)
            say(self._progress())

        model, images = self._classifier.to_load(), self._dataset.images(self.position)
        worker.run(EVALUATE, EvaluateRequest(model, images, batch_size, skip_broken), say, debug, on_event=count)

    def _count(self, batch: ClassifiedBatch) -> None:
        self.position += batch.done
        self.tally.add(batch.ranks, batch.confidences)
        self.broken += batch.broken
        if batch.device and batch.device not in self.devices:
            self.devices.append(batch.device)
        self._save()

    def _progress(self) -> str:
        share = f", top-1 {100 * self.tally.right(1) / self.tally.images:.1f} %" if self.tally.images else ""
        return f"{self.position:,} of {self.total:,} images{share}"

    def result(self) -> dict[str, Any]:
        """The result as JSON values, accuracy in per cent.

        Raises:
            EvaluationError: no image could be read.
        """
        if not self.tally.images:
            raise EvaluationError(f"none of the {self.total:,} images in {self._dataset.folder} could be read")
        config = self._classifier.config
        published = (config and config.accuracy) or {}
        return {
            **self._classifier.facts(),
            "dataset": {
                "folder": str(self._dataset.folder),
                "arrangement": self._dataset.arrangement,
                "available": self._dataset.available,
                "sha256": self._identity["images"],
            },
            "images": self.tally.images,
            "broken": self.broken,
            "devices": self.devices,
            "top_1": self.tally.top(1, published.get("top_1")),
            "top_5": self.tally.top(5, published.get("top_5")),
            "top_k": [100 * self.tally.right(k) / self.tally.images for k in range(1, MAX_K + 1)],
            "calibration": self.tally.calibration(),
            "state": str(self.state),
        }

    def load(self) -> None:
        """Reads the state file; without one, the evaluation starts at the first image.

        Raises:
            EvaluationError: it is damaged, or belongs to another artifact or data set.
        """
        self.position, self.tally, self.broken, self.devices = 0, Tally(), [], []
        try:
            content = read(self.state, MOST_JSON, self._damaged)
        except FileNotFoundError:
            return
        except OSError as error:
            raise EvaluationError(f"cannot read {self.state}: {error.strerror}") from error
        values = parse_json(content, self._damaged)
        header = convert(values, _StateHeader, self._damaged)
        if header.schema != STATE_SCHEMA or header.identity != self._identity:
            differs = ", ".join(key for key, value in self._identity.items() if header.identity.get(key) != value)
            raise EvaluationError(
                f"{self.state} belongs to another evaluation (other {differs or 'schema'}): pass --restart to replace "
                f"it, or another --state"
            )
        held = convert(values, _State, self._damaged)
        images, broken = held.tally.images, len(held.broken)
        if held.position != images + broken or held.position > self.total:
            counted = f"{images + broken} of {self.total}, as tally has {images} images and broken {broken}"
            raise self._damaged(f"position is {held.position}, expected {counted}")
        self.position, self.tally, self.broken, self.devices = held.position, held.tally, held.broken, held.devices

    def _damaged(self, problem: str) -> EvaluationError:
        return EvaluationError(
            f"{self.state} is damaged or is not the state of an evaluation: {problem}\npass --restart to replace it"
        )

    def _save(self) -> None:
        held = _State(
            schema=STATE_SCHEMA,
            identity=self._identity,
            artifact=str(self._classifier.path),
            folder=str(self._dataset.folder),
            total=self.total,
            position=self.position,
            broken=self.broken,
            devices=self.devices,
            tally=self.tally,
        )
        try:
            staging.write(self.state, (json.dumps(to_plain(held), indent=1) + "\n").encode())
        except OSError as error:
            raise EvaluationError(f"cannot write {self.state}: {error.strerror}") from error


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
    identity = {"artifact": folder.content(classifier.path), "images": dataset.digest(), **_named(classifier)}
    path = state or _default_state(cache, classifier, identity)
    evaluation = Evaluation(classifier, dataset, identity, path)
    if path.is_dir():
        raise EvaluationError(f"{path} is a folder: name a file with --state")
    taken = f"another nasexport is running this evaluation ({path}): wait for it"
    with staging.held(path.with_name(f".{path.name}.lock"), EvaluationError, taken):
        if restart:
            _removed(path)
        evaluation.load()
        yield evaluation


def _removed(state: Path) -> None:
    try:
        state.unlink(missing_ok=True)
    except OSError as error:
        raise EvaluationError(f"cannot replace {state}: {error.strerror}") from error


def _named(classifier: Classifier) -> dict[str, Any]:
    return {"model": classifier.config.name if classifier.config else None}


def _default_state(cache: Path, classifier: Classifier, identity: dict[str, Any]) -> Path:
    key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
    name = classifier.config.name if classifier.config else "artifact"
    return cache / "evaluations" / f"{name}-{key}.json"
