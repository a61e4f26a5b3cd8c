"""An artifact of any format, as a function from images to logits."""

import pkgutil

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from exporter.artifact import trust
from exporter.artifact.folder import require_readable
from exporter.artifact.jobs import LARGEST_IMAGE_SIZE
from exporter.errors import ArtifactError, ConfigError, reason
from exporter.evaluation.jobs import ModelToLoad
from exporter.evaluation.loaded import Loaded, Size
from exporter.files.plain_path import plain
from exporter.processes.computation import name_of
from exporter.progress import Say

Floats = NDArray[np.float64]


class LoadedModel:
    """An artifact of any format whose image size is known and whose logits are checked."""

    def __init__(self, model: ModelToLoad, say: Say):
        self._path = model.path
        self.classes = model.classes
        #: What the network ran on, for people; None before it did.
        self.device: str | None = None
        if not model.trust:
            trust.require(self._path)
        say("loading the artifact")
        with plain(self._path) as path:
            loaded: Loaded = pkgutil.resolve_name(require_readable(self._path, running=True).load)(path)
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

    def logits(self, images: tf.Tensor) -> Floats:
        """The logits [batch, classes] of images that `preprocessed` returned; then ``device`` says what computed."""
        try:
            computed = tf.convert_to_tensor(self._call(images))
            self.device = name_of(computed)
            logits = np.asarray(computed, np.float64)
        except (AttributeError, TypeError, ValueError, tf.errors.OpError) as error:
            raise ArtifactError(f"{self._path} cannot be called with images: {reason(error)}") from error
        if logits.shape != (len(images), self.classes):
            values = " x ".join(map(str, logits.shape[1:])) or "no"
            raise ArtifactError(
                f"{self._path} gives {values} values for an image, expected the logits of {self.classes} classes: "
                f"is it a feature vector?"
            )
        if not np.isfinite(logits).all():
            raise ArtifactError(f"{self._path} gives values that are not finite: its weights are damaged")
        return logits
