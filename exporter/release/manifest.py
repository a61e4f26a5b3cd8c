"""What a release consists of: where each file lies, and the record of each artifact.

A release is a folder that any web server can serve as it is. Its ``manifest.json`` has the record of every artifact;
each record lies beside its artifact, too, and is the last file of it to be written: where there is none, there is no
artifact. The schema of both ships as ``data/manifest.schema.json``, and ``docs/release.md`` explains it.
"""

import dataclasses
import functools
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporter.errors import ReleaseError
from exporter.files.hashing import File
from exporter.resources import resource

SCHEMA = 1
_SCHEMA_FILE = "data/manifest.schema.json"

MANIFEST_FILE = "manifest.json"
SUMS_FILE = "SHA256SUMS"
INDEX_FILE = "index.html"
PROVENANCE_FILE = "provenance.json"


@dataclass(frozen=True)
class Place:
    """Where the files of one artifact lie, relative to the release.

    ``handle`` is that of `exporter.models.config.handle`.
    """

    handle: str

    @property
    def folder(self) -> str:
        """The artifact itself, unpacked."""
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


@dataclass(frozen=True)
class Record:
    """What is known of one released artifact.

    ``inputs`` is all that its bytes depend on, and ``identity`` the sha256 of that. ``source`` is what
    ``nasexport.json`` says of the checkpoint, ``synthetic`` included. ``checks`` are those of the verification, as
    `exporter.verification.results.Check.to_dict` gives them. ``files`` are those of the folder; ``archive``, ``page``,
    ``page_html`` and ``report`` those beside it.
    """

    handle: str
    model: str
    task: str
    version: int
    format: str
    identity: str
    inputs: dict[str, Any]
    source: dict[str, Any]
    options: dict[str, Any]
    checks: tuple[dict[str, Any], ...]
    files: tuple[File, ...]
    archive: File
    page: File
    page_html: File
    report: File

    @property
    def place(self) -> Place:
        return Place(self.handle)

    @property
    def size(self) -> int:
        """Bytes of the unpacked artifact."""
        return sum(file.size for file in self.files)

    @property
    def all_files(self) -> list[File]:
        """Every file of the artifact but its record."""
        return [*self.files, self.archive, self.page, self.page_html, self.report]

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Record":
        """A record from JSON that fits the schema."""
        beside = {name: File(**values[name]) for name in ("archive", "page", "page_html", "report")}
        files = tuple(File(**file) for file in values["files"])
        return cls(**{**values, **beside, "files": files, "checks": tuple(values["checks"])})


def encoded(value: Any) -> bytes:
    """JSON in the form that all files of a release have: the same bytes for the same facts."""
    return (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def manifest(records: Iterable[Record], tool: str) -> dict[str, Any]:
    """The content of ``manifest.json``; ``tool`` is nasexport's version."""
    artifacts = [record.to_dict() for record in sorted(records, key=lambda record: record.handle)]
    return {"schema": SCHEMA, "nasexport": tool, "artifacts": artifacts}


def read_manifest(release: Path) -> dict[str, Record]:
    """The records of a release, by handle.

    Raises:
        ReleaseError: there is no release, or its manifest is damaged.
    """
    path = release / MANIFEST_FILE
    if not path.is_file():
        raise ReleaseError(f"{release} has no {MANIFEST_FILE}: expected a folder that `nasexport release` finished")
    values = _read(path)
    _validate(path, values, "#")
    return {values["handle"]: Record.from_dict(values) for values in values["artifacts"]}


def read_record(release: Path, place: Place) -> Record | None:
    """The record beside an artifact; None where there is none.

    Raises:
        ReleaseError: it is damaged.
    """
    path = release / place.record
    if not path.is_file():
        return None
    values = _read(path)
    _validate(path, values, "#/$defs/record")
    if values["handle"] != place.handle:
        raise ReleaseError(f"{path} is the record of {values['handle']}: expected that of {place.handle}")
    return Record.from_dict(values)


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ReleaseError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise ReleaseError(f"{path} is damaged: it is not the JSON that nasexport writes") from error


@functools.cache
def _validator(part: str) -> Any:
    import jsonschema  # takes longer to import than most commands take to answer

    schema = json.loads(resource(_SCHEMA_FILE).read_text(encoding="utf-8"))
    return jsonschema.Draft202012Validator(schema if part == "#" else {"$ref": part, "$defs": schema["$defs"]})


def _validate(path: Path, values: Any, part: str) -> None:
    found = values.get("schema", SCHEMA) if isinstance(values, dict) else SCHEMA
    if found != SCHEMA:
        raise ReleaseError(f"{path} has schema {found}, expected {SCHEMA}: it needs another nasexport")
    error = next(iter(_validator(part).iter_errors(values)), None)
    if error is not None:
        place = "/".join(map(str, error.absolute_path)) or "its top"
        raise ReleaseError(f"{path} is damaged at {place}: {error.message[:200]}")
