"""Describes a Keras network, without Keras."""

from math import prod
from pathlib import Path
from typing import Any

from exporter.artifact.jobs import Inspection, SignatureFacts, TensorFacts, VariableFacts, VariablesFacts
from exporter.artifact.keras_archive import KerasFile, read
from exporter.artifact.keras_file import OLDEST_KERAS
from exporter.artifact.keras_trust import refusals
from exporter.artifact.keras_weights import Weights
from exporter.models.formats import KERAS


def describe(folder: Path) -> Inspection:
    """What ``nasexport inspect`` shows of a Keras network.

    Raises:
        ArtifactError: it is damaged.
    """
    file = read(folder)
    with Weights(file) as weights:
        listed = tuple(VariableFacts(name, weights.dtype(name), weights.shape(name), None) for name in weights.names)
        parameters = sum(prod(weights.shape(name)) for name in weights.names)
    inputs = {layer["name"]: _input_facts(layer) for layer in file.layers if layer["class_name"] == "InputLayer"}
    outputs = {layer["name"]: _output_facts(layer) for layer in file.layers if layer["name"] in _output_names(file)}
    sizes = {facts.shape[1] for facts in inputs.values() if facts.shape and len(facts.shape) == 4}
    return Inspection(
        path=str(folder),
        format=KERAS.name,
        handle=None,
        tag_sets=(),
        signatures={"": {"network": SignatureFacts(inputs, outputs)}},
        functions={},
        image_size=next(iter(sizes), None) if len(sizes) == 1 else None,
        variables=VariablesFacts(len(listed), 0, parameters, listed),
        bytes=file.path.stat().st_size,
        oldest_tensorflow=None,
        findings=(),
        written_by=None,
        tensorflow_version="",
        source=None,
        options=None,
        verified=None,
        refused=tuple(refusals(file.config)),
        readers=f"Keras {file.metadata.get('keras_version', OLDEST_KERAS)} and newer",
    )


def _output_names(file: KerasFile) -> list[str]:
    """The names of the layers that outputs come from."""
    said = file.config["config"].get("output_layers")
    places = said if isinstance(said, list) and said and isinstance(said[0], list) else [said]
    return [place[0] for place in places if isinstance(place, list) and place]


def _input_facts(layer: dict[str, Any]) -> TensorFacts:
    return TensorFacts(str(layer["config"].get("dtype")), _shape(layer["config"].get("batch_shape")))


def _output_facts(layer: dict[str, Any]) -> TensorFacts:
    """What a file says of an output; only the shapes of what layers read are in it."""
    options = layer["config"]
    if isinstance(options.get("units"), int):
        return TensorFacts("float32", (None, options["units"]))
    try:
        (read,) = layer["inbound_nodes"][0]["args"]
        same = layer["class_name"] in ("Identity", "Activation", "Softmax", "Dropout")
        return TensorFacts("float32", _shape(read["config"]["shape"]) if same else None)
    except (LookupError, TypeError, ValueError):
        return TensorFacts("float32", None)


def _shape(said: Any) -> tuple[int | None, ...] | None:
    good = isinstance(said, list) and all(size is None or isinstance(size, int) for size in said)
    return tuple(said) if good else None
