"""What is to be known of an artifact before it classifies images."""

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

    ``config`` is None for an artifact that nasexport did not write and that no one named a model for: it is taken for
    one of 1001 classes, and its image size is found in the worker. ``synthetic`` is what it says of made-up weights.
    """

    path: Path
    config: ModelConfig | None
    synthetic: dict[str, Any] | None

    @classmethod
    def of(cls, path: Path, named: ModelConfig | None = None) -> "Classifier":
        """Looks at the files of an artifact.

        Args:
            named: the model that a foreign artifact is of.

        Raises:
            ArtifactError: there is none, it is damaged, or it is a feature vector.
            ConfigError: it is another model than the one named.
        """
        folder.require_artifact(path)
        if read_metadata(path) is None:
            return cls(path, named, None)
        expected, metadata = verify.expected_of(path)
        if expected.task != "classification":
            raise ArtifactError(
                f"{path} is a {expected.task} artifact, which knows no classes: use {expected.config.name}'s of the "
                f"task classification"
            )
        if named not in (None, expected.config):
            raise ConfigError(f"{path} is of {expected.config.name}: leave out --model, or name that one")
        return cls(path, expected.config, metadata.source.synthetic if metadata else None)

    @property
    def classes(self) -> int:
        return self.config.num_classes if self.config else IMAGENET_CLASSES

    def to_load(self) -> ModelToLoad:
        """What a worker must know to load it."""
        return ModelToLoad(self.path, self.config.image_size if self.config else None, self.classes)

    def facts(self) -> dict[str, Any]:
        """What the JSON of every command says of it."""
        return {
            "artifact": str(self.path),
            "model": self.config.name if self.config else None,
            "synthetic": self.synthetic,
        }
