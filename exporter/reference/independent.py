"""Other implementations of the networks, on the same checkpoint: what an artifact can be held against besides ours."""

from pathlib import Path
from typing import Any

from exporter.checkpoint.reader import Checkpoint
from exporter.checkpoint.synthetic import VERIFICATION_IMAGES
from exporter.files.arrays import save
from exporter.models.config import ModelConfig
from exporter.models.variables import variables
from exporter.progress import Say
from exporter.reference import keras_network, numpy_network

KINDS: dict[str, Any] = {"numpy": numpy_network.outputs, "keras": keras_network.outputs}


def independent(request: dict[str, Any], report: Say) -> dict[str, Any]:
    """A job of `exporter.processes.run`: runs the implementation ``request["kind"]`` on the packaged images.

    Writes the folder ``request["output"]`` (`exporter.files.arrays`), with ``end_point/NAME`` of those end points that
    it has.

    Raises:
        CheckpointError: the checkpoint is not the model's.
    """
    config = ModelConfig.from_dict(request["config"])
    report(f"running the implementation in {request['kind']}")
    specs = variables(config, "classification")
    checkpoint = Checkpoint(Path(request["prefix"]), config, specs)
    values = {spec.name: value for spec, value in checkpoint.values()}
    found = KINDS[request["kind"]](config, values, VERIFICATION_IMAGES.at(config.image_size))
    save(Path(request["output"]), ((f"end_point/{name}", value) for name, value in found.items()))
    return {"end_points": list(found)}
