"""What lies in a folder, by name and kind; no link is ever followed."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal

#: "other" is what has a name but no content of its own: a device, a pipe, a socket.
Kind = Literal["file", "folder", "link", "other"]


def entries(folder: Path, enter: Callable[[str], bool] = lambda _: True) -> dict[str, Kind]:
    """The kind of all that lies below a folder, by its path there with slashes, in their order.

    Args:
        folder: it may itself be a link, as the user named it.
        enter: whether to look into a folder, by its path.

    Raises:
        OSError: a folder cannot be read.
    """
    found: dict[str, Kind] = {}
    waiting = [""]
    while waiting:
        parent = waiting.pop()
        with os.scandir(folder / parent) as entries:
            for entry in entries:
                path = f"{parent}/{entry.name}" if parent else entry.name
                found[path] = kind = _kind(entry)
                if kind == "folder" and enter(path):
                    waiting.append(path)
    return dict(sorted(found.items()))


def size(folder: Path) -> int:
    """The bytes of all files below a folder.

    Raises:
        OSError: one cannot be looked at.
    """
    return sum((folder / path).lstat().st_size for path, kind in entries(folder).items() if kind == "file")


def _kind(entry: "os.DirEntry[str]") -> Kind:
    # Windows has folders that lead elsewhere and are no symbolic links.
    if entry.is_symlink() or getattr(entry, "is_junction", lambda: False)():
        return "link"
    if entry.is_dir(follow_symlinks=False):
        return "folder"
    return "file" if entry.is_file(follow_symlinks=False) else "other"
