"""The job that compares the files of two artifacts, with what goes in and comes out; without TensorFlow and NumPy."""

from dataclasses import dataclass
from pathlib import Path

from exporter.artifact.jobs import Inspection
from exporter.processes.job import Job, NoEvent

#: What can be compared, in order; the files tell the first ones, and the others take loading the artifacts.
FILE_ASPECTS = ("format", "tag-sets", "signatures", "variables")
TRAINING_ASPECTS = ("trainable", "l2", "training", "momentum")
ASPECTS = (*FILE_ASPECTS, "trainable", "l2", "outputs", "training", "momentum")


@dataclass(frozen=True)
class CompareFilesRequest:
    """The folders of two artifacts; ``values`` is whether to compare what their variables hold."""

    a: Path
    b: Path
    values: bool


@dataclass(frozen=True)
class KindDifference:
    """A variable of another type or shape, for example ``float32 [3, 3, 8, 1]``, in either artifact."""

    name: str
    a: str
    b: str


@dataclass(frozen=True)
class ValueDifference:
    """A variable of one type and shape (``kind``) and two values; the figures are None where they are not finite."""

    name: str
    kind: str
    absolute_difference: float | None
    relative_difference: float | None


@dataclass(frozen=True)
class VariableDifferences:
    """The variables of two artifacts by name: which only one of them has, how many both have, and which of those
    differ.
    """

    only_in_a: tuple[str, ...]
    only_in_b: tuple[str, ...]
    in_both: int
    kinds: tuple[KindDifference, ...]
    values: tuple[ValueDifference, ...]


@dataclass(frozen=True)
class ComparedFiles:
    """What the files of either tell; ``prefixes`` are to be taken off the names of their variables so that they meet.

    ``variables`` is None where values were not to be compared.
    """

    a: Inspection
    b: Inspection
    prefixes: tuple[str, str]
    variables: VariableDifferences | None


COMPARE_FILES: Job[CompareFilesRequest, ComparedFiles, NoEvent] = Job(
    reference="exporter.diff.jobs:COMPARE_FILES",
    function="exporter.diff.stored:compare_files",
    request=CompareFilesRequest,
    result=ComparedFiles,
    tensorflow=False,
)
