"""The model page of an artifact: what the network is, how to use it, and how the artifact was verified.

The programs on a page run unchanged; the tests take them from the page. It contains no time, machine name or path, so
the same facts give the same bytes.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from exporter.artifact.metadata import CheckpointFacts, Tool
from exporter.artifact.options import ArtifactOptions
from exporter.files.hashing import File
from exporter.models import cells, variables
from exporter.models.classes import IMAGENET_CLASSES
from exporter.models.config import TASKS, ModelConfig, Task, handle
from exporter.models.formats import FORMATS, Version
from exporter.models.signatures import SERVING_OUTPUTS
from exporter.release.manifest import INDEX_FILE, CheckFacts, Place
from exporter.report import templates
from exporter.validation import to_plain


@dataclass(frozen=True)
class Paper:
    """A paper from 2017. ``arxiv`` is its arXiv identifier."""

    authors: str
    title: str
    arxiv: str


@dataclass(frozen=True)
class FamilyText:
    """What the pages say about a family of networks: its name, the search that found its cells, its papers.

    ``origin`` is a sentence on what it has in common with an earlier family, with a space before it. ``checkpoints`` is
    the address of the page that lists its trained checkpoints.
    """

    name: str
    search: str
    origin: str
    papers: tuple[Paper, ...]
    checkpoints: str


_SLIM = "https://github.com/tensorflow/models/blob/master/research/slim/"
_NASNET_PAPER = Paper(
    "B. Zoph, V. Vasudevan, J. Shlens, Q. V. Le",
    "Learning Transferable Architectures for Scalable Image Recognition",
    "1707.07012",
)
#: By the family's name in `exporter.models.cells.FAMILIES`.
FAMILY_TEXTS: Mapping[str, FamilyText] = {
    "nasnet": FamilyText(
        "NASNet-A",
        "Neural Architecture Search (NAS)",
        "",
        (
            Paper("B. Zoph, Q. V. Le", "Neural Architecture Search with Reinforcement Learning", "1611.01578"),
            _NASNET_PAPER,
        ),
        f"{_SLIM}nets/nasnet/README.md",
    ),
    "pnasnet": FamilyText(
        "PNASNet-5",
        "Progressive Neural Architecture Search",
        " Much of the rest is the same as in NASNet, drop path for example.",
        (
            Paper(
                "C. Liu, B. Zoph, J. Shlens, W. Hua, L.-J. Li, L. Fei-Fei, A. Yuille, J. Huang, K. Murphy",
                "Progressive Neural Architecture Search",
                "1712.00559",
            ),
            _NASNET_PAPER,
        ),
        f"{_SLIM}README.md#pre-trained-models",
    ),
}

_OTHER_TASK: dict[Task, Task] = {TASKS[0]: TASKS[1], TASKS[1]: TASKS[0]}
_METADATA_LINE = re.compile(r"^<!-- [a-z-]+: .* -->\n", re.MULTILINE)


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

    @property
    def place(self) -> Place:
        return Place(handle(self.config, self.task, self.version))


def page(facts: PageFacts) -> str:
    """The page in Markdown as a release has it. It links all versions of the model, even where the release has few."""
    config = facts.config
    return markdown(facts, {handle(config, task, version) for task in TASKS for version in config.all_versions})


def markdown(facts: PageFacts, released: Collection[str]) -> str:
    """The page in Markdown, in the form of the published ones: CommonMark with tables.

    Args:
        facts: about the artifact.
        released: the handles of all artifacts of the release; only these are linked. The page depends only on those
            of the same model.
    """
    config, task, version = facts.config, facts.task, facts.version
    spec = config.version_spec(version)

    def link(to: Task, number: Version) -> str | None:
        """The relative address of another page of this model; None for this page, and where there is no such page."""
        place = Place(handle(config, to, number))
        return f"../{to}/{number}.md" if place.handle in released and place != facts.place else None

    return templates.markdown(
        "model.md",
        facts=facts,
        config=config,
        task=task,
        version=version,
        handle=facts.place.handle,
        formats={name: format_.title for name, format_ in FORMATS.items()},
        parts=config.format_spec(version).page,
        family=FAMILY_TEXTS[config.family],
        inserts_reductions=cells.FAMILIES[config.family].inserts_reductions,
        features=variables.features(config),
        classes=config.num_classes,
        imagenet=config.num_classes == IMAGENET_CLASSES,
        parameters={of: variables.parameters(config, of) for of in TASKS},
        end_points=_end_points(config, task),
        synthetic=", ".join(f"{key} {value}" for key, value in sorted((facts.source.synthetic or {}).items())),
        failed=[check for check in facts.checks if not check.passed],
        figures=[(check, _figure(check.figure), templates.number(check.tolerance)) for check in facts.checks],
        readers=spec.readers,
        changes=[(older, config.version_spec(older).changes, link(task, older)) for older in _history(config, version)],
        sister=handle(config, _OTHER_TASK[task], version),
        sister_link=link(_OTHER_TASK[task], version),
        index="../" * facts.place.handle.count("/") + INDEX_FILE,
        settable=spec.momentum_settable,
        serving=spec.serving,
        serving_output=SERVING_OUTPUTS[task],
        momentum=facts.options.batch_norm_momentum,
        tool=msgspec.structs.asdict(facts.tool),
        options=to_plain(facts.options),
    )


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


def html(text: str) -> str:
    """Renders a page in Markdown as HTML, in the style of the report.

    Args:
        text: from `markdown`. HTML in it is shown as text; links to Markdown pages are changed to the HTML pages.
    """
    from markdown_it import MarkdownIt  # takes longer to import than most commands take to answer

    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(_METADATA_LINE.sub("", text))
    for token in tokens:
        if token.type == "th_open":
            token.attrSet("scope", "col")
        elif token.type == "fence":
            token.attrSet("tabindex", "0")  # so that a long line can be scrolled with the keyboard
        for inner in token.children or ():
            address = str(inner.attrGet("href") or "")
            if inner.type == "link_open" and ":" not in address and address.endswith(".md"):
                inner.attrSet("href", f"{address.removesuffix('.md')}.html")
    heading = next(token for token in tokens if token.type == "inline")
    title = "".join(inner.content for inner in heading.children or ())
    return templates.html("model.html", title=title, content=parser.renderer.render(tokens, parser.options, {}))


def _end_points(config: ModelConfig, task: Task) -> list[str]:
    names = variables.end_points(config)
    return names if task == "classification" else names[: names.index("global_pool") + 1]


def _figure(value: float | None) -> str:
    return "not measured" if value is None else templates.number(value)
