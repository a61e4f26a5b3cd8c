"""The names of a release: each is accounted for by a record, and is what it should be, a file or a folder."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath

from exporter.artifact.metadata import METADATA_FILE
from exporter.errors import ReleaseError
from exporter.files import tree
from exporter.files.tree import Kind
from exporter.models.formats import FORMATS, Format
from exporter.release.manifest import Record
from exporter.validation import shown

_CALLED: Mapping[Kind, str] = {
    "file": "a file",
    "folder": "a folder",
    "link": "a link",
    "other": "a device, a pipe or a socket",
}


def artifact_files(folder: str, format_: Format, *, labelled: bool = True) -> list[str]:
    """The paths of all files of an artifact in ``folder``, in their order.

    Args:
        labelled: whether it is a classifier of ImageNet's classes, which some formats have a file of names for.
    """
    spec = FORMATS[format_]
    written = [path for path in spec.writes if not path.endswith("/") and (labelled or path != spec.labels_file)]
    return sorted(f"{folder}/{path}" for path in (*written, METADATA_FILE))


def expected(records: Iterable[Record], single_files: Collection[str]) -> dict[str, Kind]:
    """What a release with these records and ``single_files`` has, by path."""
    files = set(single_files)
    folders = set()
    for record in records:
        files |= {file.path for file in record.all_files} | {record.place.record}
        written = FORMATS[record.format].writes
        folders |= {f"{record.place.folder}/{path}".removesuffix("/") for path in written if path.endswith("/")}
        folders.add(record.place.folder)
    for path in (*files, *folders):
        folders |= {str(parent) for parent in PurePosixPath(path).parents} - {"."}
    return {**dict.fromkeys(sorted(folders), "folder"), **dict.fromkeys(sorted(files), "file")}


def problems(
    release: Path, records: Iterable[Record], single_files: Collection[str], optional: Collection[str] = ()
) -> Iterator[str]:
    """What is not accounted for in a release, what is missing, and what is a link; nothing is followed or read.

    Args:
        single_files: those of the release as a whole.
        optional: more such files, which may be missing.

    Raises:
        ReleaseError: a folder cannot be read.
    """
    wanted = expected(records, single_files)
    yield from _differences(_entries(release, wanted), wanted, dict.fromkeys(optional, "file"))


def artifact_problems(release: Path, record: Record) -> Iterator[str]:
    """The same for the folder of one artifact.

    Raises:
        ReleaseError: as above.
    """
    folder = record.place.folder
    for parent in (*reversed(PurePosixPath(folder).parents[:-1]), PurePosixPath(folder)):
        if (release / parent).is_symlink():
            yield f"{parent} is a link, expected a folder"
            return
    inside = f"{folder}/"
    wanted = {path: kind for path, kind in expected([record], ()).items() if path.startswith(inside)}
    found = _entries(release / folder, {path.removeprefix(inside): kind for path, kind in wanted.items()})
    yield from _differences({inside + path: kind for path, kind in found.items()}, wanted, {})


def _entries(folder: Path, wanted: Mapping[str, Kind]) -> dict[str, Kind]:
    if not folder.is_dir():
        return {}
    try:
        return tree.entries(folder, enter=wanted.__contains__)
    except OSError as error:
        raise ReleaseError(f"cannot read {error.filename or folder}: {error.strerror}") from error


def _differences(found: Mapping[str, Kind], wanted: Mapping[str, Kind], more: Mapping[str, Kind]) -> Iterator[str]:
    for path, kind in found.items():
        right = wanted.get(path) or more.get(path)
        if right is None:
            yield f"{_shown(path)} does not belong there" + (": it is a link" if kind == "link" else "")
        elif kind != right:
            yield f"{path} is {_CALLED[kind]}, expected {_CALLED[right]}"
    for path, kind in wanted.items():
        if path not in found:
            yield f"{path} is missing" + (", a folder" if kind == "folder" else "")


def _shown(path: str) -> str:
    return path if path.isprintable() and len(path) < 200 else shown(path)
