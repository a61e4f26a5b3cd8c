"""What a process found out, as arrays on disk: each is read when it is asked for, and equal ones are kept once.

Those of a large network are over 1 GB, and every signature of a TF1 Hub module gives the same end points again.
"""

import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from exporter.digests import digest

#: Names and arrays, as they are found.
Found = Iterable[tuple[str, Any]]
#: The array of an ``.npz`` that has, as JSON, the names of those that are kept under another name.
_ALIASES = "aliases"
#: The arrays that list variables.
_VARIABLE_NAMES = ("names", "trainable", "train/names", "gradients/names", "gradients/not_finite")


def save(path: Path, arrays: Found) -> None:
    """Writes arrays into an ``.npz`` for `LazyArrays`, each as it comes: nothing need hold them all.

    Args:
        arrays: names and values; two of the same shape, type and bytes are kept once.
    """
    aliases: dict[str, str] = {}
    known: dict[tuple[str, tuple[int, ...], str], str] = {}
    with zipfile.ZipFile(path, "w") as file:
        for name, value in arrays:
            value = np.asarray(value)
            first = known.setdefault((value.dtype.str, value.shape, digest(value)), name)
            if first == name:
                _write(file, name, value)
            else:
                aliases[name] = first
        _write(file, _ALIASES, np.array(json.dumps(aliases)))


def _write(file: zipfile.ZipFile, name: str, value: np.ndarray) -> None:
    with file.open(f"{name}.npy", "w", force_zip64=True) as stream:
        np.lib.format.write_array(stream, value, allow_pickle=False)


class LazyArrays(Mapping[str, np.ndarray]):
    """The arrays of an ``.npz`` file, each read when it is asked for.

    Args:
        prefix: what to take off the names of variables; see `exporter.comparison.variables_prefix`.
    """

    def __init__(self, path: Path, prefix: str = ""):
        self._file = np.load(path, allow_pickle=False)
        aliases = json.loads(str(self._file[_ALIASES])) if _ALIASES in self._file.files else {}
        stored = {**{name: name for name in self._file.files if name != _ALIASES}, **aliases}
        self._names = {self._without(name, prefix): where for name, where in stored.items()}
        self._prefix = prefix

    @staticmethod
    def _without(name: str, prefix: str) -> str:
        for part in ("before/", "moved/", "moved_by_default/"):
            if prefix and name.startswith(part + prefix):
                return part + name.removeprefix(part + prefix)
        return name

    def stored(self, name: str) -> str:
        """Where an array is: the same for two names only if the arrays are equal."""
        return self._names[name]

    def __getitem__(self, name: str) -> np.ndarray:
        value = self._file[self._names[name]]
        if self._prefix and name in _VARIABLE_NAMES:
            return np.array([variable.removeprefix(self._prefix) for variable in value.tolist()], str)
        return value

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def stored(arrays: Mapping[str, np.ndarray], name: str) -> str:
    """The same for two names only if the arrays are known to be equal."""
    return arrays.stored(name) if isinstance(arrays, LazyArrays) else name
