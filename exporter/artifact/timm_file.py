"""Reads the folder of weights for timm without running it: the variables in it, what it says of itself."""

import functools
import json
from collections.abc import Callable, Mapping
from math import prod
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from exporter.artifact import timm
from exporter.artifact.jobs import Inspection, SignatureFacts, TensorFacts, VariableFacts, VariablesFacts
from exporter.artifact.timm_names import CLASSIFIER, NETWORKS, parameter_name
from exporter.artifact.torch_axes import axes
from exporter.errors import ArtifactError
from exporter.models.cells import FamilyName
from exporter.models.config import ModelConfig, models
from exporter.models.formats import TIMM, TIMM_FILES
from exporter.models.variables import variables
from exporter.validation import MOST_JSON, parse_json, read

_COUNTER = ".num_batches_tracked"
#: Types of safetensors, as NumPy calls them.
_DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64"}


class TimmFolder:
    """Weights for timm; values are read when they are asked for.

    ``described`` is what ``config.json`` says. ``stored`` has the name in ``model.safetensors`` of each variable by its
    name in the checkpoint, ``others`` are the names of all else that is there and that counts no batches.

    Raises:
        ArtifactError: it is damaged, or of none of these networks.
    """

    def __init__(self, folder: Path):
        weights, config = (folder / name for name in TIMM_FILES)
        self.path = weights
        self.described = _described(config)
        own = known_names(self.described.get("architecture"))
        if own is None:
            expected = " or ".join(network.architecture for network in NETWORKS.values())
            raise ArtifactError(
                f"{config} has the architecture {self.described.get('architecture')}, expected {expected}"
            )
        self._kinds = self._opened(_kinds)
        self.stored = {known: name for name, known in own.items() if name in self._kinds}
        counters = [name for name in self._kinds if name.endswith(_COUNTER)]
        self.others = sorted(self._kinds.keys() - {*self.stored.values(), *counters})
        self._counters = counters

    def kind(self, variable: str) -> tuple[str, tuple[int, ...]]:
        """Type and shape of a variable in the checkpoint's axes."""
        dtype, shape = self._kinds[self.stored[variable]]
        return _DTYPES.get(dtype, dtype), tuple(shape[axis] for axis in _back(variable, len(shape)))

    def value(self, variable: str) -> NDArray[Any]:
        """The value of a variable in the checkpoint's axes."""
        return next(iter(self.values([variable]).values()))

    def values(self, names: list[str]) -> dict[str, NDArray[Any]]:
        """The values of variables in the checkpoint's axes."""

        def read_all(file: Any) -> dict[str, NDArray[Any]]:
            return {name: file.get_tensor(self.stored[name]) for name in names}

        found = self._opened(read_all)
        return {name: np.ascontiguousarray(value.transpose(_back(name, value.ndim))) for name, value in found.items()}

    def counted_batches(self) -> int:
        """The largest count of batches that a batch norm says it was trained with."""
        return self._opened(lambda file: max((int(file.get_tensor(name).max()) for name in self._counters), default=0))

    def _opened(self, function: Callable[[Any], Any]) -> Any:
        return _opened(self.path, function)


def _opened(path: Path, function: Callable[[Any], Any]) -> Any:
    try:
        with safe_open(path, framework="numpy") as file:
            return function(file)
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {error.strerror or error}") from error
    except (SafetensorError, TypeError, ValueError) as error:
        raise ArtifactError(f"{path} is damaged: {error}") from error


@functools.cache
def known_names(architecture: str | None) -> dict[str, str] | None:
    """The checkpoint's names by those of timm's network; None for a network of no family of these."""
    for family, network in NETWORKS.items():
        if network.architecture == architecture:
            # Names depend on the number of cells alone, which is always the same.
            specs = variables(_like(family), "classification")
            return {parameter_name(spec.name, network): spec.name for spec in specs}
    return None


def _like(family: FamilyName) -> ModelConfig:
    """A network of a family that timm has."""
    fixed = NETWORKS[family].fixed
    return next(each for each in models().values() if each.family == family and _fits(each, fixed))


class StoredVariables:
    """The variables that ``model.safetensors`` stores, as `exporter.diff.stored.Stored` wants them.

    Raises:
        ArtifactError: it is damaged.
    """

    def __init__(self, folder: Path, count: int):
        self._folder = TimmFolder(folder)

    @property
    def names(self) -> list[str]:
        return sorted(self._folder.stored)

    def read(self, name: str) -> NDArray[Any]:
        return self._folder.value(name)

    def kind(self, name: str) -> str:
        dtype, shape = self._folder.kind(name)
        return f"{dtype} {list(shape)}"


