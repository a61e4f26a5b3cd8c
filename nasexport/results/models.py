"""The models that there are."""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from exporter.models.config import Task
from exporter.models.formats import Format, Version
from nasexport import _html


@dataclass(frozen=True)
class ModelInfo:
    """A model that artifacts can be made of.

    Attributes:
        published: whether it was published as a Hub model.
        versions: the format of each version; a format without version numbers is its own version.
        image_size: height and width of its images in pixels.
        features: the length of a feature vector.
        parameters: how many values the variables of each task have.
        accuracy: as published, in per cent: ``top_1`` and ``top_5``; None where none was published.
        checkpoint: the name of its published archive, None where it has none.
        cached: that archive in the cache, None where it is not there.
    """

    name: str
    title: str
    published: bool
    versions: Mapping[Version, Format]
    image_size: int
    features: int
    classes: int
    parameters: Mapping[Task, int]
    accuracy: Mapping[str, float] | None
    checkpoint: str | None
    cached: Path | None

    def _repr_html_(self) -> str:
        return _html.facts(self.title, [(field.name, getattr(self, field.name)) for field in dataclasses.fields(self)])


class Models(Mapping[str, ModelInfo]):
    """The models by their names, the published ones first."""

    def __init__(self, models: Mapping[str, ModelInfo]):
        self._models = dict(models)

    def __getitem__(self, name: str) -> ModelInfo:
        return self._models[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._models)

    def __len__(self) -> int:
        return len(self._models)

    def __repr__(self) -> str:
        return f"<Models {', '.join(self)}>"

    def _repr_html_(self) -> str:
        header = ("model", "", "versions", "image size", "features", "top-1", "archive")
        return _html.table("Models", header, [_model_row(model) for model in self.values()])


def _model_row(model: ModelInfo) -> tuple[object, ...]:
    accuracy = f"{model.accuracy['top_1']} %" if model.accuracy else ""
    cached = "cached" if model.cached else "not in the cache" if model.checkpoint else "none"
    return (
        model.name,
        model.title,
        ", ".join(map(str, model.versions)),
        model.image_size,
        model.features,
        accuracy,
        cached,
    )
