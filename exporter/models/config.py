"""Models and tasks, as rows: one YAML file under ``configs/`` for each model."""

import dataclasses
import functools
import math
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import yaml

from exporter.errors import ConfigError
from exporter.models import formats
from exporter.models.cells import FAMILIES
from exporter.models.formats import DEFAULT_FORMAT, FORMATS, Format, FormatSpec, VersionSpec
from exporter.resources import resource

Task = Literal["classification", "feature_vector"]

TASKS: tuple[Task, ...] = get_args(Task)


def largest_task(tasks: Collection[Task]) -> Task:
    """The one of ``tasks`` whose network has all that those of the others have; there is at least one."""
    return next(task for task in TASKS if task in tasks)


@dataclass(frozen=True)
class ModelConfig:
    """One network and what was published of it. Fields are those of the YAML files, which explain them.

    ``image_size`` is in pixels; ``weight_decay`` multiplies ``sum(kernel ** 2) / 2``; ``drop_path_keep_prob`` is the
    last cell's; ``accuracy`` is in per cent. ``checkpoint`` names the archive (a key of ``checkpoints.lock``), and is
    None for a model that only exists as a file. ``checkpoint_has_auxiliary_head`` tells what the archive is reported to
    hold; it never matters for an export.
    """

    name: str
    family: str
    title: str
    image_size: int
    num_classes: int
    num_cells: int
    num_conv_filters: int
    stem_filters: int
    reductions: tuple[int, ...]
    skip_reduction_layer_input: bool
    drop_path_keep_prob: float
    dropout_keep_prob: float
    weight_decay: float
    versions: dict[int, Format]
    published: bool = False
    checkpoint: str | None = None
    checkpoint_has_auxiliary_head: bool = True
    accuracy: dict[str, float] | None = None

    @classmethod
    def from_dict(cls, values: Any, source: str = "the configuration") -> "ModelConfig":
        """A checked configuration.

        Raises:
            ConfigError: a field is missing, unknown, of the wrong type, or out of range.
        """
        if not isinstance(values, dict):
            raise ConfigError(f"{source} is not a mapping of fields: expected those of configs/nasnet_mobile.yaml")
        fields = {field.name: field for field in dataclasses.fields(cls)}
        required = {name for name, field in fields.items() if field.default is dataclasses.MISSING}
        if missing := sorted(required - set(values)):
            raise ConfigError(f"{source} lacks {', '.join(missing)}: see configs/nasnet_mobile.yaml for all fields")
        if unknown := sorted(map(str, set(values) - set(fields))):
            raise ConfigError(f"{source} has fields that no model has: {', '.join(unknown)}")
        for name, value in values.items():
            if not _FIELD_CHECKS[name](value):
                raise ConfigError(f"{source}: {name} is {value!r}, which is not valid for this field")
        if any(index >= values["num_cells"] for index in values["reductions"]):
            raise ConfigError(
                f"{source}: num_cells is {values['num_cells']!r} and reductions is {values['reductions']!r}, "
                f"which goes beyond the last cell"
            )
        values = {**values, "reductions": tuple(values["reductions"])}
        values["versions"] = {int(version): format_ for version, format_ in values["versions"].items()}
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain JSON and YAML values; `from_dict` takes them back."""
        values = dataclasses.asdict(self)
        values["reductions"] = list(self.reductions)
        return values

    def format_spec(self, version: int) -> FormatSpec:
        """The format of a version of this model."""
        return FORMATS[self.versions[version]]

    def version_spec(self, version: int) -> VersionSpec:
        """What a version of this model has, by its format."""
        return self.format_spec(version).version(version)


def _whole(low: int):
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= low


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _probability(value: Any) -> bool:
    return _number(value) and 0 < value <= 1


def _text(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _name(value: Any) -> bool:
    return _text(value) and value.replace("_", "a").isalnum() and value.isascii()


def _ascending(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(map(_whole(1), value)) and list(value) == sorted(set(value))


def _versions(value: Any) -> bool:
    return isinstance(value, dict) and all(
        str(version).isdecimal() and format_ in formats.written() for version, format_ in value.items()
    )


_FIELD_CHECKS = {
    "name": _name,
    "family": lambda value: isinstance(value, str) and value in FAMILIES,
    "title": _text,
    "image_size": _whole(32),
    "num_classes": _whole(2),
    "num_cells": _whole(1),
    "num_conv_filters": _whole(4),
    "stem_filters": _whole(1),
    "reductions": _ascending,
    "skip_reduction_layer_input": lambda value: isinstance(value, bool),
    "drop_path_keep_prob": _probability,
    "dropout_keep_prob": _probability,
    "weight_decay": lambda value: _number(value) and value >= 0,
    "versions": _versions,
    "published": lambda value: isinstance(value, bool),
    "checkpoint": lambda value: value is None or _text(value),
    "checkpoint_has_auxiliary_head": lambda value: isinstance(value, bool),
    "accuracy": lambda value: value is None or isinstance(value, dict),
}


@functools.cache
def models() -> dict[str, ModelConfig]:
    """Every model that nasexport knows, by name, the published ones first."""
    configs = [_read(path) for path in sorted(resource("configs").glob("*.yaml"))]
    return {config.name: config for config in sorted(configs, key=lambda config: not config.published)}


def model(name: str) -> ModelConfig:
    """The model of that name, or the one that a ``.yaml`` file describes.

    Raises:
        ConfigError: no such model, or the file is not a valid configuration.
    """
    if name in models():
        return models()[name]
    if name.endswith((".yaml", ".yml")):
        return _read(Path(name))
    raise ConfigError(f"there is no model {name!r}: known are {', '.join(models())}, or the path of a .yaml file")


def _read(path: Path) -> ModelConfig:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"cannot read the configuration {path}: {getattr(error, 'strerror', None) or error}"
        ) from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    return ModelConfig.from_dict(values, str(path))


def resolve_version(config: ModelConfig, format_: Format | None, version: int | None) -> tuple[int, Format]:
    """The version and its format that ``--format`` and ``--version`` ask for; both default to what a row says.

    Raises:
        ConfigError: the model has no such version, or the version is of another format.
    """
    if version is None:
        version = FORMATS[format_ or DEFAULT_FORMAT].default_version
    if version is None or version not in config.versions or (format_ and config.versions[version] != format_):
        wanted = ("version" if version is None else f"version {version}") + (f" in format {format_}" if format_ else "")
        have = ", ".join(f"{number} ({name})" for number, name in sorted(config.versions.items()))
        raise ConfigError(f"{config.name} has no {wanted}: it has versions {have}")
    return version, config.versions[version]


def handle(config: ModelConfig, task: Task, version: int) -> str:
    """The name an artifact was published under, for example ``google/imagenet/nasnet_large/classification/4``."""
    return f"google/imagenet/{config.name}/{task}/{version}"
