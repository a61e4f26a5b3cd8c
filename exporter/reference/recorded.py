"""Recorded references: what a network gave once, in a file that later verifications compare with.

A file belongs to one checkpoint, by `key`. It may be whole, as ``nasexport reference record`` writes it, or hold
outputs alone, as those do that were recorded with the original networks under TensorFlow 1.15.5 and ship with the
package (``configs/references/``).

Beside the arrays of `exporter.reference.result.Reference.condensed` there is ``facts``, JSON: ``model``,
``recorded_with``, ``files`` (their sha256).
"""

import hashlib
import json
import zipfile
from collections.abc import Iterable, Mapping
from math import prod
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.lib import format as npy

from exporter.errors import ArtifactError, CacheError, NasexportError
from exporter.files import staging
from exporter.files.arrays import Arrays
from exporter.files.hashing import Sha256
from exporter.models.config import ModelConfig
from exporter.reference.result import TEXTS, Reference, missing_from_whole, shapes
from exporter.resources import resource
from exporter.settings import Settings
from exporter.validation import convert, parse_json

_FACTS = "facts"
_TEXTS = (_FACTS, *TEXTS)
#: Of a file, and of an array in it: that of the largest network has less than a tenth.
_MOST_BYTES = 2**24


class Facts(msgspec.Struct, frozen=True):
    """What a recorded reference is of; see this module."""

    model: str
    recorded_with: str
    files: dict[str, Sha256]


def key(files: Mapping[str, str]) -> str:
    """What names the reference of a checkpoint: the sha256 of its files' hashes, whatever the files are called."""
    return hashlib.sha256("\n".join(sorted(files.values())).encode()).hexdigest()


def folders(settings: Settings) -> list[Path]:
    """Where references are looked for: those that ship, then the cache."""
    return [_shipped_folder(), settings.cache / "references"]


def find(files: Mapping[str, str], settings: Settings) -> Path | None:
    """The reference of the checkpoint with these files, if there is one."""
    return _found(files, folders(settings))


def shipped(files: Mapping[str, str]) -> Path | None:
    """The same where it ships with the package."""
    return _found(files, [_shipped_folder()])


def _found(files: Mapping[str, str], folders: Iterable[Path]) -> Path | None:
    paths = (folder / f"{key(files)}.npz" for folder in folders)
    return next((path for path in paths if path.is_file()), None)


def _shipped_folder() -> Path:
    return resource("configs") / "references"


def save(path: Path, arrays: Arrays, facts: dict[str, Any]) -> None:
    """Writes arrays of a reference (`exporter.reference.result`); the same arrays and facts give the same bytes.

    Raises:
        CacheError: it cannot be written.
    """
    content = {**{name: arrays[name] for name in arrays}, _FACTS: np.array(json.dumps(facts, sort_keys=True))}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with staging.replacing(path) as temporary, open(temporary, "wb") as file:
            np.savez_compressed(file, **content)  # type: ignore[arg-type]
    except OSError as error:
        raise CacheError(f"cannot write the reference {path}: {error.strerror or error}") from error


def load(path: Path, config: ModelConfig) -> tuple[Reference, Facts]:
    """A recorded reference of that model, and its facts; what else is in the file is passed over.

    Raises:
        ArtifactError: it is not there, damaged, or another model's.
    """

    def refusal(problem: str) -> ArtifactError:
        return ArtifactError(f"{path} is no recorded reference, or a damaged one: {problem}")

    try:
        if path.stat().st_size > _MOST_BYTES:
            raise refusal(f"it has more than {_MOST_BYTES:,} bytes")
        with zipfile.ZipFile(path) as file:
            text = str(_read(file, _FACTS, ()))
            facts = convert(parse_json(text.encode(), refusal), Facts, refusal)
            if facts.model != config.name:
                raise ArtifactError(f"{path} is a reference of {facts.model}, not of {config.name}")
            present = set(file.namelist())
            known = {name: shape for name, shape in shapes(config).items() if _member(name) in present}
            arrays = {name: _read(file, name, shape) for name, shape in known.items()}
    except FileNotFoundError as error:
        raise ArtifactError(f"there is no reference {path}: make one with `nasexport reference record`") from error
    except NasexportError:
        raise
    # The readers of NumPy and of zip files raise whatever their parts do for what is no array, no text and no file.
    except Exception as error:
        raise refusal(" ".join(str(error).split())[:100] or type(error).__name__) from error
    reference = Reference(arrays)
    if missing := missing_from_whole(arrays, config):
        raise refusal(f"it lacks {missing[0]}")
    return reference, facts


def _member(name: str) -> str:
    return f"{name}.npy"


def _read(file: zipfile.ZipFile, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """An array of a ``.npz`` file, which must have that shape, and finite numbers or text.

    Its head is held against what is expected before room is made for what it announces.

    Raises:
        ValueError: it is something else.
    """
    info = file.getinfo(_member(name))
    if info.file_size > _MOST_BYTES:
        raise ValueError(f"{name} has more than {_MOST_BYTES:,} bytes")
    with file.open(info) as content:
        version = npy.read_magic(content)
        heads = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
        if version not in heads:
            raise ValueError(f"{name} is an array of format {version}")
        found, in_columns, kind = heads[version](content)
        expected = "text" if name in _TEXTS else "numbers"
        if (kind.kind != "U" if name in _TEXTS else kind.str[1:] not in ("f4", "f8")) or found != shape:
            raise ValueError(f"{name} is {kind} {list(found)}, expected {expected} {list(shape)}")
        data = content.read()
    if len(data) != prod(shape) * kind.itemsize:
        raise ValueError(f"{name} has {len(data):,} bytes for {list(shape)} of {kind}")
    array = np.frombuffer(data, kind).reshape(shape, order="F" if in_columns else "C")
    if kind.kind == "f" and not np.isfinite(array).all():
        raise ValueError(f"{name} has a number that is not finite")
    return array
