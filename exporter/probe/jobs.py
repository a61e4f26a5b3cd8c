"""The job that runs an artifact, with what goes in and comes out; without TensorFlow and NumPy."""

from dataclasses import dataclass
from pathlib import Path

from exporter.processes.job import Job, Memory, NoEvent

#: How many draws of each decision are counted.
DRAWS = 100_000

DROPOUT = "dropout"


@dataclass(frozen=True)
class PreviousProbe:
    """The folder that a probe wrote, and the ``network`` of its result: what need not be computed again is taken from
    there.
    """

    output: Path
    network: str


@dataclass(frozen=True)
class ProbeRequest:
    """The folder of an artifact to run on square images of a size in pixels, and the new folder ``output`` for what it
    gives. With ``trust``, it may do more than compute.
    """

    path: Path
    image_size: int
    output: Path
    previous: tuple[PreviousProbe, ...] = ()
    trust: bool = False


@dataclass(frozen=True)
class ProbeSummary:
    """What TensorFlow 1.15 would not read (``problems``), the version that it ran with, and what tells which artifacts
    have a network in common: None where nothing does.
    """

    problems: tuple[str, ...]
    tensorflow: str
    network: str | None


PROBE: Job[ProbeRequest, ProbeSummary, NoEvent] = Job(
    reference="exporter.probe.jobs:PROBE",
    function="exporter.probe.run:probe",
    request=ProbeRequest,
    result=ProbeSummary,
    # Measured with TensorFlow 2.21: 1.11 GB for nasnet_mobile, 2.15 GB for nasnet_large.
    memory=Memory(1.1e9, 3.1),
    runs_network=True,
    devices=("cpu", "gpu"),
)
