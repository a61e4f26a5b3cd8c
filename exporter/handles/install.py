"""Fills TensorFlow Hub's cache: each old address of an artifact gets a folder with its files."""

import fnmatch
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from exporter.errors import NOT_DONE, CacheError, ReleaseError
from exporter.files import staging, temporary
from exporter.handles import hub_cache
from exporter.handles.hub_cache import Entry
from exporter.handles.sources import Offered, Source
from exporter.models.old_addresses import addresses
from exporter.progress import SILENT, Listener

#: "other": something else is there, such as what was published, and was left there.
State = Literal["installed", "kept", "other"]


@dataclass(frozen=True)
class Installed:
    """What became of an address."""

    address: str
    handle: str
    state: State

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def chosen(source: Source, patterns: Sequence[str] = ()) -> list[Offered]:
    """The artifacts of a source that have old addresses, of those whose handles or addresses match a pattern.

    Raises:
        ReleaseError: there is none.
    """
    found = [each for each in source.offered() if addresses_of(each)]
    wanted = [each for each in found if not patterns or _matches((each.handle, *addresses_of(each)), patterns)]
    if not wanted:
        have = ", ".join(each.handle for each in found[:5]) or "no artifact that tensorflow-hub loads"
        what = f"nothing that matches {', '.join(patterns)}" if patterns else "nothing to install"
        raise ReleaseError(f"there is {what}: it has {have}", status=NOT_DONE)
    return wanted


def addresses_of(offered: Offered) -> tuple[str, ...]:
    """The old addresses of an artifact."""
    return addresses(offered.model, offered.task, offered.version, offered.format)


def install(
    cache: Path, source: Source, wanted: Sequence[Offered], *, overwrite: bool = False, listener: Listener = SILENT
) -> list[Installed]:
    """Makes the addresses of artifacts load from the cache; each gets its folder whole or not at all.

    The folders of one artifact share their files on disk, where the file system allows it.

    Args:
        overwrite: whether to replace what is there, whoever put it there.

    Raises:
        CacheError: the cache cannot be written.
        ReleaseError, FetchError: the artifact cannot be had, or has other hashes than the manifest.
    """
    found = []
    taken = f"another nasexport installs handles in {cache}: wait for it"
    try:
        with staging.held(cache / ".nasexport.lock", CacheError, taken):
            for offered in wanted:
                listener.step(f"installing {offered.handle}")
                found += _install(cache, source, offered, overwrite, listener)
    except OSError as error:
        raise CacheError(f"cannot install in {cache}: {error.filename or 'it'}: {error.strerror or error}") from error
    return found


def _install(cache: Path, source: Source, offered: Offered, overwrite: bool, listener: Listener) -> list[Installed]:
    content = source.content(offered.handle)
    states = {address: _state(cache, address, content, overwrite) for address in addresses_of(offered)}
    todo = [address for address, state in states.items() if state == "installed"]
    if todo:
        with temporary.folder(cache) as files:
            source.put(offered.handle, files, listener)
            for address in todo:
                _put(cache, address, files, offered.handle, content)
    return [Installed(address, offered.handle, state) for address, state in states.items()]


def _state(cache: Path, address: str, content: str, overwrite: bool) -> State:
    """What is to become of an address."""
    present = None if overwrite else hub_cache.entry(cache, address)
    if present is None or (present.installed and present.content != content):
        return "installed"
    return "kept" if present.installed else "other"


def _put(cache: Path, address: str, files: Path, handle: str, content: str) -> None:
    with staging.replacing_folder(hub_cache.place(cache, address)) as folder:
        shutil.copytree(files, folder, copy_function=_link)
        # Before the folder is in its place: without it, the text says nothing.
        hub_cache.describe(cache, address, handle, content)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def removable(cache: Path, patterns: Sequence[str] = ()) -> list[Entry]:
    """What nasexport has installed, of what matches a pattern.

    Raises:
        CacheError: the cache cannot be read.
    """
    ours = [entry for entry in hub_cache.entries(cache) if entry.installed]
    return [entry for entry in ours if not patterns or _matches((entry.address,), patterns)]


def _matches(names: Sequence[str], patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for name in names for pattern in patterns)
