"""Checks a finished release from its files alone: hashes, records, archives, and the files derived from them."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

from exporter.artifact import packed
from exporter.artifact.metadata import read_metadata
from exporter.errors import ArtifactError, NasexportError, ReleaseError
from exporter.files import archive
from exporter.files.hashing import sha256
from exporter.release import finalize, identity
from exporter.release.manifest import INDEX_FILE, MANIFEST_FILE, PROVENANCE_FILE, SUMS_FILE, Record, read_manifest
from exporter.release.plan import problems
from exporter.verification.results import Check, count


def check(release: Path) -> list[Check]:
    """Runs all checks of a release; returns those that passed and those that failed.

    Raises:
        ReleaseError: its manifest is missing or damaged.
    """
    records = list(read_manifest(release).values())
    return [
        _counted("files that are missing, damaged or too many", _bytes(release, records)),
        _counted(f"lines of {SUMS_FILE} that are wrong", _sums(release, records)),
        _counted("subjects of the provenance that are wrong", _provenance(release, records)),
        _counted("records that contradict the manifest", _records(release, records)),
        _counted("archives that are not their folders", _archives(release, records)),
        _counted("identities that are not those of their inputs", _identities(records)),
        _counted("artifacts that say something else of themselves", _metadata(release, records)),
    ]


def _counted(name: str, found: Iterator[str]) -> Check:
    wrong = list(found)
    return count(name, len(wrong), f"first: {wrong[0]}" if wrong else "")


def _bytes(release: Path, records: list[Record]) -> Iterator[str]:
    for record in records:
        yield from problems(release, record)
    known = {file.path for record in records for file in record.all_files}
    known |= {record.place.record for record in records} | set(finalize.FILES)
    for path in sorted(release.rglob("*")):
        name = path.relative_to(release).as_posix()
        inside_artifact = any(name.startswith(f"{record.place.folder}/") for record in records)
        if not path.is_dir() and name not in known and not inside_artifact:
            yield f"{name} does not belong there"


def _sums(release: Path, records: list[Record]) -> Iterator[str]:
    hashes = {file.path: file.sha256 for record in records for file in record.all_files}
    for name in [*(record.place.record for record in records), MANIFEST_FILE, INDEX_FILE, PROVENANCE_FILE]:
        hashes[name] = sha256(release / name) if (release / name).is_file() else "that of a file"
    try:
        lines = (release / SUMS_FILE).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        yield f"{SUMS_FILE} cannot be read: {error}"
        return
    wanted = {f"{digest}  {path}" for path, digest in hashes.items()}
    yield from sorted(wanted ^ set(lines))


def _provenance(release: Path, records: list[Record]) -> Iterator[str]:
    """The names of subjects that are missing, unexpected, or have another hash."""
    try:
        statement = json.loads((release / PROVENANCE_FILE).read_text(encoding="utf-8"))
        found = {subject["name"]: subject["digest"]["sha256"] for subject in statement["subject"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        yield f"{PROVENANCE_FILE} cannot be read: {error}"
        return
    wanted = {record.archive.path: record.archive.sha256 for record in records}
    wanted[MANIFEST_FILE] = sha256(release / MANIFEST_FILE)
    yield from sorted(name for name in {*found, *wanted} if found.get(name) != wanted.get(name))


def _records(release: Path, records: list[Record]) -> Iterator[str]:
    try:
        beside = {record.handle: record for record in finalize.records(release)}
    except ReleaseError as error:
        yield str(error)
        return
    listed = {record.handle: record for record in records}
    yield from (handle for handle in sorted({*beside, *listed}) if beside.get(handle) != listed.get(handle))


def _archives(release: Path, records: list[Record]) -> Iterator[str]:
    with ThreadPoolExecutor(2) as threads:
        yield from filter(None, threads.map(lambda record: _archive(release, record), records))


def _archive(release: Path, record: Record) -> str:
    try:
        found = archive.hashes(release / record.archive.path, packed.ARTIFACT)
    except NasexportError as error:
        return str(error)
    wanted = {str(PurePosixPath(file.path).relative_to(record.place.folder)): file.sha256 for file in record.files}
    return "" if found == wanted else f"{record.archive.path} holds other files than {record.place.folder}"


def _identities(records: list[Record]) -> Iterator[str]:
    yield from (record.handle for record in records if identity.identity(record.inputs) != record.identity)


def _metadata(release: Path, records: list[Record]) -> Iterator[str]:
    for record in records:
        try:
            found = read_metadata(release / record.place.folder)
        except ArtifactError as error:
            yield str(error)
            continue
        wanted = (record.handle, record.source, record.options)
        if found is None or (found.handle, found.source, found.options) != wanted:
            yield record.handle
