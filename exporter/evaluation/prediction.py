"""The worker jobs that classify images with an artifact."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import tensorflow as tf

from exporter.errors import ImageError
from exporter.evaluation import records
from exporter.evaluation.image_files import content_of
from exporter.evaluation.jobs import (
    ClassifiedBatch,
    EvaluateRequest,
    EvaluateResult,
    Image,
    PredictedImage,
    PredictRequest,
    PredictResult,
)
from exporter.evaluation.loaded_model import Floats, LoadedModel
from exporter.evaluation.preprocessing import preprocessed
from exporter.progress import Say

#: The number of images that are decoded at the same time, while a batch is classified.
_THREADS = min(4, os.cpu_count() or 1)
#: The batch size of `predict`.
_BATCH = 16


def predict(request: PredictRequest, say: Say) -> PredictResult:
    """The job `exporter.evaluation.jobs.PREDICT`: the likeliest classes of images.

    Raises:
        ArtifactError: the artifact does not load, or does not classify.
    """
    model = LoadedModel(request.model, say)
    say(f"classifying {len(request.images)} images" if len(request.images) > 1 else "classifying the image")
    found: list[PredictedImage] = []
    for batch in _batches(request.images, _BATCH, model):
        rows: Iterator[Floats] = iter(_probabilities(model.logits(batch.images)) if batch.labels else ())
        for problem in batch.problems:
            if problem:
                found.append(PredictedImage((), problem))
            else:
                row = next(rows)
                best = np.argsort(-row, kind="stable")[: request.top]
                found.append(PredictedImage(tuple((int(index), float(row[index])) for index in best)))
    return PredictResult(model.size, model.device, tuple(found))


def evaluate(request: EvaluateRequest, say: Say, send: Callable[[ClassifiedBatch], None]) -> EvaluateResult:
    """The job `exporter.evaluation.jobs.EVALUATE`: compares the classes of images with their labels.

    Raises:
        ImageError: an image cannot be read.
        EvaluationError: a record has no label, or a wrong one.
        ArtifactError: the artifact does not load, or does not classify.
    """
    model = LoadedModel(request.model, say)
    say("classifying the first images")
    done = 0
    for batch in _batches(request.images, request.batch_size, model):
        if not request.skip_broken and (problem := next(filter(None, batch.problems), None)):
            raise ImageError(problem)
        broken = tuple(
            image.name for image, problem in zip(request.images[done:], batch.problems, strict=False) if problem
        )
        done += len(batch.problems)
        ranks, confidences = [], []
        if batch.labels:
            logits = model.logits(batch.images)
            ranks = _ranks(logits, batch.labels)
            confidences = _probabilities(logits).max(axis=1).tolist()
        send(ClassifiedBatch(len(batch.problems), broken, tuple(ranks), tuple(confidences), model.device))
    return EvaluateResult(model.size)


def _probabilities(logits: Floats) -> Floats:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _ranks(logits: Floats, labels: Sequence[int]) -> list[int]:
    """The rank of each true class; among equal logits, the class with the smaller index comes first."""
    true = logits[np.arange(len(labels)), labels][:, np.newaxis]
    earlier = np.arange(logits.shape[1]) < np.asarray(labels)[:, np.newaxis]
    return ((logits > true) | ((logits == true) & earlier)).sum(axis=1).tolist()


class _Batch:
    """A batch after reading: the images and labels of those that could be read, and for each image what is wrong with
    it, None where nothing is.
    """

    def __init__(self, read: Sequence[tuple[tf.Tensor, int] | str]):
        self.problems = [one if isinstance(one, str) else None for one in read]
        whole = [one for one in read if not isinstance(one, str)]
        self.labels = [label for _, label in whole]
        self._images = [image for image, _ in whole]

    @property
    def images(self) -> tf.Tensor:
        return tf.stack(self._images)


def _batches(images: Sequence[Image], size: int, model: LoadedModel) -> Iterator[_Batch]:
    """Reads the next batch while the current one is used, so that two batches are in memory."""

    def read(image: Image) -> tuple[tf.Tensor, int] | str:
        try:
            content, label, name = _content(image, model.classes)
            return preprocessed(content, model.size, name), label
        except ImageError as error:
            return str(error)

    with ThreadPoolExecutor(_THREADS) as pool:
        ahead: list[Future[Any]] = [pool.submit(read, image) for image in images[:size]]
        for start in range(size, len(images) + size, size):
            now, ahead = ahead, [pool.submit(read, image) for image in images[start : start + size]]
            yield _Batch([future.result() for future in now])


def _content(image: Image, classes: int) -> tuple[bytes, int, str]:
    """The bytes of an image, its label (0 where none is known), and its name in messages."""
    if image.offset is not None:
        return records.image_in(image, classes)
    return content_of(image.file), image.label or 0, image.name
