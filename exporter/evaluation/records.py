"""Images in TFRecord files, as TF-Slim and TensorFlow Datasets write them: a record is read as a whole."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

from exporter import without_tensorflow
from exporter.errors import EvaluationError, ImageError
from exporter.evaluation.image_files import piece_of
from exporter.evaluation.jobs import Image
from exporter.evaluation.shards import record_in
from exporter.models.classes import IMAGENET_CLASSES, class_names, first_class

#: The most characters of a record's own text in a message.
_SHOWN = 100


class Keys(NamedTuple):
    """What the parts of a record are called. ``background`` is whether ImageNet's classes begin at 1, with 0 for it."""

    image: str
    label: str
    filename: str
    background: bool


SLIM = Keys("image/encoded", "image/class/label", "image/filename", background=True)
#: Of TensorFlow Datasets: ``imagenet2012`` and others of labelled images.
DATASETS = Keys("image", "label", "file_name", background=False)


class Record(NamedTuple):
    """The bytes of the image in a record, its label, its name in messages, and the file name that it has."""

    content: bytes
    label: int | None
    name: str
    filename: str | None


def image_in(image: Image, classes: int | None) -> Record:
    """What is in a record.

    Args:
        classes: the number of classes of the network; None where no label is needed, and any is one.

    Raises:
        ImageError: the record is damaged.
        EvaluationError: it is whole, but has no image or no label as TF-Slim writes them, or a wrong label.
    """
    # Imported here: without a record to read, there is no need of TensorFlow's messages.
    from google.protobuf.message import DecodeError

    name = image.name
    assert image.offset is not None
    content = record_in(lambda offset, size: piece_of(image.file, offset, size), image.offset)
    try:
        if content is None:
            raise DecodeError
        features = _example().FromString(content).features.feature
    except DecodeError as error:
        raise ImageError(f"{name}, is damaged: it is not a whole tf.train.Example") from error
    keys = DATASETS if DATASETS.image in features and SLIM.image not in features else SLIM
    encoded = _only(features, keys.image, "bytes_list", name, keys)
    filename = _text(features[keys.filename].bytes_list.value) if keys.filename in features else ""
    shown = f"{filename} ({name})" if filename else name
    if classes is None:
        values: Sequence[int] = features[keys.label].int64_list.value if keys.label in features else ()
        return Record(encoded, values[0] if len(values) == 1 else None, shown, filename or None)
    label = _only(features, keys.label, "int64_list", name, keys) + (0 if keys.background else first_class(classes))
    first = first_class(classes)
    if not first <= label < classes:
        counted = "with 0 for the background" if first else "from 0 on"
        if not keys.background:
            raise EvaluationError(
                f"{name}, has label {label - first}, expected 0 to {classes - first - 1}: TensorFlow Datasets numbers "
                f"classes from 0 on"
            )
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
    return Record(encoded, label, shown, filename or None)


@functools.cache
def _example() -> Any:
    """The class of what is in a record: a worker of a cluster reads them for artifacts that do without TensorFlow."""
    with without_tensorflow.only_messages():
        from tensorflow.core.example import example_pb2
    return example_pb2.Example


def _only(features: Any, key: str, kind: str, name: str, keys: Keys) -> Any:
    """The one value of a feature."""
    found = features[key].WhichOneof("kind") if key in features else None
    values: Sequence[Any] = getattr(features[key], kind).value if found == kind else ()
    if len(values) == 1:
        return values[0]
    what = f"its {key} is a {found} of {len(getattr(features[key], found).value)}" if found else f"{key} is missing"
    raise EvaluationError(
        f"{name}, lacks {keys.image} or {keys.label}: {what}, expected a {kind} of 1, as in the tf.train.Example that "
        f"{'TF-Slim' if keys is SLIM else 'TensorFlow Datasets'} writes"
    )


def _text(values: Sequence[bytes]) -> str:
    """A record's own text, as it may be shown: whatever a terminal would obey is written out."""
    text = b"".join(values)[: 4 * _SHOWN].decode(errors="replace")[:_SHOWN]
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)
