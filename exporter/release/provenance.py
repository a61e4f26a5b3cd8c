"""A provenance statement for a release: in-toto's Statement v1 with SLSA's provenance v1 as its predicate.

It says which inputs the artifacts were made from. It is not signed, and contains no time and no machine. The publisher
of a release signs it.
"""

from collections.abc import Sequence
from typing import Any

import exporter
from exporter.release.manifest import MANIFEST_FILE, Record
from exporter.validation import to_plain

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
#: The kind of build; see ``docs/release.md``.
BUILD_TYPE = "urn:nasexport:release:1"
BUILDER = "urn:nasexport:command-line"


def statement(records: Sequence[Record], manifest_sha256: str) -> dict[str, Any]:
    """The statement about the archives of a release and its manifest, which has the hashes of the other files."""
    files = [(record.archive.path, record.archive.sha256) for record in records] + [(MANIFEST_FILE, manifest_sha256)]
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": name, "digest": {"sha256": sha256}} for name, sha256 in sorted(files)],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    "artifacts": [{"handle": record.handle, "options": to_plain(record.options)} for record in records]
                },
                "internalParameters": {"code": sorted({record.inputs["code"] for record in records})},
                "resolvedDependencies": [*_checkpoints(records), *_packages(records)],
            },
            "runDetails": {"builder": {"id": BUILDER, "version": {"nasexport": exporter.__version__}}},
        },
    }


def _checkpoints(records: Sequence[Record]) -> list[dict[str, Any]]:
    """The checkpoint archives; the files of a checkpoint that came without an archive."""
    found: dict[str, dict[str, Any]] = {}
    for record in records:
        source = record.source
        hashes = {source.archive: source.archive_sha256} if source.archive and source.archive_sha256 else source.files
        for name, sha256 in hashes.items():
            found[sha256] = {
                "name": name,
                "digest": {"sha256": sha256},
                "annotations": {"model": record.model, "synthetic": source.synthetic},
            }
    return sorted(found.values(), key=lambda resource: (resource["annotations"]["model"], resource["name"]))


def _packages(records: Sequence[Record]) -> list[dict[str, Any]]:
    packages = {(name, version) for record in records for name, version in record.inputs["packages"].items()}
    return [{"uri": f"pkg:pypi/{name}@{version}"} for name, version in sorted(packages)]
