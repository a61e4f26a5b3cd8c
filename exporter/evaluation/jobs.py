"""The jobs that classify images: their requests, events and results. Imports neither TensorFlow nor NumPy."""

from dataclasses import dataclass
from pathlib import Path

from exporter.processes.job import Job, NoEvent


@dataclass(frozen=True)
class ModelToLoad:
    """The artifact to load.

    ``image_size`` is the height and width of its images in pixels, None if the artifact's own size is to be used. With
    ``trust``, it may do more than compute.
    """

    path: Path
    image_size: int | None
    classes: int
    trust: bool = False


@dataclass(frozen=True)
class Image:
    """An image file, or the record of a TFRecord file that begins at ``offset``.

    ``label`` is the index of its class, None where the record has the label, or it is not known.
    """

    file: Path
    offset: int | None = None
    label: int | None = None

    @property
    def name(self) -> str:
        """The name of the image in messages."""
        return str(self.file) if self.offset is None else f"{self.file}, the record at byte {self.offset}"


@dataclass(frozen=True)
class PredictRequest:
    """Images to classify; ``top`` is the number of classes to return for each."""

    model: ModelToLoad
    images: tuple[Image, ...]
    top: int


@dataclass(frozen=True)
class PredictedImage:
    """The likeliest classes of an image, as (index, probability), or why it could not be read."""

    classes: tuple[tuple[int, float], ...]
    problem: str | None = None


@dataclass(frozen=True)
class PredictResult:
    """What was found in each image.

    ``image_size`` is (height, width), ``device`` what the network ran on, for people; None where it did not run.
    """

    image_size: tuple[int, int]
    device: str | None
    images: tuple[PredictedImage, ...]


PREDICT: Job[PredictRequest, PredictResult, NoEvent] = Job(
    reference="exporter.evaluation.jobs:PREDICT",
    function="exporter.evaluation.prediction:predict",
    request=PredictRequest,
    result=PredictResult,
    runs_network=True,
    devices=("gpu", "cpu"),
)


@dataclass(frozen=True)
class EvaluateRequest:
    """Labelled images to classify, ``batch_size`` at a time.

    With ``skip_broken``, images that cannot be read are skipped; without it, the first is an error.
    """

    model: ModelToLoad
    images: tuple[Image, ...]
    batch_size: int
    skip_broken: bool


@dataclass(frozen=True)
class ClassifiedBatch:
    """The event that a batch was classified.

    ``done`` is the number of its images, including those that could not be read, whose names are ``broken``. For each
    of the other images, ``ranks`` has the rank of the true class, 0 if it is the likeliest; ``confidences`` has the
    probability of the likeliest class. ``device`` is what the network ran on, for people; None where it did not run.
    """

    done: int
    broken: tuple[str, ...]
    ranks: tuple[int, ...]
    confidences: tuple[float, ...]
    device: str | None = None


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
    devices=("gpu", "cpu"),
)
