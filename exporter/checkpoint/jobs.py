"""The jobs that make up and check checkpoints, with what goes in and comes out; without TensorFlow and NumPy."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from exporter.models.config import ModelConfig, Task
from exporter.processes.job import Job, NoEvent

#: What training leaves: values alone, averages in their place, or both and the optimizer's slots.
Layout = Literal["plain", "averages", "training"]
LAYOUTS: tuple[Layout, ...] = get_args(Layout)


@dataclass(frozen=True)
class LeftOut:
    """How many of the variables in a checkpoint are none of its network's, and never exported.

    Those of the ``auxiliary_head``; values of the last training step where an average takes their place
    (``last_values``); ``slots`` that optimizers and averages keep for a variable; ``counters``, which are single
    numbers such as ``global_step``; and the ``unknown`` rest, which lies outside of the network's scopes.
    """

    auxiliary_head: int = 0
    last_values: int = 0
    slots: int = 0
    counters: int = 0
    unknown: int = 0

    @property
    def count(self) -> int:
        """All of them."""
        return self.auxiliary_head + self.last_values + self.slots + self.counters + self.unknown


@dataclass(frozen=True)
class SynthesizeRequest:
    """A synthetic checkpoint to write at ``output``, a prefix or a ``.tar.gz``; its weights depend on the seed."""

    config: ModelConfig
    output: Path
    layout: Layout
    seed: int


@dataclass(frozen=True)
class SynthesizeResult:
    """The number of variables that were written, and the files that were, with their sizes in bytes."""

    variables: int
    files: dict[str, int]


SYNTHESIZE: Job[SynthesizeRequest, SynthesizeResult, NoEvent] = Job(
    reference="exporter.checkpoint.jobs:SYNTHESIZE",
    function="exporter.checkpoint.synthetic_checkpoint:synthesize",
    request=SynthesizeRequest,
    result=SynthesizeResult,
    # It runs a network where nothing is recorded, and takes TensorFlow only then.
    runs_network=True,
    tensorflow=False,
)


@dataclass(frozen=True)
class InventoryRequest:
    """The checkpoint at ``prefix`` to be read as a whole, and the model that it must be of."""

    config: ModelConfig
    prefix: Path


@dataclass(frozen=True)
class Inventory:
    """What a sound checkpoint of ``model`` holds; see `exporter.checkpoint.names.NameMapping`.

    ``variables`` is the number of all that it holds, ``left_out`` counts those that are not of the network, and
    ``unexpected`` has the names of the unknown ones. ``synthetic`` says how it was made, where nasexport made it.
    """

    model: str
    variables: int
    layout: str
    unexpected: tuple[str, ...]
    synthetic: dict[str, Any] | None
    left_out: LeftOut = LeftOut()


INVENTORY: Job[InventoryRequest, Inventory, NoEvent] = Job(
    reference="exporter.checkpoint.jobs:INVENTORY",
    function="exporter.checkpoint.inventory:inventory",
    request=InventoryRequest,
    result=Inventory,
    tensorflow=False,
)


@dataclass(frozen=True)
class DescribeCheckpointRequest:
    """The checkpoint at ``prefix`` to be described, and the models that it may be of."""

    prefix: Path
    configs: tuple[ModelConfig, ...]


@dataclass(frozen=True)
class FoundNetwork:
    """A model's network in a checkpoint, whole for these tasks; see `exporter.checkpoint.names.NameMapping`.

    ``variables`` is how many the network has, for the first of its tasks.
    """

    model: str
    tasks: tuple[Task, ...]
    layout: str
    scope: str
    variables: int
    averages: int
    left_out: LeftOut
    unexpected: tuple[str, ...]
    synthetic: dict[str, Any] | None


@dataclass(frozen=True)
class HeldVariable:
    """A variable as a checkpoint has it; the type by TensorFlow's name for it."""

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class CheckpointDescription:
    """What the index of a checkpoint tells; the fields are those of ``nasexport inspect --json``.

    ``files`` has their sizes in bytes by name, ``values`` is how many numbers all variables have. ``problem`` says why
    it has no network, where only one was asked for.
    """

    path: str
    files: dict[str, int]
    object_based: bool
    networks: tuple[FoundNetwork, ...]
    problem: str | None
    values: int
    variables: tuple[HeldVariable, ...]
    format: Literal["checkpoint"] = "checkpoint"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


DESCRIBE_CHECKPOINT: Job[DescribeCheckpointRequest, CheckpointDescription, NoEvent] = Job(
    reference="exporter.checkpoint.jobs:DESCRIBE_CHECKPOINT",
    function="exporter.checkpoint.description:describe",
    request=DescribeCheckpointRequest,
    result=CheckpointDescription,
    tensorflow=False,
)
