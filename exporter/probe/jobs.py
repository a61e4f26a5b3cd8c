"""The jobs that run an artifact, with what goes in and comes out; without TensorFlow and NumPy."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from exporter.models.formats import FORMATS, FormatSpec
from exporter.processes.job import Job, Memory, NoEvent

#: How many draws of each decision are counted.
DRAWS = 100_000

DROPOUT = "dropout"


@dataclass(frozen=True)
class PreviousProbe:
    """The folder of an earlier probe's results, and the ``network`` of its summary. What is the same is taken from
    there instead of being computed again.
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
    """What keeps old readers from reading the file (``problems``), and a key that is equal for artifacts with the same
    ``network``, None if there is none.
    """

    problems: tuple[str, ...]
    network: str | None


PROBE: Job[ProbeRequest, ProbeSummary, NoEvent] = Job(
    reference="exporter.probe.jobs:PROBE",
    function="exporter.probe.with_tensorflow:probe",
    request=ProbeRequest,
    result=ProbeSummary,
    # Measured with TensorFlow 2.21, of its own: 0.44 GB for nasnet_mobile, 1.44 GB for nasnet_large.
    memory=Memory(0.38e9, 3.0),
    runs_network=True,
    devices=("cpu", "gpu"),
)

#: The same for what holds every feature map of a run until its end, as networks of Keras do.
PROBE_EAGERLY: Job[ProbeRequest, ProbeSummary, NoEvent] = dataclasses.replace(
    PROBE,
    reference="exporter.probe.jobs:PROBE_EAGERLY",
    # Measured with Keras 3.15 on TensorFlow 2.21: 5.3 GB for nasnet_large, of which 0.3 GB are shared.
    memory=Memory(0.38e9, 13.0),
)

#: The same without TensorFlow in its process, for formats that are run by another library.
PROBE_WITHOUT_TENSORFLOW: Job[ProbeRequest, ProbeSummary, NoEvent] = Job(
    reference="exporter.probe.jobs:PROBE_WITHOUT_TENSORFLOW",
    function="exporter.probe.run:probe",
    request=ProbeRequest,
    result=ProbeSummary,
    memory=Memory(0.3e9, 3.1),
    tensorflow=False,
)


def probe_job(spec: FormatSpec) -> Job[ProbeRequest, ProbeSummary, NoEvent]:
    """The job that runs artifacts of a format."""
    if not spec.runs_with_tensorflow:
        imports = (spec.probe.partition(":")[0],) if spec.imported_once else ()
        return dataclasses.replace(PROBE_WITHOUT_TENSORFLOW, imports=imports)
    return PROBE_EAGERLY if spec.runs_eagerly else PROBE


def probe_jobs() -> set[Job[ProbeRequest, ProbeSummary, NoEvent]]:
    """The jobs that run artifacts of all formats."""
    return {probe_job(spec) for spec in FORMATS.values()}
