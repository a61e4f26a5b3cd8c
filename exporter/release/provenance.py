"""A provenance statement for a release: in-toto's Statement v1 with SLSA's provenance v1 as its predicate.

It says which inputs the artifacts were made from, and names every other file of the release with its hash. It contains
no time and no machine. It is what a signature of a release is over, see `exporter.release.signatures`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from exporter.files.hashing import Sha256
from exporter.release.manifest import Record, encoded
from exporter.validation import Refusal, convert, parse_json, to_plain

STATEMENT_TYPE: Literal["https://in-toto.io/Statement/v1"] = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE: Literal["https://slsa.dev/provenance/v1"] = "https://slsa.dev/provenance/v1"
#: The kind of build; see ``docs/reference/files.md``.
BUILD_TYPE: Literal["urn:nasexport:release:1"] = "urn:nasexport:release:1"
BUILDER: Literal["urn:nasexport:command-line"] = "urn:nasexport:command-line"


class _Fields(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """The fields of in-toto and SLSA, which are written ``inCamelCase``."""


class Digest(_Fields, frozen=True):
    sha256: Sha256


class Subject(_Fields, frozen=True):
    """A file of the release."""

    name: str
    digest: Digest


class CheckpointNotes(_Fields, frozen=True):
    """Which model a checkpoint is of, and how its weights were made up, where they were."""

    model: str
    synthetic: dict[str, Any] | None


class Checkpoint(_Fields, frozen=True):
    """A file that weights came out of: an archive, or one of a checkpoint that came without."""

    name: str
    digest: Digest
    annotations: CheckpointNotes


class Package(_Fields, frozen=True):
    """A Python package, as a purl."""

    uri: str


class ArtifactParameters(_Fields, frozen=True):
    handle: str
    options: dict[str, int | float]


class ExternalParameters(_Fields, frozen=True):
    artifacts: tuple[ArtifactParameters, ...]


class InternalParameters(_Fields, frozen=True):
    """``code`` has the hashes of nasexport's code."""

    code: tuple[Sha256, ...]


class BuildDefinition(_Fields, frozen=True):
    """``resolved_dependencies`` has a `Checkpoint` or a `Package` in each."""

    build_type: Literal["urn:nasexport:release:1"]
    external_parameters: ExternalParameters
    internal_parameters: InternalParameters
    resolved_dependencies: tuple[dict[str, Any], ...]


class Builder(_Fields, frozen=True):
    """``version`` has that of nasexport."""

    id: Literal["urn:nasexport:command-line"]
    version: dict[str, str]


class RunDetails(_Fields, frozen=True):
    builder: Builder


class Predicate(_Fields, frozen=True):
    build_definition: BuildDefinition
    run_details: RunDetails


class Statement(_Fields, frozen=True):
    """The content of ``provenance.json``."""

    type: Literal["https://in-toto.io/Statement/v1"] = msgspec.field(name="_type")
    subject: tuple[Subject, ...]
    predicate_type: Literal["https://slsa.dev/provenance/v1"]
    predicate: Predicate


def statement(records: Sequence[Record], hashes: Mapping[str, str], tool: str) -> bytes:
    """The statement about a release.

    Args:
        records: of all its artifacts, in the order of their handles.
        hashes: the sha256 of each of its files, by path, but for those that depend on the statement.
        tool: nasexport's version.
    """
    return encoded(to_plain(_statement(records, hashes, tool)))


def subjects(content: bytes, refusal: Refusal) -> dict[str, str]:
    """The sha256 of each file that a statement is about, by its path.

    Raises:
        NasexportError: that of ``refusal``, where the content is no statement.
    """
    found = convert(parse_json(content, refusal), Statement, refusal)
    return {subject.name: subject.digest.sha256 for subject in found.subject}


def _statement(records: Sequence[Record], hashes: Mapping[str, str], tool: str) -> Statement:
    return Statement(
        type=STATEMENT_TYPE,
        subject=tuple(Subject(name, Digest(sha256)) for name, sha256 in sorted(hashes.items())),
        predicate_type=PREDICATE_TYPE,
        predicate=Predicate(
            BuildDefinition(
                build_type=BUILD_TYPE,
                external_parameters=ExternalParameters(
                    tuple(ArtifactParameters(record.handle, to_plain(record.options)) for record in records)
                ),
                internal_parameters=InternalParameters(tuple(sorted({record.inputs["code"] for record in records}))),
                resolved_dependencies=tuple(to_plain([*_checkpoints(records), *_packages(records)])),
            ),
            RunDetails(Builder(BUILDER, {"nasexport": tool})),
        ),
    )


def _checkpoints(records: Iterable[Record]) -> list[Checkpoint]:
    """The checkpoint archives; the files of a checkpoint that came without an archive."""
    found: dict[tuple[str, str, str], Checkpoint] = {}
    for record in records:
        source = record.source
        hashes = {source.archive: source.archive_sha256} if source.archive and source.archive_sha256 else source.files
        notes = CheckpointNotes(record.model, source.synthetic)
        for name, sha256 in hashes.items():
            found[record.model, name, sha256] = Checkpoint(name, Digest(sha256), notes)
    return [found[key] for key in sorted(found)]


def _packages(records: Iterable[Record]) -> list[Package]:
    packages = {(name, version) for record in records for name, version in record.inputs["packages"].items()}
    return [Package(f"pkg:pypi/{name}@{version}") for name, version in sorted(packages)]
