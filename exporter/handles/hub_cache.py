"""TensorFlow Hub's cache: a folder for each address, by its hash, with a text beside it that says whose it is.

This is what tensorflow-hub 0.12 to 0.16 does (``compressed_module_resolver`` and ``resolver``): where the folder of an
address is there and not empty, it is loaded, and no server is asked. The text, ``HASH.descriptor.txt``, is for people.
"""

import datetime
import hashlib
import os
import re
import socket
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import exporter
from exporter.errors import CacheError
from exporter.files import staging
from exporter.terminal import printable

#: The variable that tells tensorflow-hub where its cache is.
VARIABLE = "TFHUB_CACHE_DIR"
_DESCRIPTOR = ".descriptor.txt"
#: Bytes of a descriptor that are read.
_LONGEST = 2**14
_LINE = re.compile(r"(Module|Installed by|Content): (.+)")


@dataclass(frozen=True)
class Entry:
    """A folder of the cache.

    ``address`` is what it is loaded for, ``installed`` whether nasexport made it, and ``content`` then a hash of what
    is in it, as `exporter.handles.sources.Source` gives it.
    """

    address: str
    folder: Path
    bytes: int
    installed: bool
    content: str | None = None

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "folder": str(self.folder)}


def place(cache: Path, address: str) -> Path:
    """The folder of an address."""
    return cache / hashlib.sha1(address.encode(), usedforsecurity=False).hexdigest()


def entry(cache: Path, address: str) -> Entry | None:
    """What the cache has for an address; None where it has nothing that would be loaded."""
    folder = place(cache, address)
    if not _has_files(folder):
        return None
    said = _said(folder)
    ours = said.get("Module") == address and "Installed by" in said
    return Entry(address, folder, _size(folder), ours, said.get("Content") if ours else None)


def entries(cache: Path) -> Iterator[Entry]:
    """All that the cache has whose address is known, by their addresses.

    Raises:
        CacheError: it cannot be read.
    """
    try:
        descriptors = [path for path in cache.iterdir() if path.name.endswith(_DESCRIPTOR)]
    except FileNotFoundError:
        return
    except OSError as error:
        raise CacheError(f"cannot read {cache}: {error.strerror}") from error
    addresses = {_said(cache / path.name.removesuffix(_DESCRIPTOR)).get("Module", "") for path in descriptors}
    for address in sorted(addresses - {""}):
        if found := entry(cache, address):
            yield found


def describe(cache: Path, address: str, handle: str, content: str) -> None:
    """Writes the text beside the folder of an address, as tensorflow-hub does, and that nasexport has made it.

    Raises:
        OSError: it cannot be written.
    """
    lines = [
        f"Module: {address}",
        f"Download Time: {datetime.datetime.now()}",
        f"Downloader Hostname: {socket.gethostname()} (PID:{os.getpid()})",
        f"Installed by: nasexport {exporter.__version__}",
        f"Artifact: {handle}",
        f"Content: {content}",
    ]
    staging.write(_descriptor(place(cache, address)), "\n".join(lines).encode())


def remove(found: Entry) -> None:
    """Removes a folder and the text beside it.

    Raises:
        CacheError: it cannot be removed.
    """
    try:
        staging.remove(found.folder)
        staging.remove(_descriptor(found.folder))
    except OSError as error:
        raise CacheError(f"cannot remove {found.folder}: {error.strerror}") from error


def _descriptor(folder: Path) -> Path:
    return folder.with_name(folder.name + _DESCRIPTOR)


def _said(folder: Path) -> dict[str, str]:
    """The lines of a descriptor by their names; nothing where it is none."""
    try:
        with open(_descriptor(folder), "rb") as file:
            text = file.read(_LONGEST).decode("utf-8", "replace")
    except OSError:
        return {}
    return {match[1]: match[2] for line in text.split("\n") if (match := _LINE.fullmatch(printable(line)))}


def _has_files(folder: Path) -> bool:
    try:
        return any(folder.iterdir())
    except OSError:
        return False


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
