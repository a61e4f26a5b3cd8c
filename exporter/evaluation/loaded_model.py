"""An artifact of any format, as a function from images to logits or feature vectors."""

import pkgutil
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exporter.artifact import trust
from exporter.artifact.folder import require_readable
from exporter.artifact.jobs import LARGEST_IMAGE_SIZE
from exporter.errors import ArtifactError, ConfigError, reason
from exporter.evaluation.jobs import ModelToLoad
from exporter.evaluation.loaded import Loaded, Size
from exporter.files.plain_path import plain
from exporter.progress import Say

Floats = NDArray[np.float64]


class LoadedModel:
    """An artifact of any format whose image size is known and whose outputs are checked."""

    def __init__(self, model: ModelToLoad, say: Say):
        self._path = model.path
        self.classes = model.classes
        #: What the network ran on, for people; None before it did.
        self.device: str | None = None
        if not model.trust:
            trust.require(self._path)
        say("loading the artifact")
        spec = require_readable(self._path, running=True)
        self._with_tensorflow = spec.runs_with_tensorflow
        part = "preprocessing" if spec.runs_with_tensorflow else "numpy_preprocessing"
        self._preprocessed = pkgutil.resolve_name(f"exporter.evaluation.{part}:preprocessed")
        with plain(self._path) as path:
            loaded: Loaded = pkgutil.resolve_name(spec.load)(path)
        self._call, found = loaded.call, loaded.image_size
        wanted = model.image_size
        if wanted and found and found != (wanted, wanted):
            raise ConfigError(
                f"{self._path} takes images of {found[1]} x {found[0]} pixels, but the model given by --model "
                f"takes {wanted} x {wanted}: leave out --model, or name the right one"
            )
        if not wanted and not found:
            raise ConfigError(f"{self._path} does not fix its image size: name its model with --model")
        if not wanted and found and max(found) > LARGEST_IMAGE_SIZE:
            raise ArtifactError(
                f"{self._path} says that it takes images of {found[1]} x {found[0]} pixels, expected "
                f"{LARGEST_IMAGE_SIZE} at most: name its model with --model"
            )
        self.size: Size = (wanted, wanted) if wanted else found  # type: ignore[assignment]

    def preprocessed(self, content: bytes, name: str) -> Any:
        """The image in a file's bytes, as `logits` and `features` take it.

        Raises:
            ImageError: it cannot be decoded.
        """
        return self._preprocessed(content, self.size, name)

    def logits(self, images: Sequence[Any]) -> Floats:
        """The logits [batch, classes] of images that `preprocessed` returned; then ``device`` says what computed."""
        logits = np.asarray(self._computed(images), np.float64)
        if logits.shape != (len(images), self.classes):
            raise ArtifactError(
                f"{self._path} gives {_values(logits)} values for an image, expected the logits of {self.classes} "
                f"classes: is it a feature vector?"
            )
        return self._finite(logits)

    def features(self, images: Sequence[Any]) -> NDArray[np.float32]:
        """The feature vectors [batch, value] of images that `preprocessed` returned."""
        features = self._computed(images).astype(np.float32, copy=False)
        if features.ndim != 2 or len(features) != len(images):
            raise ArtifactError(f"{self._path} gives {_values(features)} values for an image, expected a vector")
        return self._finite(features)

    def _computed(self, images: Sequence[Any]) -> NDArray[Any]:
        try:
            computed = self._call(self._batch(images))
            self.device = _device_of(computed)
            return np.asarray(computed)
        except Exception as error:
            # TensorFlow's errors, whose classes are not imported here, have a code.
            if isinstance(error, AttributeError | TypeError | ValueError) or hasattr(error, "error_code"):
                raise ArtifactError(f"{self._path} cannot be called with images: {reason(error)}") from error
            raise

    def _batch(self, images: Sequence[Any]) -> Any:
        if not self._with_tensorflow:
            return np.stack(images)
        import tensorflow as tf

        return tf.stack(images)

    def _finite(self, values: Any) -> Any:
        if not np.isfinite(values).all():
            raise ArtifactError(f"{self._path} gives values that are not finite: its weights are damaged")
        return values


def _values(outputs: NDArray[Any]) -> str:
    return " x ".join(map(str, outputs.shape[1:])) or "no"


def _device_of(computed: Any) -> str:
    """What computed an output: arrays come from libraries that compute on the processor."""
    if isinstance(computed, np.ndarray):
        return "CPU"
    from exporter.processes.computation import name_of

    return name_of(computed)
