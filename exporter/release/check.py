"""Checks a finished release from its files alone.

Every name is accounted for, and no link is followed; every hash is right; every record agrees with its handle and with
itself; and all that follows from the records is derived again and compared byte for byte: what artifacts say of
themselves, archives, pages, manifest, index, provenance and sums.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import exporter
from exporter.errors import NasexportError, OtherReleaseError, ReleaseError
from exporter.files.hashing import sha256
from exporter.files.packing import packed_release
from exporter.release import claims, derived, finalize, identity, names, pages, provenance, signatures
from exporter.release.manifest import MANIFEST_FILE, PROVENANCE_FILE, SUMS_FILE, Record, read_records
from exporter.release.plan import damages
from exporter.validation import shown
from exporter.verification.results import Check, count

#: The check that a new signature mends.
SIGNATURES = "signatures of something else"


def check(release: Path, *, vouched: bool = False) -> list[Check]:
    """Runs all checks of a release; returns those that passed and those that failed.

    Where a name is wrong, or a record contradicts itself, no other file is read, and this check is the only one.

    Args:
        vouched: whether whoever asks will require a signature: then the provenance counts for what another nasexport
            made, and this one cannot derive again.

    Raises:
        ReleaseError: its manifest is missing or damaged.
        OtherReleaseError: it is sound as far as this nasexport can say, but another one made it, and it is not vouched
            for.
    """
    if (release / MANIFEST_FILE).is_symlink():
        raise ReleaseError(f"{release / MANIFEST_FILE} is a link, expected a file")
    tool, records = read_records(release)
    wrong = list(names.problems(release, records, finalize.FILES, signatures.KINDS))
    files = "files that are missing, damaged or too many"
    if wrong:
        return [_counted(files, wrong)]
    sound = _counted("records that contradict themselves", _contradictions(records))
    if not sound.passed:
        return [sound]

    def each(problems: Callable[[Path, Record], Iterator[str]]) -> Iterator[str]:
        return (problem for record in records for problem in problems(release, record))

    other = _others(tool, records)
    checks = [
        _counted(files, each(damages)),
        sound,
        _counted("records that contradict the manifest", each(derived.record_problems)),
        _counted("artifacts that say something else of themselves", each(derived.metadata_problems)),
        _counted("archives that are not their folders", _archives(release, records)),
        _counted(SIGNATURES, _signatures(release)),
    ]
    if other is None:
        checks += [
            _counted(
                "pages that their records do not give",
                itertools.chain(each(derived.page_problems), pages.problems(records)),
            ),
            _counted("files of the release that its records do not give", _single_files(release, tool, records)),
        ]
    elif vouched:
        checks.append(_counted("files that the provenance does not have so", _attested(release, records)))
    elif all(check.passed for check in checks):
        raise OtherReleaseError(
            f"{other}, this is {_named(exporter.__version__, identity.code())}:\nonly the one that made a release can "
            "derive its pages again: verify it with that, or with --signed-by where it is signed"
        )
    return checks


def _counted(name: str, found: Iterable[str]) -> Check:
    wrong = list(found)
    return count(name, len(wrong), f"first: {wrong[0]}" if wrong else "")


def _contradictions(records: list[Record]) -> Iterator[str]:
    for record in records:
        yield from claims.problems(record)
    yield from claims.contradictions(records)


def _others(tool: str, records: list[Record]) -> str | None:
    """What was made by another nasexport, None where nothing was."""
    if tool != exporter.__version__:
        return f"the release was made by nasexport {shown(tool)}"
    for record in records:
        try:
            inputs = claims.inputs_of(record)
        except ReleaseError:
            continue
        if not inputs.is_of_this_code:
            return f"{record.handle} was made by {_named(inputs.nasexport, inputs.code)}"
    return None


def _named(version: str, code: str) -> str:
    return f"nasexport {version} with code {code[:12]}"


def _archives(release: Path, records: list[Record]) -> Iterator[str]:
    with ThreadPoolExecutor(2) as threads:
        yield from filter(None, threads.map(lambda record: _archive(release, record), records))


def _archive(release: Path, record: Record) -> str:
    """Whether an archive is what its folder gives when it is packed: the same bytes, with nothing hidden in it."""
    place = record.place
    try:
        _, packed = packed_release(release / place.folder, place.folder, place.archive)
    except (OSError, ValueError) as error:
        return f"{place.folder} cannot be packed: {error}"
    return "" if packed == record.archive else f"{place.archive} is not what {place.folder} gives when it is packed"


def _signatures(release: Path) -> Iterator[str]:
    try:
        content = signatures.read_provenance(release)
    except ReleaseError as error:
        yield str(error)
        return
    yield from signatures.problems(release, content)


def _attested(release: Path, records: list[Record]) -> Iterator[str]:
    """Where the provenance, and the sums after it, do not have the hash of each file as it is."""
    expected = names.expected(records, finalize.FILES)
    hashes = {path: sha256(release / path) for path, kind in expected.items() if kind == "file" and path != SUMS_FILE}
    try:
        found = provenance.subjects(
            signatures.read_provenance(release), lambda problem: ReleaseError(f"{PROVENANCE_FILE}: {problem}")
        )
    except ReleaseError as error:
        yield str(error)
        return
    for path in sorted({*hashes, *found} - {PROVENANCE_FILE}):
        if hashes.get(path) != found.get(path):
            yield f"{path} has sha256 {hashes.get(path)}, in {PROVENANCE_FILE} {found.get(path)}"
    yield from derived.difference(release, SUMS_FILE, finalize.sums(hashes))


def _single_files(release: Path, tool: str, records: list[Record]) -> Iterator[str]:
    try:
        contents = finalize.contents(sorted(records, key=lambda record: record.handle), tool)
    except (NasexportError, KeyError) as error:
        yield f"{MANIFEST_FILE} gives no release: {error}"
        return
    for name, content in contents.items():
        yield from derived.difference(release, name, content)
