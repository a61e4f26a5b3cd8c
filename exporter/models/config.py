"""Models and tasks, as rows: one YAML file under ``configs/`` for each model."""

import functools
import re
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import msgspec

from exporter.errors import USAGE, ConfigError
from exporter.models import formats
from exporter.models.cells import FamilyName
from exporter.models.formats import DEFAULT_FORMAT, FORMATS, Format, FormatSpec, Version, VersionSpec
from exporter.resources import resource
from exporter.validation import MOST_YAML, at_least, convert, parse_yaml, read, shown

Task = Literal["classification", "feature_vector"]

TASKS: tuple[Task, ...] = get_args(Task)


def largest_task(tasks: Collection[Task]) -> Task:
    """The one of ``tasks`` whose network has all that those of the others have; there is at least one."""
    return next(task for task in TASKS if task in tasks)


_LONGEST_NAME = 100
#: How the paths of configurations end.
_CONFIGURATION = (".yaml", ".yml")
#: A name that goes into paths and addresses.
Name = Annotated[
    str,
    msgspec.Meta(pattern=r"\A[A-Za-z0-9_]{1,100}\Z", description="a name of letters, digits and _, at most 100"),
]
Text = Annotated[str, msgspec.Meta(min_length=1)]
#: Far beyond any network of these families: what is larger is a mistake, and would be computed with for hours.
_MOST_PIXELS, _MOST_CLASSES, _MOST_CELLS, _MOST_FILTERS = 10_000, 10**6, 1000, 10**5
#: Whole numbers are numbers, and stay what they are, so that a configuration comes back with the same bytes.
Probability = Annotated[int, msgspec.Meta(gt=0, le=1)] | Annotated[float, msgspec.Meta(gt=0, le=1)]
Decay = Annotated[int, at_least(0)] | Annotated[float, msgspec.Meta(ge=0, le=sys.float_info.max)]
PerCent = Annotated[int, msgspec.Meta(ge=0, le=100)] | Annotated[float, msgspec.Meta(ge=0, le=100)]


class ModelConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One network and what was published of it. Fields are those of the YAML files, which explain them.

    ``image_size`` is in pixels; ``weight_decay`` multiplies ``sum(kernel ** 2) / 2``; ``drop_path_keep_prob`` is the
    last cell's; ``accuracy`` is in per cent. ``checkpoint`` names the archive (a key of ``checkpoints.lock``), and is
    None for a model that only exists as a file. ``versions`` have
    numbers; ``formats`` are those it has without. ``checkpoint_has_auxiliary_head`` tells what the archive is reported
    to hold; it never matters for an export.
    """

    name: Name
    family: FamilyName
    title: Text
    image_size: Annotated[int, at_least(32, _MOST_PIXELS)]
    num_classes: Annotated[int, at_least(2, _MOST_CLASSES)]
    num_cells: Annotated[int, at_least(1, _MOST_CELLS)]
    num_conv_filters: Annotated[int, at_least(4, _MOST_FILTERS)]
    stem_filters: Annotated[int, at_least(1, _MOST_FILTERS)]
    reductions: tuple[Annotated[int, at_least(1, _MOST_CELLS)], ...]
    skip_reduction_layer_input: bool
    drop_path_keep_prob: Probability
    dropout_keep_prob: Probability
    weight_decay: Decay
    versions: dict[Annotated[int, at_least(0)], Format]
    formats: tuple[Format, ...] = ()
    published: bool = False
    checkpoint: Text | None = None
    checkpoint_has_auxiliary_head: bool = True
    accuracy: dict[str, PerCent] | None = None

    def __post_init__(self) -> None:
        """Raises ValueError where fields do not fit together, or a format cannot be written."""
        for version, format_ in self.versions.items():
            _require_format(f"versions[{version}]", format_, numbered=True)
        for index, format_ in enumerate(self.formats):
            _require_format(f"formats[{index}]", format_, numbered=False)
        if len(set(self.formats)) < len(self.formats):
            raise ValueError(f"formats is {shown(list(self.formats))}, expected each once")
        reductions = list(self.reductions)
        if reductions != sorted(set(reductions)):
            raise ValueError(f"reductions is {shown(reductions)}, expected cells in ascending order")
        if reductions and reductions[-1] >= self.num_cells:
            raise ValueError(
                f"num_cells is {self.num_cells} and reductions is {shown(reductions)}, which goes beyond the last cell"
            )

    @classmethod
    def from_dict(cls, values: Any, source: str = "the configuration") -> "ModelConfig":
        """A checked configuration.

        Raises:
            ConfigError: a field is missing, unknown, of the wrong type, or out of range.
        """
        return convert(values, cls, lambda problem: ConfigError(f"{source}: {problem}"))

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain JSON and YAML values; `from_dict` takes them back."""
        return {**msgspec.structs.asdict(self), "reductions": list(self.reductions), "formats": list(self.formats)}

    @property
    def all_versions(self) -> dict[Version, Format]:
        """The format of each version, numbers in ascending order; a format without numbers is its own version."""
        versions: dict[Version, Format] = {name: name for name in self.formats}
        versions.update(self.versions.items())
        return {version: versions[version] for version in formats.in_order(versions)}

    def format_spec(self, version: Version) -> FormatSpec:
        """The format of a version of this model."""
        return FORMATS[self.all_versions[version]]

    def version_spec(self, version: Version) -> VersionSpec:
        """What a version of this model has, by its format."""
        return self.format_spec(version).version(version)


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
    if known := models().get(known_name(name)):
        return known
    if name.endswith(_CONFIGURATION):
        return _read(Path(name))
    expected = f"known are {', '.join(models())}, or the path of a .yaml file"
    meant = f"; did you mean {close[0]}?" if (close := _close(name)) else ""
    raise ConfigError(f"there is no model {name!r}{meant}\n{expected}", status=USAGE)


