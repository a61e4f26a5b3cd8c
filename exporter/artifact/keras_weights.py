"""The values in ``model.keras``, by the names of variables in the checkpoint."""

import contextlib
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from math import prod
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from exporter.artifact.keras import scope_of
from exporter.artifact.keras_archive import KerasFile, copy, damaged, expands, read
from exporter.artifact.keras_file import WEIGHTS_FILE, group_name

#: What the checkpoint calls the weights of each kind of layer, in Keras's order.
LEAVES = {
    "Conv2D": ("weights", "biases"),
    "DepthwiseConv2D": ("depthwise_weights", "biases"),
    "SeparableConv2D": ("depthwise_weights", "pointwise_weights", "biases"),
    "BatchNormalization": ("gamma", "beta", "moving_mean", "moving_variance"),
    "Dense": ("weights", "biases"),
}


class Weights:
    """The values that a file stores; a context manager, since a copy of them lies in a temporary file.

    Those of layers of another kind than `LEAVES` have numbers for the last part of their names.

    Raises:
        ArtifactError: the file is damaged, or keeps values in other files.
    """

    def __init__(self, file: KerasFile):
        self._path = file.path
        with contextlib.ExitStack() as stack:
            # HDF5 has to jump about, which a member of a zip file cannot.
            plain = stack.enter_context(tempfile.TemporaryFile())
            copy(file.path, WEIGHTS_FILE, plain)
            try:
                self._file = stack.enter_context(h5py.File(plain, "r"))
            except OSError as error:
                raise damaged(file.path, "its weights are no HDF5 file") from error
            self._found = dict(self._named(file.layers))
            self._open = stack.pop_all()

    def __enter__(self) -> "Weights":
        return self

    def __exit__(self, *exception: object) -> None:
        self._open.close()

    @property
    def names(self) -> list[str]:
        """The names of all, in the order of the layers."""
        return list(self._found)

    @property
    def count(self) -> int:
        """How many values the file has, those of no layer included."""
        held: list[str] = []
        self._file.visititems(lambda name, item: held.append(name) if isinstance(item, h5py.Dataset) else None)
        return len(held)

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(self._found[name].shape)

    def dtype(self, name: str) -> str:
        return str(self._found[name].dtype)

    def value(self, name: str) -> NDArray[Any]:
        """Raises ArtifactError where it is damaged."""
        try:
            return np.asarray(self._found[name][()])
        except (OSError, ValueError) as error:
            raise damaged(self._path, f"{name} cannot be read") from error

    def _named(self, layers: Sequence[dict[str, Any]]) -> Iterator[tuple[str, Any]]:
        numbers: Counter[str] = Counter()
        for layer in layers:
            kind, options = layer["class_name"], layer["config"]
            group = group_name(kind, numbers)
            leaves = [
                leaf
                for leaf in LEAVES.get(kind, ())
                if options.get({"gamma": "scale", "beta": "center"}.get(leaf, ""), True)
            ]
            for index, dataset in enumerate(self._datasets(f"{group}/vars")):
                leaf = leaves[index] if index < len(leaves) else str(index)
                yield f"{scope_of(layer['name'])}/{leaf}", dataset

    def _datasets(self, group: str) -> Iterator[Any]:
        """The values in a group, in their order; none where it is not there."""
        held: Any = self._file
        for part in group.split("/"):
            if part not in held:
                return
            held = self._own(held, part, h5py.Group)
        for index in range(len(held)):
            if str(index) not in held:
                raise damaged(self._path, f"its weights lack {group}/{index}")
            dataset = self._own(held, str(index), h5py.Dataset)
            if dataset.external or dataset.is_virtual:
                raise damaged(self._path, f"its weights keep {group}/{index} in another file")
            if expands(prod(dataset.shape) * dataset.dtype.itemsize, dataset.id.get_storage_size()):
                raise damaged(self._path, f"{group}/{index} of its weights is larger than what is stored of it")
            yield dataset

    def _own(self, group: Any, name: str, kind: Any) -> Any:
        """A part of a group, which must be in this file."""
        if not isinstance(group.get(name, getlink=True), h5py.HardLink) or not isinstance(group[name], kind):
            raise damaged(self._path, f"{name} of its weights is no {kind.__name__.lower()} of this file")
        return group[name]


class StoredVariables:
    """The variables that ``model.keras`` stores, as `exporter.diff.stored.Stored` wants them.

    Raises:
        ArtifactError: it is damaged.
    """

    def __init__(self, folder: Path, count: int):
        self._weights = Weights(read(folder))

    @property
    def names(self) -> list[str]:
        return sorted(self._weights.names)

    def read(self, name: str) -> NDArray[Any]:
        return self._weights.value(name)

    def kind(self, name: str) -> str:
        return f"{self._weights.dtype(name)} {list(self._weights.shape(name))}"
