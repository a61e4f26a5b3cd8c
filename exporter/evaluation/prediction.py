"""The worker jobs that classify images with an artifact."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.python.lib.io.tf_record import tf_record_random_reader

from exporter.errors import EvaluationError, ImageError
from exporter.evaluation.jobs import (
    ClassifiedBatch,
    EvaluateRequest,
    EvaluateResult,
    Image,
    PredictRequest,
    PredictResult,
)
from exporter.evaluation.loaded_model import Floats, LoadedModel
from exporter.evaluation.preprocessing import preprocessed
from exporter.models.classes import IMAGENET_CLASSES, class_names
from exporter.progress import Say

#: The number of images that are decoded at the same time, while a batch is classified.
_THREADS = min(4, os.cpu_count() or 1)
#: The batch size of `predict`.
_BATCH = 16


def predict(request: PredictRequest, say: Say) -> PredictResult:
    """The job `exporter.evaluation.jobs.PREDICT`: the likeliest classes of images.

    Raises:
        ImageError: an image cannot be read.
        ArtifactError: the artifact does not load, or does not classify.
    """
    model = LoadedModel(request.model, say)
    say(f"classifying {len(request.images)} images" if len(request.images) > 1 else "classifying the image")
    found = []
    for batch in _batches(request.images, _BATCH, model, skip_broken=False):
        for row in _probabilities(model.logits(batch.images)):
            best = np.argsort(-row, kind="stable")[: request.top]
            found.append(tuple((int(index), float(row[index])) for index in best))
    return PredictResult(model.size, tuple(found))


def evaluate(request: EvaluateRequest, say: Say, send: Callable[[ClassifiedBatch], None]) -> EvaluateResult:
    """The job `exporter.evaluation.jobs.EVALUATE`: compares the classes of images with their labels.

    Raises:
        ImageError: an image cannot be read.
        EvaluationError: a record has no label, or a wrong one.
        ArtifactError: the artifact does not load, or does not classify.
    """
    model = LoadedModel(request.model, say)
    say("classifying the first images")
    for batch in _batches(request.images, request.batch_size, model, request.skip_broken):
        ranks, confidences = [], []
        if batch.labels:
            logits = model.logits(batch.images)
            ranks = _ranks(logits, batch.labels)
            confidences = _probabilities(logits).max(axis=1).tolist()
        send(ClassifiedBatch(batch.done, tuple(batch.broken), tuple(ranks), tuple(confidences)))
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
    """A batch after reading: the images and labels of those that could be read, the names of the others."""

    def __init__(self, read: Sequence[tuple[tf.Tensor, int] | str]):
        self.done = len(read)
        self.broken = [one for one in read if isinstance(one, str)]
        whole = [one for one in read if not isinstance(one, str)]
        self.labels = [label for _, label in whole]
        self._images = [image for image, _ in whole]

    @property
    def images(self) -> tf.Tensor:
        return tf.stack(self._images)


def _batches(images: Sequence[Image], size: int, model: LoadedModel, skip_broken: bool) -> Iterator[_Batch]:
    """Reads the next batch while the current one is used, so that two batches are in memory."""

    def read(image: Image) -> tuple[tf.Tensor, int] | str:
        try:
            content, label, name = _content(image, model.classes)
            return preprocessed(content, model.size, name), label
        except ImageError:
            if not skip_broken:
                raise
            return image.name

    with ThreadPoolExecutor(_THREADS) as pool:
        ahead: list[Future[Any]] = [pool.submit(read, image) for image in images[:size]]
        for start in range(size, len(images) + size, size):
            now, ahead = ahead, [pool.submit(read, image) for image in images[start : start + size]]
            yield _Batch([future.result() for future in now])


def _content(image: Image, classes: int) -> tuple[bytes, int, str]:
    """The bytes of an image, its label (0 where none is known), and its name in messages."""
    if image.offset is not None:
        return _record(image, classes)
    try:
        return image.file.read_bytes(), image.label or 0, image.name
    except OSError as error:
        raise ImageError(f"cannot read the image {image.file}: {error.strerror}") from error


def _record(image: Image, classes: int) -> tuple[bytes, int, str]:
    name = image.name
    try:
        content, _ = tf_record_random_reader(str(image.file)).read(image.offset)
        features = tf.train.Example.FromString(content).features.feature
    except (tf.errors.OpError, IndexError, DecodeError) as error:
        raise ImageError(f"{name}, is damaged: it is not a whole tf.train.Example") from error
    encoded = features["image/encoded"].bytes_list.value
    labels = features["image/class/label"].int64_list.value
    if len(encoded) != 1 or len(labels) != 1:
        raise EvaluationError(
            f"{name}, lacks image/encoded or image/class/label: expected the tf.train.Example that TF-Slim writes"
        )
    label = labels[0]
    if not 1 <= label < classes:
        raise EvaluationError(
            f"{name}, has label {label}, expected 1 to {classes - 1}: TF-Slim's records number classes as the model "
            f"does, with 0 for the background"
        )
    wnid = b"".join(features["image/class/synset"].bytes_list.value).decode(errors="replace")
    if wnid and classes == IMAGENET_CLASSES and wnid != class_names()[label].wnid:
        raise EvaluationError(
            f"{name}, has label {label} and wnid {wnid}, but class {label} is {class_names()[label].wnid}: "
            f"its records number the classes in another order"
        )
    filename = b"".join(features["image/filename"].bytes_list.value).decode(errors="replace")
    return encoded[0], label, f"{filename} ({name})" if filename else name
