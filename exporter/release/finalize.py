"""The files of a release as a whole: manifest, index, names of classes, provenance and the list of hashes.

All are derived from the records of the artifacts, so the same artifacts always give the same files.
"""

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

import exporter
from exporter.errors import ReleaseError
from exporter.files import staging
from exporter.models.classes import class_names
from exporter.models.config import ModelConfig, models
from exporter.release import index_page, pages, provenance, signatures
from exporter.release.manifest import (
    INDEX_FILE,
    LABELS_FILE,
    MANIFEST_FILE,
    PROVENANCE_FILE,
    SUMS_FILE,
    Place,
    Record,
    encoded,
    manifest,
    read_record,
)
from exporter.release.plan import problems

#: In the order in which they are written. The manifest is last: a release that has one is complete.
FILES = (INDEX_FILE, LABELS_FILE, PROVENANCE_FILE, SUMS_FILE, MANIFEST_FILE)


def open_again(release: Path) -> None:
    """Removes `FILES`, the manifest first, because the artifacts of the release are going to change."""
    for name in reversed(FILES):
        (release / name).unlink(missing_ok=True)


def records(release: Path) -> Iterator[Record]:
    """The records stored beside the artifacts, in the order of their paths.

    Raises:
        ReleaseError: one is damaged.
    """
    for path in sorted(release.glob("google/imagenet/*/*/*.json")):
        place = Place(path.relative_to(release).as_posix().removesuffix(".json"))
        if record := read_record(release, place):
            yield record


def close(release: Path, known: Collection[str] = (), base_url: str | None = None) -> list[str]:
    """Writes `FILES`, each atomically, the manifest last; before, the pages that do not link what is there.

    Args:
        known: the handles of artifacts whose bytes the caller has just read or written.
        base_url: the address of the release, as its pages have it, see `exporter.release.address`.

    Returns:
        The signatures that were removed, as the release is no longer what they were made of.

    Raises:
        ReleaseError: an artifact in the folder is damaged, or the files cannot be written.
    """
    found = sorted(records(release), key=lambda record: record.handle)
    if old := pages.need_renewal(found, base_url):
        open_again(release)
        wanted = pages.links(found, base_url)
        found = [pages.renew(release, record, wanted[record.handle]) if record in old else record for record in found]
    for record in found:
        if problem := next(problems(release, record, read=record.handle not in known), None):
            raise ReleaseError(
                f"{record.handle} in {release} is damaged: {problem}\nrelease it again, or remove it with its record"
            )
    written = contents(found, exporter.__version__)
    try:
        stale = signatures.remove_stale(release, written[PROVENANCE_FILE])
        for name in FILES:
            staging.write(release / name, written[name])
    except OSError as error:
        raise ReleaseError(f"cannot write {error.filename or release}: {error.strerror}") from error
    return stale


def stale_signatures(stale: Sequence[str]) -> str:
    """What users are told of the signatures that `close` removed."""
    kinds = " and ".join(signatures.KINDS[name] for name in stale)
    return f"the signature by {kinds} was removed, as the release has changed: sign it again with `release sign`"


def contents(found: list[Record], tool: str) -> dict[str, bytes]:
    """The content of each of `FILES`.

    Args:
        found: all records, in the order of their handles.
        tool: nasexport's version.

    Raises:
        ConfigError: a record has no configuration of a network.
    """
    contents = {MANIFEST_FILE: encoded(manifest(found, tool))}
    contents[INDEX_FILE] = index_page.page(found, _configs(found), tool).encode()
    contents[LABELS_FILE] = "".join(f"{known.name}\n" for known in class_names()).encode()
    hashes = {name: _sha256(content) for name, content in contents.items()}
    for record in found:
        hashes |= {file.path: file.sha256 for file in record.all_files}
        hashes[record.place.record] = _sha256(encoded(record.to_dict()))
    contents[PROVENANCE_FILE] = provenance.statement(found, hashes, tool)
    hashes[PROVENANCE_FILE] = _sha256(contents[PROVENANCE_FILE])
    contents[SUMS_FILE] = sums(hashes)
    return contents


def sums(hashes: Mapping[str, str]) -> bytes:
    """The content of ``SHA256SUMS``, from the sha256 of each file by its path: as ``sha256sum`` writes it."""
    return "".join(f"{sha256}  {path}\n" for path, sha256 in sorted(hashes.items())).encode()


def _configs(found: list[Record]) -> dict[str, ModelConfig]:
    """The networks by name: first the models that ship with nasexport, in its order, then others."""
    configs = {record.model: ModelConfig.from_dict(record.inputs["config"]) for record in found}
    order = [*models(), *sorted(configs)]
    return dict(sorted(configs.items(), key=lambda pair: order.index(pair[0])))


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
