"""Facts of released artifacts, made up where they do not matter."""

from typing import Any

import msgspec

from exporter.artifact.metadata import METADATA_SCHEMA, CheckpointFacts, Metadata, Tool, Verdict
from exporter.artifact.options import ArtifactOptions
from exporter.files.hashing import File
from exporter.models.config import TASKS, ModelConfig, Task, handle, models
from exporter.release.manifest import CheckFacts, Place, Record
from exporter.release.model_page import PageFacts

PUBLISHED = [config for config in models().values() if config.published]
#: Every artifact that was published.
ARTIFACTS: list[tuple[ModelConfig, Task, int]] = [
    (config, task, version) for config in PUBLISHED for task in TASKS for version in config.versions
]
HANDLES = frozenset(handle(*artifact) for artifact in ARTIFACTS)

#: The address in the programs on pages, which stands for any.
HUB = "http://127.0.0.1:8000"

SYNTHETIC = {"model": "some_model", "seed": 0, "layout": "plain"}
SOURCE = CheckpointFacts(
    archive="some archive.tar.gz",
    archive_sha256="a1" * 32,
    files={"model.ckpt.index": "b2" * 32, "model.ckpt.data-00000-of-00001": "c3" * 32},
    layout="plain",
    variables_from_averages=7,
    synthetic=None,
    left_out={"auxiliary_head": 12, "last_values": 7, "slots": 3, "counters": 1, "unknown": 0},
)
CHECKS = (
    CheckFacts("variables with other values", 0, 0, "bit for bit", True),
    CheckFacts("output, relative difference", 1.2345e-5, 1e-4, "", True),
)


def source(**changes: Any) -> CheckpointFacts:
    return msgspec.structs.replace(SOURCE, **changes)


def metadata(config: ModelConfig, task: Task, version: int, **changes: Any) -> Metadata:
    """What an artifact says of itself; ``changes`` are fields of `Metadata`."""
    facts: dict[str, Any] = {
        "tool": Tool("1.2.3", "2.21.0"),
        "handle": handle(config, task, version),
        "format": config.versions[version],
        "options": ArtifactOptions(0.99),
        "source": SOURCE,
        "verification": (Verdict("variables with other values", 0, True), Verdict("output", 1e-4, True)),
    }
    about = {"schema": METADATA_SCHEMA, "model": config, "task": task, "version": version}
    return Metadata(**{**about, **facts, **changes})


def subject(config: ModelConfig, task: Task, version: int, **changes: Any) -> PageFacts:
    """What a model page is made from; ``changes`` are fields of `PageFacts`."""
    place = Place(handle(config, task, version))
    facts: dict[str, Any] = {
        "tool": Tool("1.2.3", "2.21.0"),
        "options": ArtifactOptions(0.99 if version >= 3 else 0.9997),
        "source": source(),
        "checks": CHECKS,
        "size": 87_654_321,
        "archive": File(place.archive, 76_543_210, "d4" * 32),
    }
    return PageFacts(config, task, version, **{**facts, **changes})


def record(config: ModelConfig, task: Task, version: int, **changes: Any) -> Record:
    """The same as a record; ``changes`` are fields of `Record`."""
    about = subject(config, task, version)
    place = about.place
    facts: dict[str, Any] = {
        "handle": place.handle,
        "model": config.name,
        "task": task,
        "version": version,
        "format": config.versions[version],
        "identity": "e5" * 32,
        "inputs": {},
        "source": about.source,
        "options": about.options,
        "checks": about.checks,
        "files": (File(f"{place.folder}/saved_model.pb", about.size, "f6" * 32),),
        "archive": about.archive,
    }
    for number, name in enumerate(("page", "page_html", "report")):
        facts[name] = File(getattr(place, name), 1000 + number, f"{number}" * 64)
    return Record(**{**facts, **changes})
