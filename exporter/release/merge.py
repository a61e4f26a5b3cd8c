"""Merges parts of a release, which may come from several machines, into one."""

import itertools
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from exporter.errors import ReleaseError
from exporter.files import staging
from exporter.progress import SILENT, Listener
from exporter.release import artifact, claims, finalize, signatures
from exporter.release.folder import held
from exporter.release.manifest import Record, encoded, read_manifest
from exporter.release.plan import problems


def merge(parts: Sequence[Path], release: Path, *, listener: Listener = SILENT) -> list[str]:
    """Merges parts into ``release``, which may hold artifacts already; returns the handles of all its artifacts.

    Files are hard-linked if possible, else copied. The hashes of all files are checked first.

    Raises:
        ReleaseError: a part is incomplete or damaged, or two have different artifacts of one handle.
    """
    chosen: dict[str, tuple[Path, Record]] = {}
    addresses: dict[str | None, Path] = {}
    for part in parts:
        for handle, record in read_manifest(part).items():
            listener.step(f"checking {handle} of {part}")
            if problem := next(itertools.chain(claims.problems(record), problems(part, record)), None):
                raise ReleaseError(f"{part} is damaged: {problem}\nmake that part again")
            _add(chosen, part, record)
            addresses.setdefault(record.page_links.base_url, part)
    with held(release):
        present = {record.handle: record for record in finalize.records(release)}
        for record in present.values():
            _add(chosen, release, record)
            addresses.setdefault(record.page_links.base_url, release)
        base_url = _only(addresses)
        finalize.open_again(release)
        for handle, (part, record) in chosen.items():
            if handle not in present:
                listener.step(f"joining {handle}")
                _copy(part, release, record)
        if stale := finalize.close(release, base_url=base_url):
            listener.warn(finalize.stale_signatures(stale))
        elif any(signatures.present(part) for part in parts) and not signatures.present(release):
            listener.warn("the signatures of the parts are none of the whole: sign it with `release sign`")
    return sorted(chosen)


def _add(chosen: dict[str, tuple[Path, Record]], part: Path, record: Record) -> None:
    known = chosen.setdefault(record.handle, (part, record))
    # Figures in reports and pages depend on the processor, so these may differ; the artifacts themselves may not.
    if (known[1].identity, known[1].archive.sha256) != (record.identity, record.archive.sha256):
        raise ReleaseError(
            f"{known[0]} and {part} have different artifacts of {record.handle}: "
            f"identity {known[1].identity[:12]} and {record.identity[:12]},\n"
            f"archive {known[1].archive.sha256[:12]} and {record.archive.sha256[:12]}; remove one of them"
        )


def _only(addresses: dict[str | None, Path]) -> str | None:
    """The address that the pages of all parts have; ``addresses`` has a part for each."""
    if len(addresses) > 1:
        (first, part), (other, its_part) = list(addresses.items())[:2]
        raise ReleaseError(
            f"the pages of {part} have the address {first}, those of {its_part} {other}: "
            "make the parts with the same --base-url"
        )
    return next(iter(addresses), None)


def _copy(part: Path, release: Path, record: Record) -> None:
    """Links or copies an artifact into the release, its record last."""
    artifact.remove(release, record.place)
    try:
        for file in record.all_files:
            target = release / file.path
            target.parent.mkdir(parents=True, exist_ok=True)
            _link(part / file.path, target)
        # Empty folders are not in the list of files, but readers expect them.
        for folder in (path for path in (part / record.place.folder).rglob("*") if path.is_dir()):
            (release / folder.relative_to(part)).mkdir(parents=True, exist_ok=True)
        staging.write(release / record.place.record, encoded(record.to_dict()))
    except OSError as error:
        raise ReleaseError(f"cannot write {error.filename or release}: {error.strerror}") from error


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
