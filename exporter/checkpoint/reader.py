"""Reads a checkpoint of any of the layouts that training leaves, and maps it to what a network needs."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from exporter.checkpoint.names import MARKER, _looks_like, map_names
from exporter.checkpoint.synthetic import Floats
from exporter.errors import CheckpointError
from exporter.models.config import ModelConfig
from exporter.models.variables import VariableSpec

#: What TensorFlow's reader raises for files that are damaged; IndexError for those that are cut short.
_READ_ERRORS = (tf.errors.OpError, ValueError, RuntimeError, IndexError)


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


def _text(shape: tuple[int, ...]) -> str:
    return "[" + ", ".join(map(str, shape)) + "]"


def _unreadable(prefix: Path, error: Exception, name: str = "") -> CheckpointError:
    reason = " ".join(str(error).split())[:200]
    what = f"{prefix.name}: {name} cannot be read" if name else f"the checkpoint {prefix.name} cannot be opened"
    return CheckpointError(f"{what}: its files are damaged or cut short, get them again\n({reason})")
