"""The jobs that write and describe artifacts, with what goes in and comes out; without TensorFlow and NumPy."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from exporter.artifact.options import ArtifactOptions
from exporter.checkpoint.jobs import LeftOut
from exporter.checkpoint.source import Source
from exporter.graph.refusal import Refusal
from exporter.models.config import ModelConfig, Task
from exporter.models.formats import FormatSpec, Version
from exporter.processes.job import Failure, Job, Memory, NoEvent
from exporter.terminal import counted


@dataclass(frozen=True)
class ExportTarget:
    """An artifact to write into ``folder``."""

    task: Task
    version: Version
    options: ArtifactOptions
    folder: Path


@dataclass(frozen=True)
class ExportRequest:
    """What to write from the checkpoint at ``prefix``, which is read once for all of it.

    Where others export other tasks of it, ``read_for`` is the largest of all: what was found in the checkpoint depends
    on that.
    """

    config: ModelConfig
    prefix: Path
    targets: tuple[ExportTarget, ...]
    read_for: Task | None = None

    @property
    def specs(self) -> tuple[FormatSpec, ...]:
        """The formats of the targets."""
        return tuple(self.config.format_spec(target.version) for target in self.targets)


@dataclass(frozen=True)
class ReadCheckpoint:
    """The event of a checkpoint that was read: what was found in it, see `exporter.checkpoint.names.NameMapping`.

    ``synthetic`` says how it was made, where nasexport made it; ``tensorflow`` is the version that is installed.
    """

    layout: str
    scope: str
    averages: int
    averaged_statistics: int
    unaveraged: int
    left_out: LeftOut
    unexpected: tuple[str, ...]
    synthetic: dict[str, Any] | None
    tensorflow: str


@dataclass(frozen=True)
class WritingTarget:
    """The event of a target that is going to be written: should the process end now, it is that one's fault."""

    folder: Path


@dataclass(frozen=True)
class FailedTarget:
    """A target that could not be written, and why."""

    folder: Path
    failure: Failure


@dataclass(frozen=True)
class ExportResult:
    """What was read, and which targets were not written; all others were."""

    checkpoint: ReadCheckpoint
    failed: tuple[FailedTarget, ...]


EXPORT: Job[ExportRequest, ExportResult, ReadCheckpoint | WritingTarget] = Job(
    reference="exporter.artifact.jobs:EXPORT",
    function="exporter.artifact.export_with_tensorflow:export",
    request=ExportRequest,
    result=ExportResult,
    events=(ReadCheckpoint, WritingTarget),
    # Measured with TensorFlow 2.21, of its own: 0.23 GB for nasnet_mobile, 0.70 GB for nasnet_large.
    memory=Memory(0.2e9, 1.4),
)


#: The same in a process without TensorFlow, for formats that are written by another library.
EXPORT_WITHOUT_TENSORFLOW: Job[ExportRequest, ExportResult, ReadCheckpoint | WritingTarget] = Job(
    reference="exporter.artifact.jobs:EXPORT_WITHOUT_TENSORFLOW",
    function="exporter.artifact.export:export",
    request=ExportRequest,
    result=ExportResult,
    events=(ReadCheckpoint, WritingTarget),
    memory=Memory(0.2e9, 4),
    tensorflow=False,
)


def export_job(specs: Iterable[FormatSpec]) -> Job[ExportRequest, ExportResult, ReadCheckpoint | WritingTarget]:
    """The job that writes artifacts of these formats."""
    return EXPORT if any(spec.writes_with_tensorflow for spec in specs) else EXPORT_WITHOUT_TENSORFLOW


def expected_export(specs: Collection[FormatSpec]) -> Job[ExportRequest, ExportResult, ReadCheckpoint | WritingTarget]:
    """The same for those who ask what memory it is expected to take: that of the format which needs most."""
    job = export_job(specs)
    assert job.memory
    most = max([job.memory.per_weight, *(spec.writing_memory for spec in specs)])
    return replace(job, memory=replace(job.memory, per_weight=most))


