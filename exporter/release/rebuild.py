"""Exports an artifact of a release once more, and compares its files byte for byte.

What a verification measures on some images says nothing of what a graph does on others. Where checkpoint, code and
packages are the same, so are the bytes; then nothing can hide in them.
"""

from collections.abc import Mapping
from pathlib import Path

from exporter.artifact.jobs import ExportRequest, ExportTarget, export_job
from exporter.artifact.metadata import METADATA_FILE, Metadata
from exporter.checkpoint.source import Source
from exporter.errors import OtherReleaseError
from exporter.files import temporary
from exporter.files.hashing import sha256
from exporter.models.formats import FORMATS
from exporter.processes import run as worker
from exporter.progress import Say
from exporter.release import identity
from exporter.release.claims import inputs_of
from exporter.release.manifest import Record
from exporter.verification.results import Check, count


def require_same_packages(records: Mapping[str, Record]) -> None:
    """Raises OtherReleaseError where an artifact was written by other packages than those that are here."""
    for handle, record in records.items():
        own = identity.packages(FORMATS[record.format])
        said = inputs_of(record).packages
        if wrong := [f"{name} {said[name]}, not {version}" for name, version in own.items() if said[name] != version]:
            raise OtherReleaseError(
                f"{handle} was written with {', '.join(wrong)}:\n"
                "only the same packages give the same bytes; install those, or leave out --rebuild"
            )


def check(release: Path, record: Record, metadata: Metadata, source: Source, say: Say, debug: bool) -> Check:
    """Whether the files of an artifact are those that an export of this checkpoint gives.

    Raises:
        NasexportError: it cannot be exported.
    """
    place = record.place
    with temporary.folder() as scratch:
        folder = scratch / "artifact"
        target = ExportTarget(metadata.task, metadata.version, metadata.options, folder)
        request = ExportRequest(metadata.model, source.prefix, (target,))
        result = worker.run(export_job(request.specs), request, say, debug, scratch=scratch).result
        for failed in result.failed:
            raise failed.failure.exception()
        wrong = [
            path
            for path in (file.path.removeprefix(f"{place.folder}/") for file in record.files)
            if path != METADATA_FILE and sha256(folder / path) != sha256(release / place.folder / path)
        ]
    return count("files that an export does not give", len(wrong), ", ".join(wrong))
