"""The worker jobs that classify images with an artifact."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.python.lib.io.tf_record import tf_record_random_reader

from exporter.errors import EvaluationError, ImageError
from exporter.evaluation.loaded_model import Floats, LoadedModel
from exporter.evaluation.preprocessing import preprocessed
from exporter.models.classes import IMAGENET_CLASSES, class_names

Item = dict[str, Any]

#: Images that are decoded at once, beside the batch that is being classified.
_THREADS = min(4, os.cpu_count() or 1)
#: Images of `predict` that are classified at once.
_BATCH = 16


def predict(request: dict[str, Any], report: Callable[[str], None]) -> dict[str, Any]:
    """Classifies ``request["images"]``, paths of files.

    ``request`` has what `exporter.evaluation.classifier.Classifier.request` gives, too. The result has ``image_size``
    as [height, width] and for each image, in order, ``classes``: [index, probability] of the ``top`` likeliest ones.

    Raises:
        ImageError: an image cannot be read.
        ArtifactError: the artifact does not load, or does not classify.
    """
    model = LoadedModel(request, report)
    report(f"classifying {len(request['images'])} images" if len(request["images"]) > 1 else "classifying the image")
    items = [{"file": path, "offset": None, "label": None} for path in request["images"]]
    found = []
    for batch in _batches(items, _BATCH, model, skip_broken=False):
        for row in _probabilities(model.logits(batch.images)):
            best = np.argsort(-row, kind="stable")[: request["top"]]
            found.append({"classes": [[int(index), float(row[index])] for index in best]})
    return {"image_size": list(model.size), "images": found}


def evaluate(request: dict[str, Any], report: Callable[[Any], None]) -> dict[str, Any]:
    """Classifies ``request["items"]`` and reports each batch as it is done.

    An item has a ``file``; an ``offset`` where it is a record of a TFRecord file, whose label stands in the record; and
    else a ``label``, an index of a class. Beside lines of text, ``report`` gets a JSON object for each batch:
    ``done`` items, ``ranks`` and ``confidences`` of the images in it (the rank is that of the true class, 0 where it
    is the likeliest; the confidence is the probability of the likeliest), and names of ``broken`` ones, which are an
    error without ``request["skip_broken"]``.

    Raises:
        ImageError: an image cannot be read.
        EvaluationError: a record has no label, or a wrong one.
        ArtifactError: the artifact does not load, or does not classify.
    """
    model = LoadedModel(request, report)
    report("classifying the first images")
    for batch in _batches(request["items"], request["batch_size"], model, request["skip_broken"]):
        outcome: dict[str, Any] = {"done": batch.done, "broken": batch.broken, "ranks": [], "confidences": []}
        if batch.labels:
            logits = model.logits(batch.images)
            outcome["ranks"] = _ranks(logits, batch.labels)
            outcome["confidences"] = _probabilities(logits).max(axis=1).tolist()
        report(outcome)
    return {"image_size": list(model.size)}


def _probabilities(logits: Floats) -> Floats:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _ranks(logits: Floats, labels: Sequence[int]) -> list[int]:
    """How many classes come before the true one; of equal ones, that with the smaller index comes first."""
    true = logits[np.arange(len(labels)), labels][:, np.newaxis]
    earlier = np.arange(logits.shape[1]) < np.asarray(labels)[:, np.newaxis]
    return ((logits > true) | ((logits == true) & earlier)).sum(axis=1).tolist()


class _Batch:
    """What came of a row of items: the images and labels of the whole ones, the names of the broken ones."""

    def __init__(self, read: Sequence[tuple[tf.Tensor, int] | str]):
        self.done = len(read)
        self.broken = [one for one in read if isinstance(one, str)]
        whole = [one for one in read if not isinstance(one, str)]
        self.labels = [label for _, label in whole]
        self._images = [image for image, _ in whole]

    @property
    def images(self) -> tf.Tensor:
        return tf.stack(self._images)


def _batches(items: Sequence[Item], size: int, model: LoadedModel, skip_broken: bool) -> Iterator[_Batch]:
    """Reads the next batch while the last one is used, so that memory holds two of them."""

    def read(item: Item) -> tuple[tf.Tensor, int] | str:
        try:
            content, label, name = _content(item, model.classes)
            return preprocessed(content, model.size, name), label
        except ImageError:
            if not skip_broken:
                raise
            return _name(item)

    with ThreadPoolExecutor(_THREADS) as pool:
        ahead: list[Future[Any]] = [pool.submit(read, item) for item in items[:size]]
        for start in range(size, len(items) + size, size):
            now, ahead = ahead, [pool.submit(read, item) for item in items[start : start + size]]
            yield _Batch([future.result() for future in now])


def _name(item: Item) -> str:
    return item["file"] if item["offset"] is None else f"{item['file']}, the record at byte {item['offset']}"


def _content(item: Item, classes: int) -> tuple[bytes, int, str]:
    """The bytes of an image, its label (0 where none is known), and what to call it."""
    if item["offset"] is not None:
        return _record(item, classes)
    try:
        return Path(item["file"]).read_bytes(), item["label"] or 0, _name(item)
    except OSError as error:
        raise ImageError(f"cannot read the image {item['file']}: {error.strerror}") from error


def _record(item: Item, classes: int) -> tuple[bytes, int, str]:
    name = _name(item)
    try:
        content, _ = tf_record_random_reader(item["file"]).read(item["offset"])
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