@dataclass(frozen=True)
class ReadRequest:
    """The checkpoint at ``prefix`` to be looked at as an export would, without its values being read."""

    config: ModelConfig
    prefix: Path


@dataclass(frozen=True)
class ReadResult:
    """What an export of each task finds in the checkpoint, and one of both; tasks that it cannot make are left out."""

    found: tuple[ReadCheckpoint, ...]


READ: Job[ReadRequest, ReadResult, NoEvent] = Job(
    reference="exporter.artifact.jobs:READ",
    function="exporter.artifact.reading:read",
    request=ReadRequest,
    result=ReadResult,
    tensorflow=False,
)


def export_warnings(source: Source, read: ReadCheckpoint) -> Iterator[str]:
    """What the user should know of a checkpoint that was exported: variables that nothing is known of, and trained ones
    without an average where others have one.
    """
    name = source.archive or source.prefix.name
    if read.unexpected:
        shown = ", ".join(read.unexpected[:5]) + (", …" if len(read.unexpected) > 5 else "")
        count = counted(len(read.unexpected), "variable")
        yield f"{name} holds {count} that the model does not know, left out: {shown}"
    if read.unaveraged:
        yield f"{name} has averages for some trained variables but not for {read.unaveraged} others"


#: Height and width in pixels of the largest images that are made because an artifact says that it takes them. Networks
#: take less than half of it; a batch of them still fits into memory.
LARGEST_IMAGE_SIZE = 2048


@dataclass(frozen=True)
class InspectRequest:
    """The folder of an artifact to describe."""

    path: Path


@dataclass(frozen=True)
class TensorFacts:
    """An input or output of a signature; None stands for what is not fixed, the size of a dimension or the rank."""

    dtype: str
    shape: tuple[int | None, ...] | None

    def __str__(self) -> str:
        if self.shape is None:
            return f"{self.dtype} […]"
        return f"{self.dtype} [{', '.join('?' if size is None else str(size) for size in self.shape)}]"


@dataclass(frozen=True)
class SignatureFacts:
    """The inputs and outputs of a signature, by name."""

    inputs: dict[str, TensorFacts]
    outputs: dict[str, TensorFacts]


@dataclass(frozen=True)
class VariableFacts:
    """A variable; ``trainable`` is None where the files do not tell."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]
    trainable: bool | None


@dataclass(frozen=True)
class VariablesFacts:
    """The variables of an artifact: how many, how many of them trainable, how many values, and each in ``list``."""

    count: int
    trainable: int
    parameters: int
    list: tuple[VariableFacts, ...]


@dataclass(frozen=True)
class Inspection:
    """What the files of an artifact tell; the fields are those of ``nasexport inspect --json``.

    ``signatures`` are by tag set (tags joined by commas) and name, ``functions`` has how often each function of a TF2
    object was traced, ``findings`` say what TensorFlow 1.15 would not read (``oldest_tensorflow`` is None then).
    ``refused`` is what can do more than compute: with any of it, an artifact is loaded with ``--trust`` only.
    ``readers`` says what reads an artifact that is not for TensorFlow, of which ``oldest_tensorflow`` and ``findings``
    tell nothing then. ``handle``, ``written_by``, ``source``, ``options`` and ``verified`` are of ``nasexport.json``,
    None without it.
    """

    path: str
    format: str
    handle: str | None
    tag_sets: tuple[tuple[str, ...], ...]
    signatures: dict[str, dict[str, SignatureFacts]]
    functions: dict[str, int]
    image_size: int | None
    variables: VariablesFacts
    bytes: int
    oldest_tensorflow: str | None
    findings: tuple[str, ...]
    written_by: dict[str, Any] | None
    tensorflow_version: str
    source: dict[str, Any] | None
    options: dict[str, Any] | None
    verified: bool | None
    refused: tuple[Refusal, ...] = ()
    readers: str | None = None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


INSPECT: Job[InspectRequest, Inspection, NoEvent] = Job(
    reference="exporter.artifact.jobs:INSPECT",
    function="exporter.artifact.inspection:describe",
    request=InspectRequest,
    result=Inspection,
    tensorflow=False,
)
