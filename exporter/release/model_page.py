"""The model page of an artifact: what the network is, how to use it, and how the artifact was verified.

The programs on a page run as they stand; tests take them from there. Nothing on it tells the time, the machine or a
path, so the same facts give the same bytes.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from exporter.artifact.metadata import ArtifactOptions, CheckpointFacts, Tool
from exporter.files.hashing import File
from exporter.models import cells, variables
from exporter.models.classes import IMAGENET_CLASSES
from exporter.models.config import TASKS, ModelConfig, Task, handle
from exporter.models.formats import FORMATS
from exporter.models.signatures import SERVING_OUTPUTS
from exporter.release.manifest import INDEX_FILE, CheckFacts, Place
from exporter.report import templates


@dataclass(frozen=True)
class Paper:
    """A paper of 2017, and its number at arXiv."""

    authors: str
    title: str
    arxiv: str


@dataclass(frozen=True)
class FamilyText:
    """What a page says of a family of networks: its name, the search that found its cells, where it was published.

    ``descent`` is a sentence on what it took over, with a space before it; ``checkpoints`` is the page that lists its
    trained checkpoints.
    """

    name: str
    search: str
    descent: str
    papers: tuple[Paper, ...]
    checkpoints: str


_SLIM = "https://github.com/tensorflow/models/blob/master/research/slim/"
_NASNET_PAPER = Paper(
    "B. Zoph, V. Vasudevan, J. Shlens, Q. V. Le",
    "Learning Transferable Architectures for Scalable Image Recognition",
    "1707.07012",
)
#: By the family's name in `exporter.models.cells.FAMILIES`.
FAMILIES: Mapping[str, FamilyText] = {
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
        " Much of the rest is NASNet's, drop path for one.",
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
    """The artifact that a page is about.

    Args:
        config: its network.
        task: what it was packaged for.
        version: a version of ``config``.
        tool: the versions it was written with, as its ``nasexport.json`` has them.
        options: as there.
        source: as there.
        checks: what a verification found.
        size: of the unpacked artifact, in bytes.
        archive: the artifact as a ``.tar.gz``.
    """

    config: ModelConfig
    task: Task
    version: int
    tool: Tool
    options: ArtifactOptions
    source: CheckpointFacts
    checks: Sequence[CheckFacts]
    size: int
    archive: File

    @property
    def place(self) -> Place:
        return Place(handle(self.config, self.task, self.version))


def markdown(subject: PageFacts, released: Collection[str]) -> str:
    """The page in Markdown, in the form of the published ones: CommonMark with tables.

    Args:
        subject: the artifact.
        released: the handles of all artifacts of the release; only these are linked. Of these, the page depends on
            those of the same model alone.
    """
    config, task, version = subject.config, subject.task, subject.version
    spec = config.version_spec(version)
    # Later numbers than the formats know, which only a configuration of one's own can have, bring nothing of their own.
    versions = {number: config.version_spec(number) for number in sorted(config.versions) if number <= version}

    def link(to: Task, number: int) -> str | None:
        """Where another page of this model lies, relative to this one; None for itself, and where there is none."""
        place = Place(handle(config, to, number))
        return f"../{to}/{number}.md" if place.handle in released and place != subject.place else None

    return templates.markdown(
        "model.md",
        subject=subject,
        config=config,
        task=task,
        version=version,
        handle=subject.place.handle,
        formats={name: format_.title for name, format_ in FORMATS.items()},
        parts=config.format_spec(version).page,
        family=FAMILIES[config.family],
        inserts_reductions=cells.FAMILIES[config.family].inserts_reductions,
        features=variables.features(config),
        classes=config.num_classes,
        imagenet=config.num_classes == IMAGENET_CLASSES,
        parameters={of: variables.parameters(config, of) for of in TASKS},
        end_points=_end_points(config, task),
        synthetic=", ".join(f"{key} {value}" for key, value in sorted((subject.source.synthetic or {}).items())),
        failed=[check for check in subject.checks if not check.passed],
        figures=[(check, _figure(check.figure), templates.number(check.tolerance)) for check in subject.checks],
        readers=spec.readers,
        changes=[(number, row.changes, link(task, number)) for number, row in versions.items() if row.number == number],
        sister=handle(config, _OTHER_TASK[task], version),
        sister_link=link(_OTHER_TASK[task], version),
        index="../" * subject.place.handle.count("/") + INDEX_FILE,
        settable=spec.momentum_settable,
        serving=spec.serving,
        serving_output=SERVING_OUTPUTS[task],
        momentum=subject.options.batch_norm_momentum,
        tool=msgspec.structs.asdict(subject.tool),
        options=msgspec.structs.asdict(subject.options),
    )


def html(text: str) -> str:
    """A page in Markdown as one HTML page, in the look of the report.

    Args:
        text: as `markdown` gives it. HTML in it is shown as text; links to other Markdown pages lead to their HTML.
    """
    from markdown_it import MarkdownIt  # takes longer to import than most commands take to answer

    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(_METADATA_LINE.sub("", text))
    for token in tokens:
        if token.type == "th_open":
            token.attrSet("scope", "col")
        elif token.type == "fence":
            token.attrSet("tabindex", "0")  # a long line is scrolled, by those without a mouse, too
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
