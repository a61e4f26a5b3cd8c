"""Other implementations of the networks, on the same checkpoint: what an artifact can be compared with besides ours."""

from collections.abc import Mapping
from typing import Any, Literal

from exporter.checkpoint.reader import Checkpoint
from exporter.checkpoint.synthetic import VERIFICATION_IMAGES
from exporter.models.config import ModelConfig
from exporter.models.variables import variables
from exporter.progress import Say
from exporter.reference import keras_network, numpy_network
from exporter.reference.jobs import IndependentRequest, IndependentResult, Kind
from exporter.reference.result import named_arrays, write
from exporter.reference.rounded import rounded


def _rounded(config: ModelConfig, values: Mapping[str, Any], images: Any) -> dict[str, Any]:
    return numpy_network.outputs(config, rounded(config, "classification", values), images)


KINDS: dict[Kind | Literal["rounded"], Any] = {
    "numpy": numpy_network.outputs,
    "keras": keras_network.outputs,
    "rounded": _rounded,
}


def independent(request: IndependentRequest, say: Say) -> IndependentResult:
    """The job `exporter.reference.jobs.INDEPENDENT`: runs another implementation on the packaged images.

    Writes the folder ``request.output`` for `exporter.reference.result.read`, with those end points that it has.

    Raises:
        CheckpointError: the checkpoint is not the model's.
    """
    config = request.config
    say(f"running the implementation in {request.kind}")
    specs = variables(config, "classification")
    checkpoint = Checkpoint(request.prefix, config, specs)
    values = {spec.name: value for spec, value in checkpoint.values()}
    found = KINDS[request.kind](config, values, VERIFICATION_IMAGES.at(config.image_size))
    write(request.output, named_arrays(end_points=found))
    return IndependentResult(tuple(found))
