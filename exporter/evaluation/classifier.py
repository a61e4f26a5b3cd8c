"""An artifact that is to be run on images, as far as its files describe it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from exporter.artifact import folder
from exporter.artifact.metadata import Metadata, read_metadata
from exporter.errors import ArtifactError, ConfigError
from exporter.evaluation.jobs import ModelToLoad
from exporter.models.classes import IMAGENET_CLASSES
from exporter.models.config import ModelConfig, Task
from exporter.verification.expectation import said_by

T = TypeVar("T", bound="Runnable")


@dataclass(frozen=True)
class Runnable:
    """An artifact of one of the tasks.

    ``config`` is None for an artifact that nasexport did not write, if no model was named for it; the worker then finds
    its image size. ``synthetic`` describes synthetic weights, None for others. ``trust`` is whether it may do more than
    compute.
    """

    path: Path
    config: ModelConfig | None
    synthetic: dict[str, Any] | None
    trust: bool = False

    @classmethod
    def _of(
        cls: type[T], path: Path, task: Task, refusal: str, named: ModelConfig | None = None, trust: bool = False
    ) -> T:
        folder.require_artifact(path)
        metadata = read_metadata(path)
        if metadata is None:
            return cls(path, named, None, trust)
        folder.require_readable(path, running=True)
        expected = said_by(path, metadata)
        if expected.task != task:
            raise ArtifactError(f"{path} is a {expected.task} artifact{refusal} {expected.config.name}")
        if named not in (None, expected.config):
            raise ConfigError(f"{path} is of {expected.config.name}: leave out --model, or name that model")
        return cls(path, expected.config, metadata.source.synthetic, trust)

    @property
    def metadata(self) -> Metadata | None:
        return read_metadata(self.path)

    @property
    def decoder(self) -> str:
        """What decodes images for it: not all decoders give the same pixels of a JPEG."""
        return "TensorFlow" if folder.require_artifact(self.path).runs_with_tensorflow else "Pillow"

    def facts(self) -> dict[str, Any]:
        """The fields that describe it in the JSON output of every command."""
        return {
            "artifact": str(self.path),
            "model": self.config.name if self.config else None,
            "synthetic": self.synthetic,
        }


@dataclass(frozen=True)
class Classifier(Runnable):
    """An artifact of the task "classification"; one of unknown origin is assumed to have 1001 classes."""

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
        return cls._of(
            path, "classification", ", which has no classes: use the classification artifact of", named, trust
        )

    @property
    def classes(self) -> int:
        return self.config.num_classes if self.config else IMAGENET_CLASSES

    def to_load(self) -> ModelToLoad:
        """The part of a worker's request that says what to load."""
        image_size = self.config.image_size if self.config else None
        return ModelToLoad(self.path, image_size, self.classes, self.trust)


@dataclass(frozen=True)
class Extractor(Runnable):
    """An artifact of the task "feature_vector"."""

    @classmethod
    def of(cls, path: Path, named: ModelConfig | None = None, trust: bool = False) -> "Extractor":
        """Reads the description of an artifact from its files; see `Classifier.of`.

        Raises:
            ArtifactError: the artifact is missing or damaged, or classifies.
            ConfigError: it is of another model than the named one.
        """
        refusal = ", whose outputs are logits: use the feature_vector artifact of"
        return cls._of(path, "feature_vector", refusal, named, trust)

    def to_load(self) -> ModelToLoad:
        """The part of a worker's request that says what to load."""
        return ModelToLoad(self.path, self.config.image_size if self.config else None, None, self.trust)
