"""Checks a whole checkpoint against what its model's training leaves; runs in a worker."""

from exporter.checkpoint.jobs import Inventory, InventoryRequest
from exporter.checkpoint.names import without_slot
from exporter.checkpoint.reader import Checkpoint
from exporter.errors import CheckpointError
from exporter.models.variables import all_variables, variables
from exporter.progress import Say


def inventory(request: InventoryRequest, say: Say) -> Inventory:
    """The job `exporter.checkpoint.jobs.INVENTORY`: reads every variable of a checkpoint.

    Names, shapes and types must be the model's and all values finite, as in `Checkpoint`; what no export reads, such
    as the auxiliary head and an optimizer's slots, is read here all the same, as its damage would be the archive's.

    Raises:
        CheckpointError: it is not the model's checkpoint, or not a sound one.
    """
    config = request.config
    say("checking names, shapes and values of all variables")
    checkpoint = Checkpoint(request.prefix, config, variables(config, "classification"))
    known = {spec.name: spec.shape for spec in all_variables(config)}
    for name, shape in checkpoint.shapes.items():
        wanted = known.get(without_slot(name), shape)
        if shape != wanted:
            raise CheckpointError(f"{checkpoint.prefix.name}: {name} has shape {shape}, but {config.name} has {wanted}")
        if name not in checkpoint.mapping.unexpected:
            checkpoint.read(name)
    return Inventory(
        model=config.name,
        variables=len(checkpoint.shapes),
        layout=checkpoint.mapping.layout,
        unexpected=checkpoint.mapping.unexpected,
        synthetic=checkpoint.synthetic,
    )
