"""What lies in a folder that is to be a data set: pictures, shards, folders of classes, and what is none of these."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from exporter.errors import EvaluationError
from exporter.evaluation.image_files import SUFFIXES
from exporter.evaluation.shards import shard
from exporter.evaluation.tars import TAR_SUFFIXES

#: Files and folders that systems make beside those of their users; hidden ones, too, are none of a data set.
_OF_SYSTEMS = {
    *("@eadir", "@tmp", "#recycle", "#snapshot", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"),
    *("__macosx", "$recycle.bin", "system volume information", "lost+found", "recycler"),
}


@dataclass
class Entries:
    """The names in a folder, sorted, by what they are; those of systems and hidden ones are left out."""

    pictures: list[str] = field(default_factory=list)
    shards: list[str] = field(default_factory=list)
    tars: list[str] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        return sorted([*self.pictures, *self.shards, *self.tars, *self.classes, *self.folders, *self.files])


def entries_of(folder: Path, is_class: Callable[[str], bool]) -> Entries:
    """Sorts what lies in a folder.

    Raises:
        EvaluationError: it cannot be read.
    """
    found = Entries()
    try:
        with os.scandir(folder) as scanned:
            for entry in sorted(scanned, key=lambda entry: entry.name):
                name = entry.name
                if _is_passed_over(name):
                    continue
                if _is_folder(entry):
                    (found.classes if is_class(name) else found.folders).append(name)
                elif name.lower().endswith(SUFFIXES):
                    found.pictures.append(name)
                elif shard(name):
                    found.shards.append(name)
                else:
                    (found.tars if name.lower().endswith(TAR_SUFFIXES) else found.files).append(name)
    except OSError as error:
        raise _unreadable(folder, error) from error
    return found


def pictures_below(folder: Path) -> list[str]:
    """The pictures in the folder of a class and in the folders below it, by their paths from there, sorted.

    Raises:
        EvaluationError: one cannot be read, is a link to one that it lies in, or holds shards.
    """
    pictures: list[str] = []
    waiting: list[tuple[str, tuple[tuple[int, int], ...]]] = [("", ())]
    while waiting:
        place, above = waiting.pop()
        here = folder / place
        identity = _identity(here)
        if identity in above:
            raise EvaluationError(f"{here} is a link to a folder that it lies in: remove it")
        found = entries_of(here, lambda _: False)
        if found.shards:
            raise EvaluationError(f"{here} holds shards ({found.shards[0]}) and is in a folder of pictures: move them")
        pictures += [f"{place}{name}" for name in found.pictures]
        waiting += [(f"{place}{name}/", (*above, identity)) for name in found.folders]
    return sorted(pictures)


def _identity(folder: Path) -> tuple[int, int]:
    """What tells a folder from all others, by whatever path."""
    try:
        status = folder.stat()
    except OSError as error:
        raise _unreadable(folder, error) from error
    return status.st_dev, status.st_ino


def first_picture_below(folder: Path) -> Path | None:
    """A picture or a shard somewhere below a folder, but not behind links in it; None where there is none.

    Raises:
        EvaluationError: a folder cannot be read.
    """

    def stop(error: OSError) -> None:
        raise _unreadable(Path(error.filename or folder), error) from error

    for place, folders, names in os.walk(folder, onerror=stop):
        folders[:] = sorted(name for name in folders if not _is_passed_over(name))
        for name in sorted(names):
            if not _is_passed_over(name) and (name.lower().endswith(SUFFIXES) or shard(name)):
                return Path(place) / name
    return None


def _is_passed_over(name: str) -> bool:
    return name.startswith(".") or name.lower() in _OF_SYSTEMS


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _unreadable(folder: Path, error: OSError) -> EvaluationError:
    return EvaluationError(f"cannot read the folder of images {folder}: {error.strerror}")
