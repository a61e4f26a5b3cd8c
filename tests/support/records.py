"""Facts of released artifacts, made up where they do not matter."""

from collections.abc import Mapping
from typing import Any

from exporter.files.hashing import File
from exporter.models.config import TASKS, ModelConfig, Task, handle, models
from exporter.release.manifest import Place, Record
from exporter.release.model_page import Subject

PUBLISHED = [config for config in models().values() if config.published]
#: Every artifact that was published.
ARTIFACTS: list[tuple[ModelConfig, Task, int]] = [
    (config, task, version) for config in PUBLISHED for task in TASKS for version in config.versions
]
HANDLES = frozenset(handle(*artifact) for artifact in ARTIFACTS)

#: The address in the programs on pages, which stands for any.
HUB = "http://127.0.0.1:8000"

SYNTHETIC = {"model": "some_model", "seed": 0, "layout": "plain"}
SOURCE: Mapping[str, Any] = {
    "archive": "some archive.tar.gz",
    "archive_sha256": "a1" * 32,
    "files": {"model.ckpt.index": "b2" * 32, "model.ckpt.data-00000-of-00001": "c3" * 32},
    "layout": "plain",
    "variables_from_averages": 7,
    "synthetic": None,
}
CHECKS: tuple[dict[str, Any], ...] = (
    {"name": "variables with other values", "figure": 0, "tolerance": 0, "detail": "bit for bit", "passed": True},
    {"name": "output, relative difference", "figure": 1.2345e-5, "tolerance": 1e-4, "detail": "", "passed": True},
)


def source(**changes: Any) -> dict[str, Any]:
    return {**SOURCE, **changes}


def subject(config: ModelConfig, task: Task, version: int, **changes: Any) -> Subject:
    """What a model page is made from; ``changes`` are fields of `Subject`."""
    place = Place(handle(config, task, version))
    facts: dict[str, Any] = {
        "tool": {"nasexport": "1.2.3", "tensorflow": "2.21.0"},
        "options": {"batch_norm_momentum": 0.99 if version >= 3 else 0.9997},
        "source": source(),
        "checks": CHECKS,
        "size": 87_654_321,
        "archive": File(place.archive, 76_543_210, "d4" * 32),
    }
    return Subject(config, task, version, **{**facts, **changes})


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
