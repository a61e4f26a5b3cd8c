"""Releases made by hand: what ``docs/how-to/release.md`` says, without the command that writes them."""

import hashlib
import shutil
from collections.abc import Iterable
from pathlib import Path

import msgspec

from exporter.artifact.options import ArtifactOptions
from exporter.files.hashing import File
from exporter.models.config import Task
from exporter.release.manifest import (
    INDEX_FILE,
    LABELS_FILE,
    MANIFEST_FILE,
    PROVENANCE_FILE,
    SUMS_FILE,
    CheckFacts,
    Place,
    Record,
    encoded,
    manifest,
)
from tests.support.packing import packed
from tests.support.records import source


def write_release(release: Path, artifacts: Iterable[Path]) -> Path:
    """A release of artifacts that lie in folders of the form ``…/google/imagenet/MODEL/TASK/VERSION``."""
    records = [add_artifact(release, artifact) for artifact in artifacts]
    finish(release, records)
    return release


def add_artifact(release: Path, artifact: Path) -> Record:
    """Copies an artifact into a release, with all that lies beside it, and returns its record."""
    handle = "/".join(artifact.parts[-5:])
    place = Place(handle)
    shutil.copytree(artifact, release / place.folder)
    packed(artifact, release / place.archive)
    (release / place.page).write_text(f"# {handle}\n", encoding="utf-8")
    (release / place.page_html).write_text(f"<!DOCTYPE html><title>{handle}</title>\n", encoding="utf-8")
    (release / place.report).write_text(f"<!DOCTYPE html><title>Report of {handle}</title>\n", encoding="utf-8")
    record = described(release, handle)
    (release / place.record).write_bytes(encoded(record.to_dict()))
    return record


def described(release: Path, handle: str) -> Record:
    """The record of an artifact as its files are now."""
    place = Place(handle)
    model, task, version = handle.split("/")[-3:]
    unpacked = sorted(path for path in (release / place.folder).rglob("*") if path.is_file())
    return Record(
        handle=handle,
        model=model,
        task=msgspec.convert(task, Task),
        version=int(version),
        format="hub" if int(version) < 4 else "saved_model_2",
        identity=hashlib.sha256(handle.encode()).hexdigest(),
        inputs={},
        source=source(synthetic={"seed": 0}),
        options=ArtifactOptions(0.99),
        checks=(CheckFacts("made by hand", 0, 0, "", True),),
        files=tuple(file_of(release, path.relative_to(release).as_posix()) for path in unpacked),
        archive=file_of(release, place.archive),
        page=file_of(release, place.page),
        page_html=file_of(release, place.page_html),
        report=file_of(release, place.report),
    )


def file_of(release: Path, path: str) -> File:
    content = (release / path).read_bytes()
    return File(path, len(content), hashlib.sha256(content).hexdigest())


def finish(release: Path, records: Iterable[Record]) -> None:
    """Writes what the release has once; its manifest takes the place of an older one in one step."""
    records = list(records)
    (release / INDEX_FILE).write_text("<!DOCTYPE html><title>Index</title>\n", encoding="utf-8")
    (release / LABELS_FILE).write_text("background\n", encoding="utf-8")
    (release / PROVENANCE_FILE).write_bytes(encoded({"made": "by hand"}))
    sums = "".join(f"{file.sha256}  {file.path}\n" for record in records for file in record.all_files)
    (release / SUMS_FILE).write_text(sums, encoding="utf-8")
    replace_manifest(release, records)


def replace_manifest(release: Path, records: Iterable[Record]) -> None:
    staged = release / f".{MANIFEST_FILE}"
    staged.write_bytes(encoded(manifest(records, "0.1.0")))
    staged.replace(release / MANIFEST_FILE)