def complete(weights: Path, folder: Path) -> None:
    """Writes the ``config.json`` of a lone file of weights: the one that lies beside it, or else what its weights say.

    Raises:
        ArtifactError: it is damaged, or has the weights of none of these networks.
    """
    name = TIMM_FILES[1]
    beside = weights.parent / name
    if beside.is_file():
        (folder / name).symlink_to(beside.absolute())
        return
    kinds = _opened(weights, _kinds)
    family = next((name for name, each in NETWORKS.items() if f"{each.stem}.conv.weight" in kinds), None)
    if family is None:
        expected = " or ".join(each.architecture for each in NETWORKS.values())
        raise ArtifactError(f"{weights} has the weights of another network: expected those of timm's {expected}")
    (folder / name).write_text(json.dumps(_told_by_weights(weights, family, kinds)), encoding="utf-8")


def _told_by_weights(weights: Path, family: FamilyName, kinds: Mapping[str, Any]) -> dict[str, Any]:
    """What `exporter.artifact.timm.describe` says of the published network that has these weights, or of one like it
    with other numbers of filters and classes.
    """
    config, stem = _like(family), f"{NETWORKS[family].stem}.conv.weight"
    widest = f"cell_{config.num_cells - 1}.conv_1x1.conv.weight"
    for name in (stem, widest):
        if name not in kinds:
            architecture = NETWORKS[family].architecture
            raise ArtifactError(f"{weights} lacks {name}: expected the weights of timm's {architecture}")
    filters = kinds[widest][1][0] // 2 ** len(config.reductions)
    own = msgspec.structs.replace(config, stem_filters=kinds[stem][1][0], num_conv_filters=filters)
    if f"{CLASSIFIER}.bias" not in kinds:
        return timm.describe(own, "feature_vector")
    return timm.describe(msgspec.structs.replace(own, num_classes=kinds[f"{CLASSIFIER}.bias"][1][0]), "classification")


def describe(folder: Path) -> Inspection:
    """What ``nasexport inspect`` shows of weights for timm.

    Raises:
        ArtifactError: it is damaged, or of another network than these.
    """
    found = TimmFolder(folder)
    pretrained = found.described.get("pretrained_cfg") or {}
    size = pretrained.get("input_size") or [None] * 3
    kinds = {name: found.kind(name) for name in found.stored}
    listed = tuple(VariableFacts(name, dtype, shape, not _moves(name)) for name, (dtype, shape) in kinds.items())
    classes = found.described.get("num_classes")
    output = TensorFacts("float32", (None, classes or found.described.get("num_features")))
    signature = SignatureFacts({"x": TensorFacts("float32", (None, *size))}, {"": output})
    return Inspection(
        path=str(folder),
        format=TIMM.name,
        handle=None,
        tag_sets=(),
        signatures={"": {"forward": signature}},
        functions={},
        image_size=size[1] if size[1] == size[2] else None,
        variables=VariablesFacts(
            len(listed),
            sum(bool(variable.trainable) for variable in listed),
            sum(prod(shape) for _, shape in kinds.values()),
            listed,
        ),
        bytes=sum((folder / name).stat().st_size for name in TIMM_FILES),
        oldest_tensorflow=None,
        findings=(),
        written_by=None,
        tensorflow_version="",
        source=None,
        options=None,
        verified=None,
        readers=f"timm, as {found.described['architecture']}",
    )


def _kinds(file: Any) -> dict[str, tuple[str, tuple[int, ...]]]:
    slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118, it is no mapping
    return {name: (each.get_dtype(), tuple(each.get_shape())) for name, each in slices.items()}


def _described(path: Path) -> dict[str, Any]:
    def damaged(problem: str) -> ArtifactError:
        return ArtifactError(f"{path} is damaged: {problem}")

    try:
        found = parse_json(read(path, MOST_JSON, damaged), damaged)
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {error.strerror}") from error
    if not isinstance(found, dict):
        raise damaged("it is no JSON object")
    return found


def _fits(config: Any, fixed: dict[str, Any]) -> bool:
    return all(getattr(config, field) == value for field, value in fixed.items())


def _moves(name: str) -> bool:
    return "/moving_" in name


def _back(variable: str, dimensions: int) -> tuple[int, ...]:
    """What takes the axes of a stored value to the checkpoint's."""
    order = axes(variable)
    if order is None or len(order) != dimensions:
        return tuple(range(dimensions))
    return tuple(int(axis) for axis in np.argsort(order))
