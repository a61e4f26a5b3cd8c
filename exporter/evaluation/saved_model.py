"""Loads a SavedModel for predictions."""

from pathlib import Path
from typing import Any

import tensorflow as tf
import tensorflow_hub as hub

from exporter.errors import ArtifactError, reason
from exporter.evaluation.loaded import Loaded, Size


def load(path: Path) -> Loaded:
    """The function of a SavedModel: the object itself if it can be called, else its serving signature.

    Raises:
        ArtifactError: it does not load, or has no such function.
    """
    loaded = hub_load(path)
    signature = loaded.signatures.get("serving_default")
    if callable(loaded):
        traces = getattr(loaded.__call__, "concrete_functions", [])
        sizes = map(static_size, [*traces, *([signature] if signature else [])])
        return Loaded(loaded, next(filter(None, sizes), None))
    if signature is None or len(signature.structured_outputs) != 1:
        raise ArtifactError(f"{path} cannot be called and has no serving signature with one output")
    (argument,) = signature.structured_input_signature[1]
    (output,) = signature.structured_outputs
    return Loaded(lambda images: signature(**{argument: images})[output], static_size(signature))


def hub_load(path: Path, tags: list[str] | None = None) -> Any:
    """The result of ``hub.load``.

    Raises:
        ArtifactError: it does not load.
    """
    try:
        return hub.load(str(path), tags=tags)
    except Exception as error:
        raise ArtifactError(f"{path} does not load with hub.load: {reason(error)}") from error


def static_size(function: Any) -> Size | None:
    """Height and width of the first image input of a function; None if they are not fixed."""
    for spec in tf.nest.flatten(function.structured_input_signature):
        shape = getattr(spec, "shape", None)
        if shape is not None and shape.rank == 4 and shape[1] and shape[2]:
            return int(shape[1]), int(shape[2])
    return None
