"""The jobs that make up and check checkpoints, with what goes in and comes out; without TensorFlow and NumPy."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from exporter.models.config import ModelConfig
from exporter.processes.job import Job, NoEvent

#: What training leaves: values alone, averages in their place, or both and the optimizer's slots.
Layout = Literal["plain", "averages", "training"]
LAYOUTS: tuple[Layout, ...] = get_args(Layout)


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
    runs_network=True,
)


@dataclass(frozen=True)
class InventoryRequest:
    """The checkpoint at ``prefix`` to be read as a whole, and the model that it must be of."""

    config: ModelConfig
    prefix: Path


@dataclass(frozen=True)
class Inventory:
    """What a sound checkpoint of ``model`` holds; see `exporter.checkpoint.names.NameMapping`.

    ``variables`` is their number, ``unexpected`` has the names of those that the model does not have. ``synthetic``
    says how it was made, where nasexport made it.
    """

    model: str
    variables: int
    layout: str
    unexpected: tuple[str, ...]
    synthetic: dict[str, Any] | None


INVENTORY: Job[InventoryRequest, Inventory, NoEvent] = Job(
    reference="exporter.checkpoint.jobs:INVENTORY",
    function="exporter.checkpoint.inventory:inventory",
    request=InventoryRequest,
    result=Inventory,
)
