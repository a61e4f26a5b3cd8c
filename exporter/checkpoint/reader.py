"""Reads a checkpoint of any of the layouts that training leaves, and maps it to what a network needs."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from exporter.checkpoint import synthetic
from exporter.checkpoint.names import MARKER, looks_like, map_names
from exporter.checkpoint.stored import Stored
from exporter.checkpoint.synthetic import Floats
from exporter.errors import CheckpointError
from exporter.models.config import ModelConfig
from exporter.models.variables import VariableSpec


class Checkpoint:
    """A checkpoint opened for one model.

    Args:
        stored: the same checkpoint, where it is open already.

    Attributes:
        prefix: its path, as the user knows it.
        mapping: see `NameMapping`.
        keys: where each variable that is wanted is in the files.
        shapes: of all that it holds, by name.
        synthetic: how it was made, where nasexport made it ({"model", "seed", "layout"}, or only the seed where the
            values tell that alone); None for any other.

    Raises:
        CheckpointError: it cannot be read, is not one of the model's network, or has variables of it in another shape
            or type.
    """

    def __init__(self, prefix: Path, config: ModelConfig, specs: list[VariableSpec], stored: Stored | None = None):
        self.prefix = prefix
        self._specs = specs
        self._stored = stored = stored or Stored(prefix)
        self.shapes = {name: shape for name, shape in stored.shapes.items() if name != MARKER}
        self._require_one_of_each()
        try:
            self.mapping = map_names(config, specs, self.shapes)
        except CheckpointError as error:
            raise CheckpointError(f"{error}{self._how_named()}") from error
        self.keys = {spec.name: stored.keys[self.mapping.names[spec.name]] for spec in specs}
        for spec in specs:
            name = self.mapping.names[spec.name]
            if self.shapes[name] != spec.shape:
                raise CheckpointError(
                    f"{prefix.name}: {name} has shape {_text(self.shapes[name])}, but {config.name} needs "
                    f"{_text(spec.shape)}{looks_like(config, self.shapes)}"
                )
            if stored.types[name] != "float32":
                raise CheckpointError(f"{prefix.name}: {name} is of type {stored.types[name]}, expected float32")
        self.synthetic = self._marker() if MARKER in stored.shapes else self._recognized()

    @property
    def path(self) -> str:
        """The prefix for TensorFlow's functions; see `exporter.checkpoint.values.Values.path`."""
        return self._stored.path

    def values(self) -> Iterator[tuple[VariableSpec, Floats]]:
        """Every variable with its value, read one after the other, each checked to be finite.

        After the last of them all that nobody wants is read as well: see `others`.

        Raises:
            CheckpointError: a value is damaged (its checksum does not match), cut off, or not finite.
        """
        for spec in self._specs:
            yield spec, self._value(spec)
        for _ in self.others():
            pass

    def arrays(self) -> dict[str, Floats]:
        """Every variable's value by its name, after all that nobody wants was read as well: see `values`.

        Raises:
            CheckpointError: as for `values`.
        """
        return {spec.name: value for spec, value in self.values()}

    def tensors(self) -> dict[str, Any]:
        """The same as tensors, read at once by TensorFlow: their memory is all that it takes, where arrays are copied.

        Raises:
            CheckpointError: as for `values`.
        """
        import tensorflow as tf

        keys = [self.keys[spec.name] for spec in self._specs]
        try:
            tensors = tf.raw_ops.RestoreV2(
                prefix=self.path,
                tensor_names=keys,
                shape_and_slices=[""] * len(keys),
                dtypes=[tf.float32] * len(keys),
            )
        except (tf.errors.OpError, ValueError, RuntimeError) as error:
            # It does not say which one it was.
            for _ in self.values():
                pass
            problem = ValueError(str(error).replace(self.path, self.prefix.name))
            raise self._stored.unreadable(problem) from error
        for spec, tensor in zip(self._specs, tensors, strict=True):
            self.require_finite(self.mapping.names[spec.name], tensor.numpy())
        for _ in self.others():
            pass
        return {spec.name: tensor for spec, tensor in zip(self._specs, tensors, strict=True)}

    def others(self) -> Iterator[tuple[str, Any]]:
        """All that the checkpoint holds besides, by name, read one after the other.

        Nothing is made of it, but its checksums are checked: where one bit of a file is wrong, others may be.

        Raises:
            CheckpointError: one is damaged or cut off.
        """
        wanted = set(self.mapping.names.values())
        for name in self._stored.keys:
            if name not in wanted:
                yield name, self._stored.read(name)

    def everything(self) -> Iterator[tuple[str, Any]]:
        """All that the checkpoint holds, by name: what is wanted, which is checked to be finite, then `others`.

        Raises:
            CheckpointError: as for `values`.
        """
        for spec in self._specs:
            yield self.mapping.names[spec.name], self._value(spec)
        yield from self.others()

    def require_finite(self, name: str, value: Any) -> None:
        """Raises CheckpointError for a value that is infinite, or not a number."""
        if not np.isfinite(value).all():
            count = int(np.size(value) - np.isfinite(value).sum())
            raise CheckpointError(f"{self.prefix.name}: {name} holds {count} values that are not finite (NaN or Inf)")

    def _value(self, spec: VariableSpec) -> Floats:
        name = self.mapping.names[spec.name]
        value = self._stored.read(name)
        self.require_finite(name, value)
        return value

    def _require_one_of_each(self) -> None:
        for name, keys in self._stored.ambiguous.items():
            components = name.split("/")
            below = {"/".join(components[start:]) for start in range(len(components))}
            if any(spec.name in below for spec in self._specs):
                raise CheckpointError(
                    f"{self.prefix.name} holds {name} {len(keys)} times, under {' and '.join(keys[:3])}:\n"
                    f"nothing tells which of them is meant"
                )

    def _how_named(self) -> str:
        if not self._stored.object_based:
            return ""
        shown = next((name for name, shape in self.shapes.items() if shape), "none")
        return f"\n(it is object-based, as of tf.train.Checkpoint or Keras, with names such as {shown})"

    def _marker(self) -> dict[str, Any]:
        try:
            return dict(json.loads(self._stored.read(MARKER)))
        except (ValueError, TypeError) as error:
            raise self._stored.unreadable(error, MARKER) from error

    def _recognized(self) -> dict[str, Any] | None:
        """How it was made, by its values alone, where somebody has taken the marker away."""
        telling = [spec for spec in self._specs if spec.name.endswith(synthetic.TELLING)][:3]
        seeds = [synthetic.seed_of(spec, self._value(spec)) for spec in telling]
        return next(({"seed": seed} for seed in seeds if seed is not None), None)


def _text(shape: tuple[int, ...]) -> str:
    return "[" + ", ".join(map(str, shape)) + "]"
