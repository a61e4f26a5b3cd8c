"""The manifest of a release, the records of its artifacts, and the paths of their files.

A release is a folder that any web server can serve as it is. Its ``manifest.json`` has the record of every artifact.
Each record is stored beside its artifact, too, and is written last: without a record, there is no artifact. The schema
of both ships as ``data/manifest.schema.json``, and ``docs/reference/files.md`` explains it.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from exporter.artifact.metadata import CheckpointFacts
from exporter.artifact.options import ArtifactOptions
from exporter.errors import NOT_DONE, ReleaseError
from exporter.files.hashing import File, Sha256
from exporter.models.config import Name, Task
from exporter.models.formats import Format, written
from exporter.release.address import BaseUrl
from exporter.validation import (
    MOST_JSON,
    NotNegative,
    at_least,
    convert,
    parse_json,
    read,
    require_schema,
    shown,
    to_plain,
)

SCHEMA: Literal[1] = 1
_TASK_AND_VERSION = r"(classification|feature_vector)/([1-9][0-9]*|[a-z][a-z0-9_]*)\Z"
_HANDLE = rf"\Agoogle/imagenet/[A-Za-z0-9_]+/{_TASK_AND_VERSION}"
T = TypeVar("T")

MANIFEST_FILE = "manifest.json"
SUMS_FILE = "SHA256SUMS"
INDEX_FILE = "index.html"
#: The names of ImageNet's classes, one a line in the order of the networks' outputs, for the programs on pages.
LABELS_FILE = "imagenet_labels.txt"
PROVENANCE_FILE = "provenance.json"


@dataclass(frozen=True)
class Place:
    """The paths of the files of one artifact, relative to the release.

    ``handle`` is as given by `exporter.models.config.handle`.
    """

    handle: str

    @property
    def folder(self) -> str:
        """The unpacked artifact."""
        return self.handle

    @property
    def archive(self) -> str:
        """The artifact as the hub served it: its files at the root of a ``.tar.gz``."""
        return f"{self.handle}.tar.gz"

    @property
    def page(self) -> str:
        """The model page in Markdown."""
        return f"{self.handle}.md"

    @property
    def page_html(self) -> str:
        """The model page for browsers."""
        return f"{self.handle}.html"

    @property
    def report(self) -> str:
        """The report of the verification, a page for browsers."""
        return f"{self.handle}.report.html"

    @property
    def record(self) -> str:
        return f"{self.handle}.json"


class CheckFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A check of a verification, as `exporter.verification.results.Check.to_dict` gives it.

    ``figure`` is the measured value, None if it could not be measured; ``tolerance`` is the largest value that passes.
    """

    name: str
    figure: NotNegative | None
    tolerance: NotNegative
    detail: str
    passed: bool


class PageLinks(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the pages of an artifact have of the release that it is in.

    ``base_url`` is the address of the release, None where nobody said where it will be. ``artifacts`` are the others of
    the same model, which its pages link, as TASK/VERSION in the order of their handles.
    """

    base_url: BaseUrl | None
    artifacts: tuple[Annotated[str, msgspec.Meta(pattern=rf"\A{_TASK_AND_VERSION}", description="TASK/VERSION")], ...]


NO_LINKS = PageLinks(None, ())


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The record of one released artifact.

    ``inputs`` is all that its bytes depend on, and ``identity`` the sha256 of that. ``options`` and ``source``
    are those of its ``nasexport.json``. ``checks`` are those of the verification. ``files`` are those of the folder;
    ``archive``, ``page``, ``page_html`` and ``report`` those beside it. ``page_links`` is what the pages have of the
    release; it is no input, since pages are written anew while the artifact stays.
    """

    handle: Annotated[str, msgspec.Meta(pattern=_HANDLE, description="the handle of an artifact")]
    model: str
    task: Task
    version: Annotated[int, at_least(1)] | Name
    format: Format
    identity: Sha256
    inputs: dict[str, Any]
    source: CheckpointFacts
    options: ArtifactOptions
    checks: Annotated[tuple[CheckFacts, ...], msgspec.Meta(min_length=1)]
    files: Annotated[tuple[File, ...], msgspec.Meta(min_length=1)]
    archive: File
    page: File
    page_html: File
    report: File
    page_links: PageLinks = NO_LINKS

    def __post_init__(self) -> None:
        """Raises ValueError if artifacts of the format cannot be released."""
        if self.format not in written():
            raise ValueError(f"format is {shown(self.format)}, expected {' or '.join(map(repr, written()))}")

    @property
    def place(self) -> Place:
        return Place(self.handle)

    @property
    def size(self) -> int:
        """Bytes of the unpacked artifact."""
        return sum(file.size for file in self.files)

    @property
    def all_files(self) -> list[File]:
        """Every file of the artifact except its record."""
        return [*self.files, self.archive, self.page, self.page_html, self.report]

    def to_dict(self) -> dict[str, Any]:
        """The record as JSON values."""
        return to_plain(self)


class _Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of ``manifest.json``; ``nasexport`` is the version that wrote it."""

    schema: Literal[1]
    nasexport: str
    artifacts: tuple[Record, ...]


def encoded(value: Any) -> bytes:
    """The canonical JSON of a release's files: equal values give the same bytes."""
    return (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def manifest(records: Iterable[Record], tool: str) -> dict[str, Any]:
    """The content of ``manifest.json``; ``tool`` is nasexport's version."""
    return to_plain(_Manifest(SCHEMA, tool, tuple(sorted(records, key=lambda record: record.handle))))


def read_manifest(release: Path) -> dict[str, Record]:
    """The records of a release, by handle.

    Raises:
        ReleaseError: the manifest is missing or damaged.
    """
    return {record.handle: record for record in read_records(release)[1]}


def read_records(release: Path) -> tuple[str, list[Record]]:
    """The version of nasexport that made a release, and its records.

    Raises:
        ReleaseError: as above, or the manifest has two records of one handle.
    """
    path = release / MANIFEST_FILE
    if not path.is_file():
        problem = f"{release} has no {MANIFEST_FILE}: expected a folder that `nasexport release` finished"
        raise ReleaseError(problem, status=None if release.is_dir() else NOT_DONE)
    found = _read(path, _Manifest)
    handles = [record.handle for record in found.artifacts]
    if twice := next((handle for handle in handles if handles.count(handle) > 1), None):
        raise ReleaseError(f"{path} is damaged: {twice} is in it twice")
    return found.nasexport, list(found.artifacts)


def read_record(release: Path, place: Place) -> Record | None:
    """The record beside an artifact; None where there is none.

    Raises:
        ReleaseError: it is damaged.
    """
    path = release / place.record
    if not path.is_file():
        return None
    record = _read(path, Record)
    if record.handle != place.handle:
        raise ReleaseError(f"{path} is the record of {record.handle}: expected that of {place.handle}")
    return record


def _read(path: Path, type_: type[T]) -> T:
    def damaged(problem: str) -> ReleaseError:
        return ReleaseError(f"{path} is damaged: {problem}")

    try:
        values = parse_json(read(path, MOST_JSON, damaged), damaged)
    except OSError as error:
        raise ReleaseError(f"cannot read {path}: {error.strerror}") from error
    require_schema(values, SCHEMA, lambda problem: ReleaseError(f"{path} {problem}"))
    return convert(values, type_, damaged)
