"""What a forger does to a release: changes what it likes, and computes anew whatever follows from that."""

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

import exporter
from exporter.artifact import metadata as artifact_metadata
from exporter.artifact.metadata import METADATA_SCHEMA, Metadata, Tool, Verdict
from exporter.files.packing import pack_release, packed_release
from exporter.models.config import ModelConfig
from exporter.release import finalize, identity, model_page, model_page_html, report_page
from exporter.release.artifact import remove
from exporter.release.derived import metadata_of
from exporter.release.manifest import MANIFEST_FILE, Place, Record, encoded, read_manifest
from tests.support.releases import file_of
from tests.support.small_release import HANDLES

NASNET = Place("google/imagenet/small_nasnet/classification/4")
SISTER = Place("google/imagenet/small_nasnet/feature_vector/4")
HUB = Place("google/imagenet/small_pnasnet/classification/1")


def records_below(release: Path) -> list[Path]:
    return sorted(release.glob("google/imagenet/*/*/*.json"))


@contextlib.contextmanager
def edited(path: Path) -> Iterator[Any]:
    """The JSON of a file, written back in its canonical form with what was changed in it."""
    value = json.loads(path.read_text(encoding="utf-8"))
    yield value
    path.write_bytes(encoded(value))


def rehash(release: Path, handles: list[str] | None = None) -> None:
    """Sizes, hashes and identities in all records, and then manifest, index, provenance and sums, as far as they go."""
    found = []
    for path in records_below(release):
        place = Place(path.relative_to(release).as_posix().removesuffix(".json"))
        with edited(path) as record, contextlib.suppress(KeyError, TypeError, AttributeError, OSError, ValueError):
            for file in [*record["files"], *(record[name] for name in ("archive", "page", "page_html", "report"))]:
                file.update(msgspec.to_builtins(file_of(release, file["path"])))
            record["identity"] = identity.identity(record["inputs"])
        found.append((place.handle, json.loads(path.read_text(encoding="utf-8"))))
    rows = [record for _, record in sorted(found)]
    manifest = {"schema": 1, "nasexport": exporter.__version__, "artifacts": rows}
    (release / MANIFEST_FILE).write_bytes(encoded(manifest))
    with contextlib.suppress(msgspec.ValidationError, KeyError, TypeError, AttributeError):
        records = sorted(msgspec.convert(rows, list[Record]), key=lambda record: record.handle)
        with contextlib.suppress(Exception):
            for name, content in finalize.contents(records, exporter.__version__).items():
                if name != MANIFEST_FILE:
                    (release / name).write_bytes(content)


def rederive(release: Path, handle: str) -> None:
    """All that follows from the record of an artifact: ``nasexport.json``, archive and pages; then `rehash`."""
    place = Place(handle)
    with edited(release / place.record) as record:
        facts = msgspec.convert(record, Record)
        tool = Tool(facts.inputs["nasexport"], facts.inputs["packages"]["tensorflow"])
        config = ModelConfig.from_dict(facts.inputs["config"])
        said = Metadata(
            schema=METADATA_SCHEMA,
            tool=tool,
            handle=handle,
            model=config,
            task=facts.task,
            version=facts.version,
            format=facts.format,
            options=facts.options,
            source=facts.source,
            verification=tuple(Verdict(each.name, each.tolerance, each.passed) for each in facts.checks),
        )
        artifact_metadata.write_metadata(release / place.folder, said)
        repack(release, handle)
        files, archive = packed_release(release / place.folder, place.folder, place.archive)
        record["files"], record["archive"] = msgspec.to_builtins((files, archive))
        size = sum(file.size for file in files)
        options = (config, facts.task, facts.version, tool, facts.options, facts.source, facts.checks, size, archive)
        texts = model_page_html.pages(model_page.PageFacts(*options, facts.page_links))
        for path, text in zip((place.page, place.page_html), texts, strict=True):
            (release / path).write_text(text, encoding="utf-8")
    rehash(release)


def repack(release: Path, handle: str) -> None:
    """Its archive again, out of its folder."""
    place = Place(handle)
    pack_release(release / place.folder, release / place.archive, place.folder, place.archive)


def exchange(one: Path, other: Path) -> None:
    """Each takes the other's place."""
    aside = one.with_name(f"{one.name}.aside")
    shutil.move(one, aside)
    shutil.move(other, one)
    shutil.move(aside, other)


def rederive_report(release: Path, handle: str) -> None:
    """The report of an artifact as its record gives it now."""
    record = read_manifest(release)[handle]
    path = release / record.place.report
    found = path.read_text(encoding="utf-8")
    path.write_text(report_page.expected(record, metadata_of(release, record), found), encoding="utf-8")
    rehash(release)


def leave(release: Path, handles: set[str]) -> None:
    """Leaves these artifacts alone in a release."""
    finalize.open_again(release)
    for handle in set(HANDLES) - handles:
        remove(release, Place(handle))
    for pattern in ("google/imagenet/*/*", "google/imagenet/*"):
        for folder in [path for path in release.glob(pattern) if not [*path.iterdir()]]:
            folder.rmdir()
    finalize.close(release)
