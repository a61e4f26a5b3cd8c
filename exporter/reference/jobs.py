"""The jobs that compute references, with what goes in and comes out; without TensorFlow and NumPy."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from exporter.models.config import ModelConfig, Task
from exporter.processes.job import Job, Memory, NoEvent

#: Other implementations that an artifact can be held against.
Kind = Literal["numpy", "keras"]
KINDS: tuple[Kind, ...] = get_args(Kind)

#: What artifacts with weights of 16 bits are held against: the network in NumPy with weights that are rounded likewise.
ROUNDED: Literal["rounded"] = "rounded"

#: The models that Keras Applications has, and what they are called there.
KERAS_NETWORKS = {"nasnet_mobile": "NASNetMobile", "nasnet_large": "NASNetLarge"}


@dataclass(frozen=True)
class ReferenceRequest:
    """The checkpoint at ``prefix`` to run the TF-Slim graph of a task on, and the new folder ``output`` for what it
    gives.
    """

    config: ModelConfig
    prefix: Path
    task: Task
    output: Path


@dataclass(frozen=True)
class ReferenceResult:
    """``synthetic`` says how the checkpoint was made, where nasexport made it; ``tensorflow`` is the version."""

    synthetic: dict[str, Any] | None
    tensorflow: str


REFERENCE: Job[ReferenceRequest, ReferenceResult, NoEvent] = Job(
    reference="exporter.reference.jobs:REFERENCE",
    function="exporter.reference.computed:reference",
    request=ReferenceRequest,
    result=ReferenceResult,
    # Measured with TensorFlow 2.21, of its own: 0.27 GB for nasnet_mobile, 1.24 GB for nasnet_large.
    memory=Memory(0.2e9, 2.95),
    runs_network=True,
    devices=("cpu", "gpu"),
)


PRECISE_TRAINING: Job[ReferenceRequest, ReferenceResult, NoEvent] = Job(
    reference="exporter.reference.jobs:PRECISE_TRAINING",
    function="exporter.reference.precise_training:precise_training",
    request=ReferenceRequest,
    result=ReferenceResult,
    memory=REFERENCE.memory,
    runs_network=True,
    devices=("cpu", "gpu"),
)


@dataclass(frozen=True)
class IndependentRequest:
    """The checkpoint at ``prefix`` to run another implementation on, and the new folder ``output`` for what it
    gives.
    """

    config: ModelConfig
    prefix: Path
    kind: Kind | Literal["rounded"]
    output: Path


@dataclass(frozen=True)
class IndependentResult:
    """The names of the end points that the implementation has."""

    end_points: tuple[str, ...]


INDEPENDENT: Job[IndependentRequest, IndependentResult, NoEvent] = Job(
    reference="exporter.reference.jobs:INDEPENDENT",
    function="exporter.reference.independent:independent",
    request=IndependentRequest,
    result=IndependentResult,
    runs_network=True,
    devices=("cpu", "gpu"),
    uses_matrices=True,
)
