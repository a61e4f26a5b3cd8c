"""The model page of an artifact: what the network is, how to use it, and how the artifact was verified.

The programs on a page run unchanged; the tests take them from the page. It contains no time, machine name or path, so
the same facts give the same bytes.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from exporter.artifact.metadata import CheckpointFacts, Tool
from exporter.artifact.options import ArtifactOptions
from exporter.files.hashing import File
from exporter.models import cells, variables
from exporter.models.classes import IMAGENET_CLASSES
from exporter.models.config import TASKS, ModelConfig, Task, handle
from exporter.models.formats import FORMATS, Format, FormatSpec, Version
from exporter.models.signatures import SERVING_OUTPUTS
from exporter.release import address
from exporter.release.families import FAMILY_TEXTS
from exporter.release.hub_card import front_matter
from exporter.release.manifest import INDEX_FILE, LABELS_FILE, NO_LINKS, CheckFacts, PageLinks, Place
from exporter.report import templates
from exporter.validation import to_plain

_OTHER_TASK: dict[Task, Task] = {TASKS[0]: TASKS[1], TASKS[1]: TASKS[0]}


@dataclass(frozen=True)
class PageFacts:
    """The facts about an artifact that its model page shows.

    Args:
        config: its network.
        task: its task.
        version: its version, one of those of ``config``.
        tool: the versions of nasexport and TensorFlow that wrote it, as in its ``nasexport.json``.
        options: as in its ``nasexport.json``.
        source: as in its ``nasexport.json``.
        checks: the checks of its verification.
        size: the size of the unpacked artifact, in bytes.
        archive: the artifact as a ``.tar.gz``.
        links: what the page has of the release.
    """

    config: ModelConfig
    task: Task
    version: Version
    tool: Tool
    options: ArtifactOptions
    source: CheckpointFacts
    checks: Sequence[CheckFacts]
    size: int
    archive: File
    links: PageLinks = NO_LINKS

    @property
    def place(self) -> Place:
        return Place(handle(self.config, self.task, self.version))


def markdown(facts: PageFacts, released: Collection[str]) -> str:
    """The page in Markdown, in the form of the published ones: CommonMark with tables.

    Args:
        facts: about the artifact.
        released: the handles of all artifacts of the release; only these are linked. The page depends only on those
            of the same model.
    """
    return templates.markdown("model.md", **values(facts, released), for_browser=False)


def values(facts: PageFacts, released: Collection[str]) -> dict[str, Any]:
    """What the templates of both pages are given."""
    config, task, version = facts.config, facts.task, facts.version
    root = "../" * facts.place.handle.count("/")
    spec, format_spec = config.version_spec(version), config.format_spec(version)

    def link(to: Task, number: Version) -> str | None:
        """The relative address of another page of this model; None for this page, and where there is no such page."""
        place = Place(handle(config, to, number))
        return f"../{to}/{number}.md" if place.handle in released and place != facts.place else None

    return {
        "facts": facts,
        "config": config,
        "task": task,
        "version": version,
        "handle": facts.place.handle,
        "hub": facts.links.base_url or address.DEFAULT,
        "base_url": facts.links.base_url,
        # A server of files alone has the artifact as one archive.
        "suffix": ".tar.gz" if facts.links.base_url else "",
        "front_matter": front_matter(config, task, format_spec, synthetic=facts.source.synthetic is not None),
        "formats": {name: format_.title for name, format_ in FORMATS.items()},
        "format_spec": format_spec,
        "parts": format_spec.page,
        "family": FAMILY_TEXTS[config.family],
        "inserts_reductions": cells.FAMILIES[config.family].inserts_reductions,
        "features": variables.features(config),
        "classes": config.num_classes,
        "imagenet": config.num_classes == IMAGENET_CLASSES,
        "parameters": {of: variables.parameters(config, of) for of in TASKS},
        "end_points": _end_points(config, task),
        "synthetic": ", ".join(f"{key} {value}" for key, value in sorted((facts.source.synthetic or {}).items())),
        "failed": [check for check in facts.checks if not check.passed],
        "figures": [(check, _figure(check.figure), templates.number(check.tolerance)) for check in facts.checks],
        "readers": spec.readers,
        "changes": [
            (older, config.version_spec(older).changes, link(task, older)) for older in _history(config, version)
        ],
        "others": _others(facts, released, link),
        "sister": handle(config, _OTHER_TASK[task], version),
        "sister_link": link(_OTHER_TASK[task], version),
        "root": root,
        "index": root + INDEX_FILE,
        "labels_file": LABELS_FILE,
        "settable": spec.momentum_settable,
        "serving": spec.serving,
        "serving_output": SERVING_OUTPUTS[task],
        "momentum": facts.options.batch_norm_momentum,
        "tool": msgspec.structs.asdict(facts.tool),
        "options": to_plain(facts.options),
    }


def _others(
    facts: PageFacts, released: Collection[str], link: Callable[[Task, Version], str | None]
) -> dict[Task, list[tuple[FormatSpec, list[tuple[Version, str | None]]]]]:
    """For each task, the formats that the release has of this model, each with its versions and the addresses of their
    pages; without an address, it is this very artifact.
    """
    config = facts.config
    found: dict[Task, list[tuple[FormatSpec, list[tuple[Version, str | None]]]]] = {}
    for task in TASKS:
        by_format: dict[Format, list[tuple[Version, str | None]]] = {}
        for version, name in config.all_versions.items():
            if handle(config, task, version) in {*released, facts.place.handle}:
                by_format.setdefault(name, []).append((version, link(task, version)))
        if by_format:
            found[task] = [(FORMATS[name], versions) for name, versions in by_format.items()]
    return found


def _history(config: ModelConfig, version: Version) -> list[Version]:
    """The versions whose changes an artifact of ``version`` has; one without a number has its own alone."""
    if isinstance(version, str):
        return [version]
    # A user's configuration can have higher version numbers than its format lists; these have no changes to show.
    return [
        number
        for number in sorted(config.versions)
        if number <= version and config.version_spec(number).number == number
    ]


def _end_points(config: ModelConfig, task: Task) -> list[str]:
    names = variables.end_points(config)
    return names if task == "classification" else names[: names.index("global_pool") + 1]


def _figure(value: float | None) -> str:
    return "not measured" if value is None else templates.number(value)
