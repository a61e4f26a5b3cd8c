"""An artifact that is to classify images, as far as its files describe it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporter.artifact import folder
from exporter.artifact.metadata import read_metadata
from exporter.errors import ArtifactError, ConfigError
from exporter.evaluation.jobs import ModelToLoad
from exporter.models.classes import IMAGENET_CLASSES
from exporter.models.config import ModelConfig
from exporter.verification import verify


@dataclass(frozen=True)
class Classifier:
    """An artifact of the task "classification".

    ``config`` is None for an artifact that nasexport did not write, if no model was named for it. It is then assumed to
    have 1001 classes, and the worker finds its image size. ``synthetic`` describes synthetic weights, None for others.
    ``trust`` is whether it may do more than compute.
    """

    path: Path
    config: ModelConfig | None
    synthetic: dict[str, Any] | None
    trust: bool = False

    @classmethod
    def of(cls, path: Path, named: ModelConfig | None = None, trust: bool = False) -> "Classifier":
        """Reads the description of an artifact from its files.

        Args:
            named: the model of an artifact that nasexport did not write.
            trust: whether it may do more than compute.

        Raises:
            ArtifactError: the artifact is missing or damaged, or is a feature vector.
            ConfigError: it is of another model than the named one.
        """
        folder.require_artifact(path)
        if read_metadata(path) is None:
            return cls(path, named, None, trust)
        expected, metadata = verify.expected_of(path)
        if expected.task != "classification":
            raise ArtifactError(
                f"{path} is a {expected.task} artifact, which has no classes: use the classification artifact of "
                f"{expected.config.name}"
            )
        if named not in (None, expected.config):
            raise ConfigError(f"{path} is of {expected.config.name}: leave out --model, or name that model")
        return cls(path, expected.config, metadata.source.synthetic if metadata else None, trust)

    @property
    def classes(self) -> int:
        return self.config.num_classes if self.config else IMAGENET_CLASSES

    def to_load(self) -> ModelToLoad:
        """The part of a worker's request that says what to load."""
        image_size = self.config.image_size if self.config else None
        return ModelToLoad(self.path, image_size, self.classes, self.trust)

    def facts(self) -> dict[str, Any]:
        """The fields that describe it in the JSON output of every command."""
        return {
            "artifact": str(self.path),
            "model": self.config.name if self.config else None,
            "synthetic": self.synthetic,
        }
