"""What is done with a chunk of images, wherever: read, preprocessed, run as one batch. Knows of no process or engine.

The same chunk gives the same bits in one process, in many, and after any number of attempts.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from exporter.errors import EvaluationError, ImageError
from exporter.evaluation import records
from exporter.evaluation.image_files import MAX_BYTES, content_of, is_missing, piece_of
from exporter.evaluation.jobs import Broken, Chunk, ClassifiedChunk, EmbeddedChunk, Image
from exporter.evaluation.loaded_model import Floats, LoadedModel
from exporter.evaluation.tars import HEADER, size_in
from exporter.files import staging
from exporter.terminal import printable

#: What is said of an image that nobody reads any more.
KILLS = "every process that read it was ended"


@dataclass(frozen=True)
class ReadImage:
    """An image after reading: ready for each artifact, by its place; its label and the file name that a record has."""

    ready: dict[int, Any]
    label: int | None
    filename: str | None


def read_image(image: Image, models: dict[int, LoadedModel]) -> ReadImage:
    """An image for some artifacts, by their places.

    Raises:
        ImageError: it cannot be read.
        EvaluationError: its record has no label or a wrong one.
    """
    content, label, name, filename = _content(image, next(iter(models.values())).classes)
    ready = {place: model.preprocessed(content, name) for place, model in models.items()}
    return ReadImage(ready, label, filename)


def read_or_told(image: Image, models: dict[int, LoadedModel], *, skip_broken: bool) -> ReadImage | str:
    """The same; where an image cannot be read and ``skip_broken`` is set, why.

    Raises:
        ImageError: it cannot be read.
        EvaluationError: it is missing, or its record has no label or a wrong one.
    """
    try:
        return read_image(image, models)
    except ImageError as error:
        if is_missing(error):
            raise EvaluationError(f"{image.name} is missing: the list of images is of other files") from error
        if not skip_broken:
            raise
        # What goes into a ledger is text, which names of files need not be.
        return printable(str(error))


def read_chunk(
    chunk: Chunk, models: Sequence[LoadedModel], *, skip_broken: bool, lost: Sequence[int] = ()
) -> list[ReadImage | str]:
    """All images of a chunk, for the artifacts that are to be run on it; see `read_or_told`.

    Args:
        lost: the places of those that are not to be read.
    """
    wanted = {place: models[place] for place in chunk.models}
    return [
        KILLS if place in lost else read_or_told(image, wanted, skip_broken=skip_broken)
        for place, image in enumerate(chunk.images)
    ]


def _content(image: Image, classes: int | None) -> records.Record:
    """The bytes of an image, and what is said of it."""
    if image.member is not None:
        return records.Record(_member(image), image.label, image.name, None)
    if image.offset is not None:
        return records.image_in(image, classes)
    return records.Record(content_of(image.file), image.label, image.name, None)


def _member(image: Image) -> bytes:
    """The bytes of an image in a tar file."""
    assert image.offset is not None
    size = size_in(piece_of(image.file, image.offset, HEADER))
    if size is None or size > MAX_BYTES:
        raise ImageError(f"{image.name} is not where it was when {image.file} was listed, or is too large")
    content = piece_of(image.file, image.offset + HEADER, size)
    if len(content) < size:
        raise ImageError(f"{image.name} is damaged: {image.file} ends within it")
    return content


class _Whole:
    """The images of a chunk that could be read, and those that could not."""

    def __init__(self, read: Sequence[ReadImage | str], place: int):
        self.broken = tuple(Broken(number, one) for number, one in enumerate(read) if isinstance(one, str))
        whole = [one for one in read if not isinstance(one, str)]
        self.count = len(whole)
        self.labels = [one.label for one in whole]
        self.filenames = [one.filename for one in whole]
        images = [one.ready[place] for one in whole]
        #: A batch of one is computed in another way, so that its last bits differ.
        self.batch = images * 2 if len(images) == 1 else images


def evaluate_chunk(chunk: Chunk, place: int, model: LoadedModel, read: Sequence[ReadImage | str]) -> ClassifiedChunk:
    """Classifies a chunk that `read_chunk` read with the artifact at a place.

    Raises:
        ArtifactError: the artifact does not classify.
    """
    whole = _Whole(read, place)
    ranks: tuple[int, ...] = ()
    confidences: tuple[float, ...] = ()
    classes: tuple[int, ...] = ()
    if whole.count:
        logits = model.logits(whole.batch)[: whole.count]
        shares = probabilities(logits)
        ranks = tuple(_ranks(logits, [label or 0 for label in whole.labels]))
        confidences, classes = tuple(shares.max(axis=1).tolist()), tuple(shares.argmax(axis=1).tolist())
    return ClassifiedChunk(
        chunk.start, len(chunk.images), whole.broken, ranks, confidences, classes, model.device, place
    )


def embed_chunk(
    chunk: Chunk, place: int, model: LoadedModel, read: Sequence[ReadImage | str], parts: Path
) -> EmbeddedChunk:
    """Writes the feature vectors of a chunk that `read_chunk` read to a file in the folder ``parts``, whole or not at
    all: float32 [image, value], as NumPy writes an array.

    Raises:
        ArtifactError: the artifact gives no feature vectors.
        OSError: the file cannot be written.
    """
    whole = _Whole(read, place)
    part = sha256 = None
    width = 0
    if whole.count:
        features = np.ascontiguousarray(model.features(whole.batch)[: whole.count])
        width = features.shape[1]
        part = part_name(chunk.start)
        with staging.replacing(parts / part) as path:
            with open(path, "wb") as file:
                np.save(file, features, allow_pickle=False)
            sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    # Only records say more than the list of the data set.
    of_records = any(image.offset is not None and image.member is None for image in chunk.images)
    return EmbeddedChunk(
        chunk.start,
        len(chunk.images),
        whole.broken,
        part,
        sha256,
        width,
        tuple(whole.labels) if of_records else (),
        tuple(whole.filenames) if of_records and any(whole.filenames) else (),
        model.device,
        place,
    )


def run_chunk(place: int, model: LoadedModel, read: Sequence[ReadImage | str]) -> None:
    """Computes what `embed_chunk` does, and writes nothing."""
    if (whole := _Whole(read, place)).count:
        model.features(whole.batch)


def part_name(start: int) -> str:
    """The name of the file with the feature vectors of the chunk that begins with the image number ``start``."""
    return f"part-{start:09}.npy"


def probabilities(logits: Floats) -> Floats:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _ranks(logits: Floats, labels: Sequence[int]) -> list[int]:
    """The rank of each true class; among equal logits, the class with the smaller index comes first."""
    true = logits[np.arange(len(labels)), labels][:, np.newaxis]
    earlier = np.arange(logits.shape[1]) < np.asarray(labels)[:, np.newaxis]
    return ((logits > true) | ((logits == true) & earlier)).sum(axis=1).tolist()
