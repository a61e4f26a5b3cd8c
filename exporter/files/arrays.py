"""A store of arrays on disk: each is read when it is asked for, and equal ones are kept once.

What processes hand over lies in one: the arrays of a large network are over 1 GB, and every signature of a TF1 Hub
module gives the same end points again. What the arrays mean is not known here.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

Arrays = Mapping[str, np.ndarray]

#: What tells the content of each file, in the order of their numbers, and the number of each array's by its name, as
#: JSON; the last thing that is written.
_INDEX = "files.json"
#: From this size on, in bytes, a file is mapped into memory instead of read.
_MAPPED = 2**16
#: Elements that are looked at together.
_CHUNK = 2**16


class ArrayWriter:
    """Writes arrays into a new folder for `ArrayStore`, each as it comes: nothing need hold them all.

    Use it as a context manager: the folder is a store when the ``with`` block ends without an error.

    Raises:
        OSError: the folder is there already, or cannot be written.
    """

    def __init__(self, folder: Path):
        folder.mkdir()
        self._folder = folder
        self._numbers: dict[str, int] = {}
        #: By their contents.
        self._known: dict[str, int] = {}

    def __enter__(self) -> "ArrayWriter":
        return self

    def __exit__(self, error: object, *_: object) -> None:
        if error is None:
            index = {"contents": list(self._known), "numbers": self._numbers}
            (self._folder / _INDEX).write_text(json.dumps(index), encoding="utf-8")

    def write(self, name: str, value: Any) -> None:
        """Keeps a value; two of the same shape, type and bytes are kept once."""
        value = np.asarray(value)
        path = self._new(name, f"{value.dtype.str} {value.shape} {digest(value)}")
        if path:
            np.save(path, value, allow_pickle=False)

    def link(self, name: str, store: "ArrayStore", other: str) -> None:
        """Keeps the array ``other`` of another store, without reading it."""
        old = store.file(other)
        new = self._new(name, store.content(other))
        if new:
            try:
                os.link(old, new)
            except OSError:  # not all file systems can
                shutil.copyfile(old, new)

    def alias(self, name: str, other: str) -> None:
        """Gives the array ``other``, which was written before, one more name."""
        self._numbers[name] = self._numbers[other]

    @property
    def names(self) -> list[str]:
        """What was written so far, in order."""
        return list(self._numbers)

    def _new(self, name: str, content: str) -> Path | None:
        """The file to write for an array; None where an equal one has one."""
        new = len(self._known)
        self._numbers[name] = self._known.setdefault(content, new)
        return _file(self._folder, new) if self._numbers[name] == new else None


def _file(folder: Path, number: int) -> Path:
    return folder / f"{number}.npy"


class ArrayStore(Mapping[str, np.ndarray]):
    """The arrays that an `ArrayWriter` wrote into a folder, each read when it is asked for; not to be changed."""

    def __init__(self, folder: Path):
        self._folder = folder
        index = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
        self._numbers: dict[str, int] = index["numbers"]
        self._contents: list[str] = index["contents"]

    def file(self, name: str) -> Path:
        """The file of an array."""
        return _file(self._folder, self._numbers[name])

    def content(self, name: str) -> str:
        """The same for two arrays, of this store or of any, if they are equal, and only then."""
        return self._contents[self._numbers[name]]

    def __getitem__(self, name: str) -> np.ndarray:
        path = self.file(name)
        mapped = path.stat().st_size >= _MAPPED
        return np.asarray(np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False))

    def __contains__(self, name: object) -> bool:
        return name in self._numbers

    def __iter__(self) -> Iterator[str]:
        return iter(self._numbers)

    def __len__(self) -> int:
        return len(self._numbers)


class ArrayGroup(Mapping[str, np.ndarray]):
    """Some of the arrays of a store, or of another mapping, under names of their own.

    Args:
        names: by the name that an array has here, the one that it has there.
    """

    def __init__(self, arrays: Arrays, names: Mapping[str, str]):
        self._arrays, self._names = arrays, names

    def __getitem__(self, name: str) -> np.ndarray:
        return self._arrays[self._names[name]]

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def content(self, name: str) -> str | None:
        """The same for two arrays of any stores if they are equal, and only then; None for an array of no store."""
        return self._arrays.content(self._names[name]) if isinstance(self._arrays, ArrayStore) else None


def below(arrays: Arrays, prefix: str, without: tuple[str, ...] = ()) -> ArrayGroup:
    """The arrays whose names begin with a prefix, by what follows it, which begins with none of ``without``."""
    names = {name.removeprefix(prefix): name for name in arrays if name.startswith(prefix)}
    return ArrayGroup(arrays, {name: other for name, other in names.items() if not name.startswith(without)})


def digest(value: np.ndarray) -> str:
    """The sha256 of an array's bytes, in hexadecimal."""
    return hashlib.sha256(np.ascontiguousarray(value).data).hexdigest()


def chunks(value: np.ndarray) -> Iterator[np.ndarray]:
    """An array in parts that fit into a processor's cache: steps over all of a large one spend their time in memory."""
    flat = np.ravel(value)
    return (flat[start : start + _CHUNK] for start in range(0, flat.size, _CHUNK))
