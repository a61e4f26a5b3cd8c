"""What a process found out, as arrays on disk: each is read when it is asked for, and equal ones are kept once.

Those of a large network are over 1 GB, and every signature of a TF1 Hub module gives the same end points again.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

#: Names and arrays, as they are found; in the place of one that was written before, its file (`LazyArrays.file`).
Found = Iterable[tuple[str, Any]]
#: The number of the file of each array, by its name, as JSON; the last thing that is written.
_PLACES = "places.json"
#: From this size on, in bytes, a file is mapped into memory instead of read.
_MAPPED = 2**16
#: The arrays that list variables.
_VARIABLE_NAMES = ("names", "trainable", "train/names", "gradients/names", "gradients/not_finite")


def save(folder: Path, arrays: Found) -> None:
    """Writes arrays into a new folder for `LazyArrays`, each as it comes: nothing need hold them all.

    Args:
        arrays: names and values; two of the same shape, type and bytes, or of the same file, are kept once.

    Raises:
        OSError: the folder is there already, or cannot be written.
    """
    folder.mkdir()
    places: dict[str, int] = {}
    known: dict[object, int] = {}
    for name, value in arrays:
        new = len(known)
        if isinstance(value, Path):
            places[name] = known.setdefault(value, new)
            if places[name] == new:
                _link(value, _file(folder, new))
            continue
        value = np.asarray(value)
        places[name] = known.setdefault((value.dtype.str, value.shape, digest(value)), new)
        if places[name] == new:
            np.save(_file(folder, new), value, allow_pickle=False)
    (folder / _PLACES).write_text(json.dumps(places), encoding="utf-8")


def _file(folder: Path, place: int) -> Path:
    return folder / f"{place}.npy"


def _link(old: Path, new: Path) -> None:
    try:
        os.link(old, new)
    except OSError:  # not all file systems can
        shutil.copyfile(old, new)


class LazyArrays(Mapping[str, np.ndarray]):
    """The arrays that `save` wrote into a folder, each read when it is asked for; not to be changed.

    Args:
        prefix: what to take off the names of variables; see `exporter.verification.compare.variables_prefix`.
    """

    def __init__(self, folder: Path, prefix: str = ""):
        self._folder, self._prefix = folder, prefix
        places = json.loads((folder / _PLACES).read_text(encoding="utf-8"))
        self._places = {self._without(name, prefix): place for name, place in places.items()}

    @staticmethod
    def _without(name: str, prefix: str) -> str:
        for part in ("before/", "moved/", "moved_by_default/"):
            if prefix and name.startswith(part + prefix):
                return part + name.removeprefix(part + prefix)
        return name

    def stored(self, name: str) -> str:
        """Where an array is: the same for two names only if the arrays are equal."""
        return str(self._places[name])

    def file(self, name: str) -> Path:
        """What `save` takes in the place of an array, without reading it."""
        return _file(self._folder, self._places[name])

    def __getitem__(self, name: str) -> np.ndarray:
        path = self.file(name)
        mapped = path.stat().st_size >= _MAPPED
        value = np.asarray(np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False))
        if self._prefix and name in _VARIABLE_NAMES:
            return np.array([variable.removeprefix(self._prefix) for variable in value.tolist()], str)
        return value

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def stored(arrays: Mapping[str, np.ndarray], name: str) -> str:
    """The same for two names only if the arrays are known to be equal."""
    return arrays.stored(name) if isinstance(arrays, LazyArrays) else name


def by_variable(arrays: Mapping[str, np.ndarray], names: str, values: str) -> dict[str, Any]:
    """Two of the arrays, of which one has the names of variables and the other something of each."""
    return dict(zip(arrays[names].tolist(), arrays[values].tolist(), strict=True))


def digest(value: np.ndarray) -> str:
    """The sha256 of an array's bytes, in hexadecimal."""
    return hashlib.sha256(np.ascontiguousarray(value).data).hexdigest()


Arrays = Mapping[str, np.ndarray]

#: Elements that are looked at together.
_CHUNK = 2**16


def chunks(value: np.ndarray) -> Iterator[np.ndarray]:
    """An array in parts that fit into a processor's cache: steps over all of a large one spend their time in memory."""
    flat = np.ravel(value)
    return (flat[start : start + _CHUNK] for start in range(0, flat.size, _CHUNK))