def known_name(name: str) -> str:
    """The name of the known model that is meant, also where it is written as ``nasnet-large`` or ``NASNet_Large``.

    Any other text comes back as it is.
    """
    written = _plain(name)
    return next((known for known in models() if _plain(known) == written), name)


def _plain(name: str) -> str:
    return re.sub(r"[-_ ]", "", name[: 2 * _LONGEST_NAME]).casefold()


def _close(name: str) -> list[str]:
    import difflib

    by_name = {_plain(known): known for known in models()}
    return [by_name[found] for found in difflib.get_close_matches(_plain(name), by_name, n=1)]


def _read(path: Path) -> ModelConfig:
    def refusal(problem: str) -> ConfigError:
        return ConfigError(f"{path}: {problem}")

    try:
        content = read(path, MOST_YAML, refusal)
    except OSError as error:
        raise ConfigError(f"cannot read the configuration {path}: {error.strerror}") from error
    return ModelConfig.from_dict(parse_yaml(content, refusal), str(path))


def _require_format(field: str, name: Format, *, numbered: bool) -> None:
    expected = [known for known in formats.written() if FORMATS[known].numbered == numbered]
    if name not in expected:
        raise ValueError(f"{field} is {shown(name)}, expected {' or '.join(map(repr, expected)) or 'nothing'}")


def listed(versions: Mapping[Version, Format]) -> str:
    """Versions with their formats, for a message: ``1 (hub), 4 (saved_model_2), onnx``."""
    return ", ".join(str(version) if version == name else f"{version} ({name})" for version, name in versions.items())


def resolve_version(config: ModelConfig, format_: Format | None, version: int | None) -> tuple[Version, Format]:
    """The version and its format that ``--format`` and ``--version`` ask for; both default to what a row says.

    Raises:
        ConfigError: the model has no such version, or the version is of another format.
    """
    spec = FORMATS[format_ or DEFAULT_FORMAT]
    if version is not None and not spec.numbered:
        raise ConfigError(f"{spec.name} has no version numbers: leave out --version", status=USAGE)
    chosen: Version = version if version is not None else spec.default_version or spec.name
    found = config.all_versions.get(chosen)
    if found is None or (format_ and found != format_):
        numbered = f"version {chosen} in format {format_}" if format_ else f"version {chosen}"
        wanted = numbered if spec.numbered else f"format {format_}"
        raise ConfigError(f"{config.name} has no {wanted}: it has versions {listed(config.all_versions)}", status=USAGE)
    return chosen, found


def handle(config: ModelConfig, task: Task, version: Version) -> str:
    """The name an artifact was published under, for example ``google/imagenet/nasnet_large/classification/4``; that of
    a format without version numbers ends with its name.
    """
    return f"google/imagenet/{config.name}/{task}/{version}"


def short_name(model: str, task: Task, version: Version) -> str:
    """What a line calls an artifact, which has other things to say: ``nasnet_large classification/4``."""
    return f"{model} {task}/{version}"
