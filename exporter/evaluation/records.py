"""Images in TFRecord files, as TF-Slim writes them: the worker's side, which reads a record as a whole."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.python.lib.io.tf_record import tf_record_random_reader

from exporter.errors import EvaluationError, ImageError
from exporter.evaluation.jobs import Image
from exporter.models.classes import IMAGENET_CLASSES, class_names, first_class

#: The most characters of a record's own text in a message.
_SHOWN = 100


def image_in(image: Image, classes: int) -> tuple[bytes, int, str]:
    """The bytes of the image in a record, its label, and its name in messages.

    Raises:
        ImageError: the record is damaged.
        EvaluationError: it is whole, but has no image or no label as TF-Slim writes them, or a wrong label.
    """
    name = image.name
    try:
        content, _ = tf_record_random_reader(str(image.file)).read(image.offset)
        features = tf.train.Example.FromString(content).features.feature
    except (tf.errors.OpError, IndexError, DecodeError) as error:
        raise ImageError(f"{name}, is damaged: it is not a whole tf.train.Example") from error
    encoded = _only(features, "image/encoded", "bytes_list", name)
    label = _only(features, "image/class/label", "int64_list", name)
    first = first_class(classes)
    if not first <= label < classes:
        counted = "with 0 for the background" if first else "from 0 on"
        raise EvaluationError(
            f"{name}, has label {label}, expected {first} to {classes - 1}: TF-Slim's records number classes as the "
            f"model does, {counted}"
        )
    wnid = _text(features["image/class/synset"].bytes_list.value)
    if wnid and classes == IMAGENET_CLASSES and wnid != class_names()[label].wnid:
        raise EvaluationError(
            f"{name}, has label {label} and wnid {wnid}, but class {label} is {class_names()[label].wnid}: "
            f"its records number the classes in another order"
        )
    filename = _text(features["image/filename"].bytes_list.value)
    return encoded, label, f"{filename} ({name})" if filename else name


def _only(features: Any, key: str, kind: str, name: str) -> Any:
    """The one value of a feature."""
    found = features[key].WhichOneof("kind") if key in features else None
    values: Sequence[Any] = getattr(features[key], kind).value if found == kind else ()
    if len(values) == 1:
        return values[0]
    what = f"its {key} is a {found} of {len(getattr(features[key], found).value)}" if found else f"{key} is missing"
    raise EvaluationError(
        f"{name}, lacks image/encoded or image/class/label: {what}, expected a {kind} of 1, as in the "
        f"tf.train.Example that TF-Slim writes"
    )


def _text(values: Sequence[bytes]) -> str:
    """A record's own text, as it may be shown: whatever a terminal would obey is written out."""
    text = b"".join(values)[: 4 * _SHOWN].decode(errors="replace")[:_SHOWN]
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)
