"""Which files make up a checkpoint, by their names and last bytes; without TensorFlow."""

import re
from pathlib import Path, PurePath

_DATA_FILE = re.compile(r"(?P<prefix>.+)\.data-\d{5}-of-(?P<shards>\d{5})", re.DOTALL)
#: Files that are all of a checkpoint, as they are usually called.
_SINGLE_FILE = re.compile(r".+\.ckpt(-\d+)?", re.DOTALL)
#: One of the files of a checkpoint that was saved in several, in the format before 2016.
_PART = re.compile(r".+-\d{5}-of-(?P<parts>\d{5})", re.DOTALL)
#: What every table of TensorFlow's ends with: the index of a checkpoint, or all of one in the format before 2016 (V1).
_TABLE = bytes.fromhex("57fb808b247547db")


def is_checkpoint_file(path: PurePath) -> bool:
    """Whether a file is named as what a checkpoint consists of: ``*.index``, ``*.data-*-of-*``, ``checkpoint``, or
    ``*.ckpt`` in the format before 2016. What macOS puts beside such a file, with its name, is none.
    """
    name = path.name
    if is_clutter(path):
        return False
    return name == "checkpoint" or name.endswith(".index") or ".data-" in name or bool(_SINGLE_FILE.fullmatch(name))


def is_clutter(path: PurePath) -> bool:
    """Whether a file is one that macOS puts beside others."""
    return path.name.startswith("._") or path.name == ".DS_Store" or "__MACOSX" in path.parts


def prefix_of(file: Path) -> Path:
    """What TensorFlow calls the path of a checkpoint, from that of one of its files; ``file`` where it is none."""
    match = _DATA_FILE.fullmatch(file.name)
    return file.with_name(match["prefix"] if match else _without_suffix(file.name) or file.name)


def _without_suffix(name: str) -> str:
    return name.removesuffix(".meta" if name.endswith(".meta") else ".index")


def index_of(prefix: Path) -> Path:
    """The file with the names and checksums; it may not exist."""
    return prefix.with_name(prefix.name + ".index")


def data_file_of(prefix: Path, number: int, count: int) -> Path:
    """One of the ``count`` files with the values; the first has the number 0."""
    return prefix.with_name(f"{prefix.name}.data-{number:05d}-of-{count:05d}")


def data_files_of(prefix: Path) -> list[Path]:
    """The files with the values that are there."""
    if not prefix.parent.is_dir():
        return []
    matches = ((file, _DATA_FILE.fullmatch(file.name)) for file in sorted(prefix.parent.iterdir()))
    return [file for file, match in matches if match and match["prefix"] == prefix.name]


def parts_called_for(file: Path) -> int:
    """How many files a checkpoint of the format before 2016 (V1) was saved in, by the name of one of them."""
    match = _PART.fullmatch(file.name)
    return int(match["parts"]) if match else 1


def are_all(data_files: list[Path]) -> bool:
    """Whether there are as many data files as their names call for."""
    counts = {match["shards"] for file in data_files if (match := _DATA_FILE.fullmatch(file.name))}
    return len(counts) == 1 and len(data_files) == int(counts.pop())


def means_checkpoint(path: Path) -> bool:
    """Whether a path is that of a checkpoint: its prefix, one of its files, or the folder that has it in it; archives
    aside. There may still be something wrong with it.

    Raises:
        OSError: it cannot be looked at.
    """
    if path.is_dir():
        return any(is_checkpoint_file(file) and file.is_file() for file in path.iterdir())
    if path.is_file():
        return path.name == "checkpoint" or prefix_of(path) != path or is_table(path)
    return index_of(path).is_file() or bool(data_files_of(path))


def files_of(prefix: Path) -> list[Path]:
    """All files of a whole checkpoint: index and data, or the one of the format before 2016 (V1)."""
    if index_of(prefix).is_file():
        return [index_of(prefix), *data_files_of(prefix)]
    return [prefix]


def checkpoints_below(folder: Path) -> list[Path]:
    """The prefixes of all checkpoints in a folder and those below: an index with data files beside it, or, where there
    is none of that kind, the one file of the format before 2016.
    """
    files = [file for file in sorted(folder.rglob("*")) if not is_clutter(file.relative_to(folder)) and file.is_file()]
    found = [prefix_of(file) for file in files if file.name.endswith(".index") and data_files_of(prefix_of(file))]
    return found or [file for file in files if not file.name.endswith(".index") and is_table(file)]


def is_table(path: Path) -> bool:
    """Whether a file is one of TensorFlow's tables; one that is no index is a checkpoint of the format before 2016.

    Raises:
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - len(_TABLE)))
        return file.read() == _TABLE
