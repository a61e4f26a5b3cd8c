"""What the index of a checkpoint says of it: its variables, and the networks that they are of."""

from math import prod
from pathlib import Path

from exporter.checkpoint.files import files_of
from exporter.checkpoint.jobs import CheckpointDescription, DescribeCheckpointRequest, FoundNetwork, HeldVariable
from exporter.checkpoint.names import MARKER
from exporter.checkpoint.reader import Checkpoint
from exporter.checkpoint.stored import Stored
from exporter.errors import CheckpointError
from exporter.models.config import TASKS, ModelConfig, Task
from exporter.models.variables import variables
from exporter.progress import Say


def describe(request: DescribeCheckpointRequest, say: Say) -> CheckpointDescription:
    """The job `exporter.checkpoint.jobs.DESCRIBE_CHECKPOINT`. No values are read but those that tell who made them.

    Raises:
        CheckpointError: its index is damaged, or it is cut short.
    """
    say("reading the checkpoint")
    stored = Stored(request.prefix)
    found: list[FoundNetwork] = []
    problems: list[str] = []
    for config in request.configs:
        try:
            found.append(_network(request.prefix, config, stored))
        except CheckpointError as error:
            problems.append(str(error))
        else:
            break  # all networks have the same names: it cannot be another one as well
    held = {name: shape for name, shape in stored.shapes.items() if name != MARKER}
    return CheckpointDescription(
        path=str(request.prefix),
        files={file.name: file.stat().st_size for file in files_of(request.prefix)},
        object_based=stored.object_based,
        networks=tuple(found),
        # With several networks to choose from, that it is none of them says all.
        problem=problems[0] if not found and len(problems) == 1 else None,
        values=sum(map(prod, held.values())),
        variables=tuple(HeldVariable(name, stored.types[name], shape) for name, shape in sorted(held.items())),
    )


def _network(prefix: Path, config: ModelConfig, stored: Stored) -> FoundNetwork:
    """The network in a checkpoint, as an export of its largest task finds it.

    Raises:
        CheckpointError: it is not there for any task; the reason is that of the first.
    """
    found: dict[Task, Checkpoint] = {}
    problem: CheckpointError | None = None
    for task in TASKS:
        try:
            found[task] = Checkpoint(prefix, config, variables(config, task), stored)
        except CheckpointError as error:
            problem = problem or error
    if problem and not found:
        raise problem
    checkpoint = next(iter(found.values()))
    mapping = checkpoint.mapping
    return FoundNetwork(
        model=config.name,
        tasks=tuple(found),
        layout=mapping.layout,
        scope=mapping.scope,
        variables=len(mapping.names),
        averages=mapping.averages,
        left_out=mapping.left_out,
        unexpected=mapping.unexpected,
        synthetic=checkpoint.synthetic,
    )
