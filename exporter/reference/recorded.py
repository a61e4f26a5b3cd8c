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
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from exporter.errors import ArtifactError, CacheError
from exporter.files import staging
from exporter.files.arrays import Arrays
from exporter.reference.result import Reference
from exporter.resources import resource
from exporter.settings import Settings

_FACTS = "facts"


def key(files: Mapping[str, str]) -> str:
    """What names the reference of a checkpoint: the sha256 of its files' hashes, whatever the files are called."""
    return hashlib.sha256("\n".join(sorted(files.values())).encode()).hexdigest()


def folders(settings: Settings) -> list[Path]:
    """Where references are looked for: those that ship, then the cache."""
    return [resource("configs") / "references", settings.cache / "references"]


def find(files: Mapping[str, str], settings: Settings) -> Path | None:
    """The reference of the checkpoint with these files, if there is one."""
    paths = [folder / f"{key(files)}.npz" for folder in folders(settings)]
    return next((path for path in paths if path.is_file()), None)


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


def load(path: Path, model: str) -> tuple[Reference, dict[str, Any]]:
    """A recorded reference of that model, and its facts.

    Raises:
        ArtifactError: it is not there, damaged, or another model's.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        facts = json.loads(str(arrays.pop(_FACTS)))
        found = facts["model"]
    except FileNotFoundError as error:
        raise ArtifactError(f"there is no reference {path}: make one with `nasexport reference record`") from error
    except (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        reason = " ".join(str(error).split())[:100]
        raise ArtifactError(f"{path} is no recorded reference, or a damaged one ({reason})") from error
    if found != model:
        raise ArtifactError(f"{path} is a reference of {found}, not of {model}")
    return Reference(arrays), facts
