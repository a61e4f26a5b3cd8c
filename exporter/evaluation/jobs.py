"""The jobs that classify images, with what goes in and comes out; without TensorFlow and NumPy."""

from dataclasses import dataclass
from pathlib import Path

from exporter.processes.job import Job, NoEvent


@dataclass(frozen=True)
class ModelToLoad:
    """The folder of an artifact, its number of classes, and the height and width of its images: None where its files
    are to tell.
    """

    path: Path
    image_size: int | None
    classes: int


@dataclass(frozen=True)
class Image:
    """An image file, or the record of a TFRecord file that begins at ``offset``.

    ``label`` is the index of its class, None where that stands in the record or is not known.
    """

    file: Path
    offset: int | None = None
    label: int | None = None

    @property
    def name(self) -> str:
        """What to call it."""
        return str(self.file) if self.offset is None else f"{self.file}, the record at byte {self.offset}"


@dataclass(frozen=True)
class PredictRequest:
    """Images to classify; ``top`` is the number of classes to give for each."""

    model: ModelToLoad
    images: tuple[Image, ...]
    top: int


@dataclass(frozen=True)
class PredictResult:
    """For each image its likeliest classes, as (index, probability); ``image_size`` is (height, width)."""

    image_size: tuple[int, int]
    images: tuple[tuple[tuple[int, float], ...], ...]


PREDICT: Job[PredictRequest, PredictResult, NoEvent] = Job(
    reference="exporter.evaluation.jobs:PREDICT",
    function="exporter.evaluation.prediction:predict",
    request=PredictRequest,
    result=PredictResult,
    runs_network=True,
)


@dataclass(frozen=True)
class EvaluateRequest:
    """Labelled images to classify, ``batch_size`` at a time; ``skip_broken`` is whether one that cannot be read is left
    out, and not an error.
    """

    model: ModelToLoad
    images: tuple[Image, ...]
    batch_size: int
    skip_broken: bool


@dataclass(frozen=True)
class ClassifiedBatch:
    """The event of a batch that was classified.

    ``done`` counts its images, those that could not be read (named in ``broken``) with the others. Of the others,
    ``ranks`` are those of the true class, 0 where it is the likeliest; ``confidences`` are the probabilities of the
    likeliest.
    """

    done: int
    broken: tuple[str, ...]
    ranks: tuple[int, ...]
    confidences: tuple[float, ...]


@dataclass(frozen=True)
class EvaluateResult:
    """``image_size`` is (height, width)."""

    image_size: tuple[int, int]


EVALUATE: Job[EvaluateRequest, EvaluateResult, ClassifiedBatch] = Job(
    reference="exporter.evaluation.jobs:EVALUATE",
    function="exporter.evaluation.prediction:evaluate",
    request=EvaluateRequest,
    result=EvaluateResult,
    events=(ClassifiedBatch,),
    runs_network=True,
)
