"""Reads a checkpoint of any of the layouts that training leaves, and maps it to what a network needs."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from exporter.checkpoint.synthetic import MARKER, Floats
from exporter.errors import CheckpointError
from exporter.models import config as configs
from exporter.models.config import ModelConfig
from exporter.models.variables import VariableSpec, all_variables

AVERAGE = "/ExponentialMovingAverage"
#: Optimizer slots and counters that a training run leaves; never exported, never worth a warning.
_SLOTS = ("/RMSProp", "/RMSProp_1", "/Momentum")
_COUNTERS = ("global_step",)
#: What TensorFlow's reader raises for files that are damaged; IndexError for those that are cut short.
_READ_ERRORS = (tf.errors.OpError, ValueError, RuntimeError, IndexError)


@dataclass(frozen=True)
class NameMapping:
    """Where each of a network's variables is in a checkpoint.

    ``names`` maps a variable's name to the name in the file. ``layout`` is "plain" (no averages), "averages" (averages
    and no plain name beside them) or "training" (both). ``averages`` counts the variables taken from an average, of
    which ``averaged_statistics`` are moving statistics; ``unaveraged`` trained variables have none although others do.
    ``left_out`` counts the training state, auxiliary head and plain values passed over; ``unexpected`` lists what
    nobody asked for.
    """

    names: dict[str, str]
    layout: str
    averages: int
    averaged_statistics: int
    unaveraged: int
    left_out: int
    unexpected: tuple[str, ...]


class Checkpoint:
    """A checkpoint opened for one model.

    Attributes:
        mapping: see `NameMapping`.
        shapes: of all that the file holds, by name.
        synthetic: how it was made, where nasexport made it ({"model", "seed", "layout"}); None for any other.

    Raises:
        CheckpointError: it cannot be read, lacks variables of the model, or has them in another shape or type.
    """

    def __init__(self, prefix: Path, config: ModelConfig, specs: list[VariableSpec]):
        self.prefix = prefix
        self._specs = specs
        try:
            self._reader = tf.train.load_checkpoint(str(prefix))
            shapes = {name: tuple(shape) for name, shape in self._reader.get_variable_to_shape_map().items()}
            types = self._reader.get_variable_to_dtype_map()
        except _READ_ERRORS as error:
            raise _unreadable(prefix, error) from error
        self.synthetic: dict[str, Any] | None = self._marker() if MARKER in shapes else None
        shapes.pop(MARKER, None)
        self.shapes = shapes
        self.mapping = map_names(config, specs, shapes)
        for spec in specs:
            name = self.mapping.names[spec.name]
            if shapes[name] != spec.shape:
                raise CheckpointError(
                    f"{prefix.name}: {name} has shape {_text(shapes[name])}, but {config.name} needs "
                    f"{_text(spec.shape)}{_looks_like(config, shapes)}"
                )
            if types[name] != tf.float32:
                raise CheckpointError(f"{prefix.name}: {name} is of type {types[name].name}, expected float32")

    def values(self) -> Iterator[tuple[VariableSpec, Floats]]:
        """Every variable with its value, read one after the other, each checked to be finite.

        Raises:
            CheckpointError: a value is damaged (its checksum does not match), cut off, or not finite.
        """
        for spec in self._specs:
            yield spec, self.read(self.mapping.names[spec.name])

    def read(self, name: str) -> Floats:
        """The value under that name in the file.

        Raises:
            CheckpointError: as for `values`.
        """
        try:
            value = self._reader.get_tensor(name)
        except _READ_ERRORS as error:
            raise _unreadable(self.prefix, error, name) from error
        self._require_finite(name, value)
        return value

    def tensors(self) -> dict[str, Any]:
        """Every variable's value by its name, as tensors, read at once: their memory is all that it takes.

        Raises:
            CheckpointError: as for `values`.
        """
        names = [self.mapping.names[spec.name] for spec in self._specs]
        try:
            tensors = tf.raw_ops.RestoreV2(
                prefix=str(self.prefix),
                tensor_names=names,
                shape_and_slices=[""] * len(names),
                dtypes=[tf.float32] * len(names),
            )
        except _READ_ERRORS as error:
            # It does not say which one it was.
            for _ in self.values():
                pass
            raise _unreadable(self.prefix, error) from error
        for name, tensor in zip(names, tensors, strict=True):
            self._require_finite(name, tensor.numpy())
        return {spec.name: tensor for spec, tensor in zip(self._specs, tensors, strict=True)}

    def _require_finite(self, name: str, value: Floats) -> None:
        if not np.isfinite(value).all():
            count = int(np.size(value) - np.isfinite(value).sum())
            raise CheckpointError(f"{self.prefix.name}: {name} holds {count} values that are not finite (NaN or Inf)")

    def _marker(self) -> dict[str, Any]:
        try:
            return dict(json.loads(self._reader.get_tensor(MARKER)))
        except (*_READ_ERRORS, TypeError) as error:
            raise _unreadable(self.prefix, error, MARKER) from error


def map_names(config: ModelConfig, specs: list[VariableSpec], shapes: Mapping[str, tuple[int, ...]]) -> NameMapping:
    """Finds each variable under its average's name or its own; the average wins.

    Raises:
        CheckpointError: a variable is there under neither; the message says which model the file looks like.
    """
    names = {spec.name: spec.name + AVERAGE if spec.name + AVERAGE in shapes else spec.name for spec in specs}
    missing = [name for name, found in names.items() if found not in shapes]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise CheckpointError(
            f"the checkpoint lacks {missing[0]}{more} of the {len(specs)} variables of {config.name}"
            f"{_looks_like(config, shapes)}"
        )
    averaged = [spec for spec in specs if names[spec.name] != spec.name]
    both = any(spec.name in shapes for spec in averaged)
    others = set(shapes) - set(names.values())
    known = {*_COUNTERS, *(spec.name for spec in all_variables(config))}
    left_out = {name for name in others if without_slot(name) in known}
    return NameMapping(
        names=names,
        layout="training" if both else "averages" if averaged else "plain",
        averages=len(averaged),
        averaged_statistics=sum(not spec.trainable for spec in averaged),
        unaveraged=sum(spec.trainable for spec in specs if names[spec.name] == spec.name) if averaged else 0,
        left_out=len(left_out),
        unexpected=tuple(sorted(others - left_out)),
    )


def without_slot(name: str) -> str:
    """The variable that an average or an optimizer's slot belongs to."""
    for suffix in (AVERAGE, *_SLOTS):
        name = name.removesuffix(suffix)
    return name


