"""The jobs that run artifacts on images: their requests, events and results. Imports neither TensorFlow nor NumPy."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec

from exporter.processes.job import Job, NoEvent
from exporter.validation import at_least

_Count = Annotated[int, at_least(0)]
_Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


@dataclass(frozen=True)
class ModelToLoad:
    """The artifact to load.

    ``image_size`` is the height and width of its images in pixels, None if the artifact's own size is to be used.
    ``classes`` is None for an artifact that gives feature vectors. With ``trust``, it may do more than compute.
    """

    path: Path
    image_size: int | None
    classes: int | None
    trust: bool = False


@dataclass(frozen=True)
class Image:
    """An image file, or what begins at ``offset`` in a file of many: a record of a TFRecord file, or the ``member`` of
    a tar file, with its header.

    ``label`` is the index of its class, None where the record has the label, or it is not known.
    """

    file: Path
    offset: int | None = None
    label: int | None = None
    member: str | None = None

    @property
    def name(self) -> str:
        """The name of the image in messages."""
        if self.member is not None:
            return f"{self.file}/{self.member}"
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
class Chunk:
    """The unit of work: consecutive images of a data set, from its image number ``start`` on, always one batch.

    A network gives the same bits for a batch of the same images wherever and whenever it is computed; in a batch of
    another size they may differ. ``models`` has the places of the artifacts in the request that are to be run on it.
    """

    start: int
    images: tuple[Image, ...]
    models: tuple[int, ...] = (0,)


@dataclass(frozen=True)
class ChunksRequest:
    """Chunks to compute with each of ``models``.

    ``chunks`` is a file with a `Chunk` in each line, as `exporter.processes.messages.encode` writes it. With
    ``skip_broken``, images that cannot be read are skipped; without it, the first is an error. ``parts`` is the folder
    for files of feature vectors.
    """

    models: tuple[ModelToLoad, ...]
    chunks: Path
    skip_broken: bool
    parts: Path | None = None


@dataclass(frozen=True)
class Broken:
    """An image that could not be read: its place in its chunk, and why."""

    place: _Count
    problem: str


@dataclass(frozen=True)
class ClassifiedChunk:
    """The event that a chunk of ``count`` images was classified; a line of the ledger of an evaluation.

    For each image that could be read, in order: ``ranks`` has the rank of the true class, 0 if it is the likeliest;
    ``confidences`` the probability of the likeliest class, and ``classes`` its index. ``device`` is what the network
    ran on, for people; None where it did not run. ``model`` is the place of the artifact in the request.
    """

    start: _Count
    count: Annotated[int, at_least(1)]
    broken: tuple[Broken, ...]
    ranks: tuple[_Count, ...]
    confidences: tuple[_Share, ...]
    classes: tuple[_Count, ...]
    device: str | None = None
    model: _Count = 0

    def __post_init__(self) -> None:
        """Raises ValueError if it contradicts itself."""
        _require_places(self.count, self.broken)
        whole = self.count - len(self.broken)
        if not len(self.ranks) == len(self.confidences) == len(self.classes) == whole:
            raise ValueError(f"its ranks, confidences and classes are not of {whole} images, count less broken")


@dataclass(frozen=True)
class EmbeddedChunk:
    """The event that the feature vectors of a chunk of ``count`` images were written; a line of the ledger of `embed`.

    ``part`` is the name of their file, of ``width`` numbers for each image that could be read, and ``sha256`` its hash;
    None where no image could. ``labels`` and ``names`` have what records say of those images; they are empty where the
    data set has labels and names itself.
    """

    start: _Count
    count: Annotated[int, at_least(1)]
    broken: tuple[Broken, ...]
    part: str | None
    sha256: str | None
    width: _Count
    labels: tuple[int | None, ...] = ()
    names: tuple[str | None, ...] = ()
    device: str | None = None
    model: _Count = 0

    def __post_init__(self) -> None:
        """Raises ValueError if it contradicts itself."""
        _require_places(self.count, self.broken)
        whole = self.count - len(self.broken)
        if bool(self.part) != bool(whole) or bool(self.sha256) != bool(whole) or bool(self.width) != bool(whole):
            raise ValueError(f"its part, sha256 and width are not those of {whole} images, count less broken")
        if len(self.labels) not in (0, whole) or len(self.names) not in (0, whole):
            raise ValueError(f"its labels and names are not of {whole} images, count less broken")


def _require_places(count: int, broken: tuple[Broken, ...]) -> None:
    places = [each.place for each in broken]
    if places != sorted(set(places)) or any(place >= count for place in places):
        raise ValueError(f"the places in broken are {places}, expected different ones below count, {count}")


@dataclass(frozen=True)
class ChunksResult:
    """``image_sizes`` has (height, width) of each artifact's images."""

    image_sizes: tuple[tuple[int, int], ...]


EVALUATE: Job[ChunksRequest, ChunksResult, ClassifiedChunk] = Job(
    reference="exporter.evaluation.jobs:EVALUATE",
    function="exporter.evaluation.prediction:evaluate",
    request=ChunksRequest,
    result=ChunksResult,
    events=(ClassifiedChunk,),
    runs_network=True,
    devices=("gpu", "cpu"),
)

EMBED: Job[ChunksRequest, ChunksResult, EmbeddedChunk] = Job(
    reference="exporter.evaluation.jobs:EMBED",
    function="exporter.evaluation.prediction:embed",
    request=ChunksRequest,
    result=ChunksResult,
    events=(EmbeddedChunk,),
    runs_network=True,
    devices=("gpu", "cpu"),
)


@dataclass(frozen=True)
class JoinRequest:
    """The parts of feature vectors in a folder, with their index, to join to the file ``output``.

    ``kind`` is "parquet" or "tfrecord", ``width`` the number of values of a vector; ``identity`` is JSON that goes into
    the file, where there is a place for it.
    """

    parts: Path
    kind: str
    output: Path
    width: int
    identity: str


@dataclass(frozen=True)
class Joined:
    """The number of vectors in the file."""

    rows: int


JOIN: Job[JoinRequest, Joined, NoEvent] = Job(
    reference="exporter.evaluation.jobs:JOIN",
    function="exporter.evaluation.joining:join",
    request=JoinRequest,
    result=Joined,
    tensorflow=False,
)
