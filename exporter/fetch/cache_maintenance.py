"""What ``nasexport cache list``, ``verify`` and ``prune`` do: sizes, damage, and what nobody needs."""

import contextlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

from exporter.checkpoint.files import is_checkpoint_file
from exporter.errors import CacheError
from exporter.fetch.cache import COPYING, RECORD, Cache, Entry, UnpackedRecord, read_record
from exporter.files import staging
from exporter.files.hashing import sha256
from exporter.progress import Listener


def leftovers(cache: Cache) -> list[Path]:
    """What is neither an archive nor unpacked from one: interrupted transfers, refused files, unfinished folders."""
    found = [path for folder in (cache.partial, cache.refused) if folder.is_dir() for path in folder.iterdir()]
    for folder in (cache.archives, cache.checkpoints, cache.names):
        found += list(folder.glob(".*")) if folder.is_dir() else []
    return sorted(found)


def unpacked_folders(cache: Cache) -> list[Path]:
    """Every folder of unpacked files."""
    if not cache.checkpoints.is_dir():
        return []
    return sorted(path for path in cache.checkpoints.iterdir() if not path.name.startswith("."))


def copies(cache: Cache) -> list[Path]:
    """The folder of each copy of what lies in a store."""
    return sorted(path for path in cache.copies.iterdir() if path.is_dir()) if cache.copies.is_dir() else []


def outputs(cache: Cache) -> list[Path]:
    """The folder of each output that ``embed`` has not sent to its store yet."""
    return sorted(path for path in cache.outputs.iterdir() if path.is_dir()) if cache.outputs.is_dir() else []


def size_below(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    files = path.rglob("*") if path.is_dir() else (path,)
    return sum(file.stat().st_size for file in files if file.is_file())


def verify(cache: Cache, listener: Listener) -> list[dict[str, Any]]:
    """Hashes every archive and every unpacked file; damaged archives are set aside, damaged unpacked files removed.

    Returns:
        For each archive and each unpacked folder its ``path``, whether it is ``sound``, and its ``fault``.
    """
    rows = []
    for entry in cache.entries():
        listener.step(entry.path.name)
        found = sha256(entry.path)
        rows.append(_row(entry.path, None if found == entry.sha256 else f"its sha256 is {found}"))
        if found != entry.sha256:
            with contextlib.suppress(CacheError):
                cache.set_aside(entry.path, found)
                cache.remove(entry.path.parent)
    for folder in unpacked_folders(cache):
        fault = _fault_of_unpacked(folder)
        rows.append(_row(folder, fault))
        if fault:
            with contextlib.suppress(CacheError):
                cache.remove(folder)
    return rows


def _fault_of_unpacked(folder: Path) -> str | None:
    files = read_record(folder, UnpackedRecord).files
    if files is None:
        return f"it has no {RECORD}"
    for name, digest in files.items():
        if is_checkpoint_file(PurePosixPath(name)):
            found = sha256(folder / name) if (folder / name).is_file() else "that of no file"
            if found != digest:
                return f"the sha256 of {name} is {found}"
    return None


def _row(path: Path, fault: str | None) -> dict[str, Any]:
    return {"path": str(path), "sound": fault is None, "fault": fault}


def prune(
    cache: Cache,
    keep: Callable[[Entry], bool],
    *,
    unpacked: bool = False,
    copied: bool = False,
    computed: bool = False,
    dry_run: bool = False,
) -> list[tuple[Path, int]]:
    """Removes leftovers, archives that ``keep`` does not want, and what was unpacked of them.

    What another process is fetching, copying or computing is left alone.

    Args:
        unpacked: whether to remove all that is unpacked; it is unpacked again when it is needed.
        copied: whether to remove copies of what lies in stores; the same.
        computed: whether to remove outputs of runs of ``embed`` that were stopped; these begin anew then.

    Returns:
        What was removed, or would be, with its size in bytes.
    """
    busy = _busy(cache)
    kept = {entry.sha256 for entry in cache.entries() if keep(entry)}
    gone = [path for path in leftovers(cache) if not any(path.name.startswith(name) for name in busy)]
    gone += [entry.path.parent for entry in cache.entries() if entry.sha256 not in kept and entry.name not in busy]
    gone += [folder for folder in unpacked_folders(cache) if unpacked or folder.name not in kept]
    if busy:
        # The name of an unfinished folder does not tell which archive it is for.
        gone = [path for path in gone if not (path.name.startswith(".") or path.parent == cache.checkpoints)]
    gone += [path for path in copies(cache) if copied and not staging.is_held(path / COPYING)]
    gone += [path for path in outputs(cache) if computed and not staging.is_held(path.with_name(f".{path.name}.lock"))]
    sizes = [(path, size_below(path)) for path in gone]
    for path in () if dry_run else gone:
        cache.remove(path)
    return sizes


def _busy(cache: Cache) -> set[str]:
    """Names of the archives that some process is fetching."""
    files = cache.locks.glob("*.lock") if cache.locks.is_dir() else ()
    return {file.name.removesuffix(".lock") for file in files if staging.is_held(file)}