def _looks_like(config: ModelConfig, shapes: Mapping[str, tuple[int, ...]]) -> str:
    """Says which known model a checkpoint fits, where it is another than the one asked for."""

    def fit(candidate: ModelConfig) -> float:
        specs = [spec for spec in all_variables(candidate) if spec.role == "feature"]
        hits = sum(spec.shape in (shapes.get(spec.name), shapes.get(spec.name + AVERAGE)) for spec in specs)
        return hits / len(specs)

    fits = {candidate.name: fit(candidate) for candidate in configs.models().values()}
    best = max(fits, key=lambda name: fits[name])
    if best != config.name and fits[best] > 0.9:
        return f": it looks like {best}'s checkpoint"
    if max(fits[best], fit(config)) < 0.1:
        return ": it looks like no model that nasexport knows"
    return ""


def _text(shape: tuple[int, ...]) -> str:
    return "[" + ", ".join(map(str, shape)) + "]"


def _unreadable(prefix: Path, error: Exception, name: str = "") -> CheckpointError:
    reason = " ".join(str(error).split())[:200]
    what = f"{prefix.name}: {name} cannot be read" if name else f"the checkpoint {prefix.name} cannot be opened"
    return CheckpointError(f"{what}: its files are damaged or cut short, get them again\n({reason})")
