"""The last steps of one artifact of a release: pack it, write its pages, move it into the release."""

import dataclasses
import hashlib
import os
import shutil
from pathlib import Path

from exporter.artifact.jobs import ReadCheckpoint
from exporter.artifact.metadata import Metadata, write_metadata
from exporter.checkpoint.source import Source
from exporter.files import staging
from exporter.files.hashing import File
from exporter.files.packing import pack_release
from exporter.progress import Say
from exporter.release import identity, model_page, model_page_html
from exporter.release.manifest import CheckFacts, Place, Record, encoded
from exporter.release.plan import Planned
from exporter.report import page as verification_page
from exporter.report.section import Section
from exporter.verification.results import Report, require_passed


def complete(
    planned: Planned,
    folder: Path,
    release: Path,
    checked: Report,
    source: Source,
    read: ReadCheckpoint,
    say: Say,
) -> Record:
    """Packs an artifact that passed, and moves it into a release; its record is the last file written.

    Args:
        folder: the artifact, on the file system of the release.
        checked: of its verification, with ``measured``.
        read: what the export found in the checkpoint.

    Raises:
        VerificationError: a check failed; only the report was moved into the release.
        OSError: a file cannot be written.
    """
    assert planned.inputs is not None
    target = planned.target
    metadata = Metadata.of(target.config, target.task, target.version, target.options, source, read)
    checked = dataclasses.replace(checked, path=target.place.handle)
    metadata = metadata.verified(checked.verdict())
    staged = _Staged(folder, release, target.place)
    report = staged.add(target.place.report, verification_page.page([Section(checked, metadata)]).encode())
    if not checked.passed:
        staged.place_report()
    require_passed(checked, target.place.handle)
    write_metadata(folder, metadata)
    say("packing")
    files, archive = staged.pack()
    checks = tuple(CheckFacts(**check.to_dict()) for check in checked.checks)
    page, page_html = model_page_html.pages(
        model_page.PageFacts(
            config=target.config,
            task=target.task,
            version=target.version,
            tool=metadata.tool,
            options=metadata.options,
            source=metadata.source,
            checks=checks,
            size=sum(file.size for file in files),
            archive=archive,
        )
    )
    record = Record(
        handle=target.place.handle,
        model=target.config.name,
        task=target.task,
        version=target.version,
        format=target.format,
        identity=identity.identity(planned.inputs),
        inputs=planned.inputs,
        source=metadata.source,
        options=metadata.options,
        checks=checks,
        files=files,
        archive=archive,
        page=staged.add(target.place.page, page.encode()),
        page_html=staged.add(target.place.page_html, page_html.encode()),
        report=report,
    )
    staged.place_all(record)
    return record


def remove(release: Path, place: Place) -> None:
    """Removes an artifact from a release, its record first: files without a record do not count as an artifact."""
    for path in (place.record, place.archive, place.page, place.page_html, place.report):
        (release / path).unlink(missing_ok=True)
    shutil.rmtree(release / place.folder, ignore_errors=True)


class _Staged:
    """The files of one artifact until they are moved into a release; they are staged beside ``folder``."""

    def __init__(self, folder: Path, release: Path, place: Place):
        self._folder, self._release, self._place = folder, release, place

    def _staged_path(self, path: str) -> Path:
        return self._folder.with_name(self._folder.name + path.removeprefix(self._place.handle))

    def add(self, path: str, content: bytes) -> File:
        self._staged_path(path).write_bytes(content)
        return File(path, len(content), hashlib.sha256(content).hexdigest())

    def pack(self) -> tuple[tuple[File, ...], File]:
        place = self._place
        return pack_release(self._folder, self._staged_path(place.archive), place.folder, place.archive)

    def _move(self, path: str) -> None:
        os.replace(self._staged_path(path), self._release / path)

    def place_report(self) -> None:
        (self._release / self._place.report).parent.mkdir(parents=True, exist_ok=True)
        self._move(self._place.report)

    def place_all(self, record: Record) -> None:
        remove(self._release, self._place)
        self.place_report()
        for path in (self._place.folder, self._place.archive, self._place.page, self._place.page_html):
            self._move(path)
        staging.write(self._release / self._place.record, encoded(record.to_dict()))
