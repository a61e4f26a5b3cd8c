"""Checks a whole checkpoint against what its model's training leaves; runs in a worker."""

import numpy as np

from exporter.checkpoint.jobs import Inventory, InventoryRequest
from exporter.checkpoint.names import AVERAGE
from exporter.checkpoint.reader import Checkpoint
from exporter.errors import CheckpointError
from exporter.models.variables import all_variables, variables
from exporter.progress import Say


def inventory(request: InventoryRequest, say: Say) -> Inventory:
    """The job `exporter.checkpoint.jobs.INVENTORY`: reads every variable of a checkpoint.

    Names, shapes and types must be the model's and all values finite, as in `Checkpoint`. That holds here for what no
    export reads, too, such as the auxiliary head and an optimizer's slots, as its damage would be the archive's.

    Raises:
        CheckpointError: it is not the model's checkpoint, or not a sound one.
    """
    config = request.config
    say("checking names, shapes and values of all variables")
    checkpoint = Checkpoint(request.prefix, config, variables(config, "classification"))
    mapping = checkpoint.mapping
    for spec in all_variables(config):
        for name in (mapping.scope + spec.name, mapping.scope + spec.name + AVERAGE):
            shape = checkpoint.shapes.get(name, spec.shape)
            if shape != spec.shape:
                raise CheckpointError(
                    f"{checkpoint.prefix.name}: {name} has shape {shape}, but {config.name} has {spec.shape}"
                )
    for name, value in checkpoint.everything():
        if isinstance(value, np.ndarray | np.generic) and np.issubdtype(value.dtype, np.floating):
            checkpoint.require_finite(name, value)
    return Inventory(
        model=config.name,
        variables=len(checkpoint.shapes),
        layout=mapping.layout,
        unexpected=mapping.unexpected,
        synthetic=checkpoint.synthetic,
        left_out=mapping.left_out,
    )
