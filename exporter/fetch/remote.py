"""Copies of what lies in stores that fsspec reaches, in the cache: checkpoints, data sets.

A copy has a folder ``remote/HASH/NAME`` in the cache, after its address. A file is copied again when the store says
that it has changed since, or does not say anything that would tell.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from exporter.checkpoint.files import is_checkpoint_file, prefix_of
from exporter.errors import CacheError, FetchError
from exporter.fetch.cache import COPYING, Cache
from exporter.fetch.partial import disk_errors, require_space
from exporter.fetch.stores import Store, failures, store
from exporter.files import staging
from exporter.progress import SILENT, Listener
from exporter.settings import Settings
from exporter.validation import MOST_JSON, read

#: Files that are copied at the same time: most of a data set's are small, and each waits for an answer.
_AT_ONCE = 8
#: What stores call the facts that change with a file's content.
_TELLING = (
    *("ETag", "etag", "blob_id", "md5Hash", "crc32c", "generation", "Content-MD5", "checksum", "sha256"),
    *("LastModified", "last_modified", "Last-Modified", "mtime", "modified", "updated", "modifyTime"),
)
_RECORD = "copied.json"
#: After so many files it is written down what is there: a kill costs no more than these.
_RECORDED = 500


@dataclass(frozen=True)
class Kind:
    """What an address is to mean.

    Args:
        title: what it is called in messages.
        wants: whether a file of a folder is a part of it, by its path there.
        siblings: whether the files beside the one that is named, which begin as it does, are parts of it, too.
    """

    title: str
    wants: Callable[[PurePosixPath], bool]
    siblings: bool = False


CHECKPOINT = Kind("checkpoint", is_checkpoint_file, siblings=True)


class _Copied(msgspec.Struct, frozen=True):
    """What the store said of each file when it was copied, by its path in the folder."""

    files: dict[str, str] = {}
    address: str = ""


def local_copy(address: str, kind: Kind, settings: Settings, listener: Listener = SILENT) -> Path:
    """The file or folder on this machine with what an address means; what has changed since the last time is copied.

    With ``settings.offline``, what was copied before is taken as it is.

    Raises:
        ConfigError: the address is none, or what it needs is not installed.
        FetchError: it cannot be had, or nothing is there.
        CacheError: the cache cannot be written.
    """
    place = store(address, FetchError)
    key = hashlib.sha256(place.shown.encode(errors="surrogateescape")).hexdigest()[:16]
    folder = Cache(settings.cache).copies / key
    copy = folder / "files" / (PurePosixPath(place.path).name or "root")
    if settings.offline:
        if not (folder / _RECORD).is_file():
            raise FetchError(f"the cache has no copy of {place.shown}, and --offline forbids to make one")
        return copy
    with failures(place.shown, FetchError, "cannot read"):
        wanted = _wanted(place, kind, copy)
    if not wanted:
        raise FetchError(f"{place.shown} has no {kind.title}: nothing of one is there")
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with staging.in_turn(folder / COPYING, lambda: listener.note(f"waiting for another process: {place.shown}")):
            _copy(place, wanted, folder, listener)
    return copy


def _wanted(place: Store, kind: Kind, copy: Path) -> dict[Path, Mapping[str, Any]]:
    """What fsspec says of each file to copy, by where the copy goes."""
    files, path = place.files, place.path
    found: dict[Path, Mapping[str, Any]] = {}
    if kind.siblings:
        named = PurePosixPath(path)
        prefix = prefix_of(Path(named.name)).name
        parent = str(named.parent)
        beside = files.ls(parent, detail=True) if files.exists(parent) else []
        for info in beside:
            name = PurePosixPath(info["name"]).name
            of_it = prefix_of(Path(name)).name == prefix and (
                is_checkpoint_file(PurePosixPath(name)) or name == named.name
            )
            if info["type"] == "file" and of_it:
                found[copy.with_name(name)] = info
        if found:
            return found
    if files.isfile(path):
        return {copy: files.info(path)}
    start = len(path) + 1
    for name, info in files.find(path, detail=True).items():
        inside = PurePosixPath(str(name)[start:])
        if info.get("type") == "file" and _is_inside(inside) and kind.wants(inside):
            found[copy / inside] = info
    return found


def _is_inside(path: PurePosixPath) -> bool:
    """Whether a path that a store gave leads out of no folder."""
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts and "\\" not in str(path)


def _copy(place: Store, wanted: Mapping[Path, Mapping[str, Any]], folder: Path, listener: Listener) -> None:
    before = _read_record(folder).files
    root = folder / "files"
    states = {path: _state(info) for path, info in wanted.items()}
    names = {path: path.relative_to(root).as_posix() for path in wanted}
    missing = [
        path
        for path, info in wanted.items()
        if not (states[path] and before.get(names[path]) == states[path] and _size(path) == info["size"])
    ]
    # What is no longer there must not be taken for a part of it.
    for path in sorted(root.rglob("*"), reverse=True) if root.is_dir() else ():
        if path not in wanted and not path.is_dir():
            path.unlink()
    total = sum(int(wanted[path]["size"]) for path in missing)
    require_space(folder, total)
    kept = {names[path]: states[path] for path in wanted if path not in missing}
    _write_record(folder, kept, place.shown)
    done = 0

    def copied(path: Path) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        info = wanted[path]
        with staging.replacing(path) as partial:
            with failures(place.shown, FetchError, "cannot read"):
                try:
                    place.files.get_file(info["name"], str(partial))
                except OSError as error:
                    if error.filename == str(partial) or error.errno in (28, 122):  # the cache's disk, not the store's
                        raise CacheError(f"cannot write {path.parent}: {error.strerror}") from error
                    raise
            if partial.stat().st_size != info["size"]:
                raise FetchError(
                    f"{place.shown} gives {partial.stat().st_size:,} bytes of {path.name}, not {info['size']:,}"
                )
        return path

    if missing:
        listener.note(f"copying {len(missing):,} files from {place.shown}")
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        try:
            for path in threads.map(copied, missing):
                kept[names[path]] = states[path]
                done += int(wanted[path]["size"])
                listener.transferred(done, total)
                if len(kept) % _RECORDED == 0:
                    _write_record(folder, kept, place.shown)
        finally:
            threads.shutdown(cancel_futures=True)
            _write_record(folder, kept, place.shown)


def _state(info: Mapping[str, Any]) -> str:
    """What tells this content of a file from any other, as the store has it; empty where it says nothing."""
    telling = sorted((name, str(info[name])) for name in _TELLING if info.get(name))
    return hashlib.sha256(json.dumps([info["size"], telling]).encode()).hexdigest()[:16] if telling else ""


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None


def address_of(folder: Path) -> str:
    """Where what is in the folder of a copy was copied from, without passwords; empty where nobody knows."""
    return _read_record(folder).address


def _read_record(folder: Path) -> _Copied:
    try:
        return msgspec.json.decode(read(folder / _RECORD, MOST_JSON, CacheError), type=_Copied)
    except (OSError, ValueError, CacheError):
        return _Copied()


def _write_record(folder: Path, files: Mapping[str, str], address: str) -> None:
    staging.write(folder / _RECORD, msgspec.json.encode(_Copied(dict(files), address)))
