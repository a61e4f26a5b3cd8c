"""A loaded artifact of any format, as a function from images to logits."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_hub as hub
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from tensorflow.core.protobuf import saved_model_pb2

from exporter.artifact import hub_messages
from exporter.errors import ArtifactError, ConfigError
from exporter.models.formats import HUB_MODULE_FILE, IMAGE_INPUT

Size = tuple[int, int]

Floats = NDArray[np.float64]


class LoadedModel:
    """A loaded artifact of any format, as a function from images to logits."""

    def __init__(self, request: dict[str, Any], report: Callable[[str], None]):
        self._path = Path(request["path"])
        self.classes: int = request["classes"]
        report("loading the artifact")
        is_hub = (self._path / HUB_MODULE_FILE).exists()
        try:
            loaded = hub.load(str(self._path), tags=[] if is_hub else None)
        except Exception as error:
            raise ArtifactError(f"{self._path} does not load with hub.load: {_reason(error)}") from error
        self._call, found = _hub_function(loaded, self._path) if is_hub else _function(loaded, self._path)
        wanted = request["image_size"]
        if wanted and found and found != (wanted, wanted):
            raise ConfigError(
                f"{self._path} takes images of {found[1]} x {found[0]} pixels, the model named {wanted} x {wanted}: "
                f"leave out --model, or name the right one"
            )
        if not wanted and not found:
            raise ConfigError(f"{self._path} does not say which image size it takes: name its model with --model")
        self.size: Size = (wanted, wanted) if wanted else found  # type: ignore[assignment]

    def logits(self, images: tf.Tensor) -> Floats:
        """What the network gives for images as `preprocessed` makes them: [batch, classes]."""
        try:
            logits = np.asarray(self._call(images), np.float64)
        except (AttributeError, TypeError, ValueError, tf.errors.OpError) as error:
            raise ArtifactError(f"{self._path} cannot be called with images: {_reason(error)}") from error
        if logits.shape != (len(images), self.classes):
            values = " x ".join(map(str, logits.shape[1:])) or "no"
            raise ArtifactError(
                f"{self._path} gives {values} values for an image, expected the logits of {self.classes} classes: "
                f"is it a feature vector?"
            )
        if not np.isfinite(logits).all():
            raise ArtifactError(f"{self._path} gives values that are not finite: its weights are damaged")
        return logits


def _hub_function(loaded: Any, path: Path) -> tuple[Callable[[tf.Tensor], Any], Size | None]:
    """The classification of a TF1 Hub module, and the image size that is attached to it."""
    signature = loaded.signatures.get("image_classification") or loaded.signatures.get("default")
    if signature is None:
        raise ArtifactError(f"{path} has no signature image_classification: it is no module for images")
    try:
        saved_model = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
        attached = [
            hub_messages.attached_image_size(value)
            for value in saved_model.meta_graphs[0].collection_def[hub_messages.ATTACHMENTS].bytes_list.value
        ]
    except DecodeError as error:
        raise ArtifactError(f"{path / 'saved_model.pb'} is damaged: its attachments cannot be read") from error
    size = next(filter(None, attached), None) or _static_size(signature)
    return lambda images: signature(**{IMAGE_INPUT: images})["default"], size


def _function(loaded: Any, path: Path) -> tuple[Callable[[tf.Tensor], Any], Size | None]:
    """The function of a TF2 SavedModel: the object itself, or else its serving signature."""
    signature = loaded.signatures.get("serving_default")
    if callable(loaded):
        traces = getattr(loaded.__call__, "concrete_functions", [])
        return loaded, next(filter(None, map(_static_size, [*traces, *([signature] if signature else [])])), None)
    if signature is None or len(signature.structured_outputs) != 1:
        raise ArtifactError(f"{path} cannot be called and has no serving signature with one output")
    (argument,) = signature.structured_input_signature[1]
    (output,) = signature.structured_outputs
    return lambda images: signature(**{argument: images})[output], _static_size(signature)


def _static_size(function: Any) -> Size | None:
    """Height and width of the first image input, where they are fixed."""
    for spec in tf.nest.flatten(function.structured_input_signature):
        shape = getattr(spec, "shape", None)
        if shape is not None and shape.rank == 4 and shape[1] and shape[2]:
            return int(shape[1]), int(shape[2])
    return None


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: " + " ".join(str(error).split())[:300]
