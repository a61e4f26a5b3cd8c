"""What an export finds in a checkpoint, and the worker job that tells it without exporting anything."""

import importlib.metadata

from exporter.artifact.jobs import ReadCheckpoint, ReadRequest, ReadResult
from exporter.checkpoint.reader import Checkpoint
from exporter.errors import CheckpointError
from exporter.models.config import TASKS
from exporter.models.variables import variables
from exporter.progress import Say


def read(request: ReadRequest, say: Say) -> ReadResult:
    """The job `exporter.artifact.jobs.READ`.

    Raises:
        CheckpointError: it is not the model's checkpoint for any task.
    """
    say("looking at the checkpoint")
    found: list[ReadCheckpoint] = []
    problem: CheckpointError | None = None
    for task in TASKS:
        try:
            found.append(facts(Checkpoint(request.prefix, request.config, variables(request.config, task))))
        except CheckpointError as error:
            problem = problem or error
    if problem and not found:
        raise problem
    return ReadResult(tuple(found))


def facts(checkpoint: Checkpoint) -> ReadCheckpoint:
    """What was found in a checkpoint, and the TensorFlow that is installed."""
    mapping = checkpoint.mapping
    return ReadCheckpoint(
        layout=mapping.layout,
        scope=mapping.scope,
        averages=mapping.averages,
        averaged_statistics=mapping.averaged_statistics,
        unaveraged=mapping.unaveraged,
        left_out=mapping.left_out,
        unexpected=mapping.unexpected,
        synthetic=checkpoint.synthetic,
        tensorflow=importlib.metadata.version("tensorflow"),
    )
