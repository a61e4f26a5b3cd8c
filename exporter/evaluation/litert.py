"""Loads a LiteRT model for predictions."""

from pathlib import Path
from typing import Any

import numpy as np

from exporter.artifact.litert_file import LitertModel
from exporter.errors import ArtifactError, reason
from exporter.evaluation.loaded import Loaded
from exporter.models.signatures import SERVING_OUTPUTS
from exporter.probe.litert import SIGNATURE, signature


def load(path: Path) -> Loaded:
    """The function of a LiteRT model, run by LiteRT on one thread.

    Raises:
        ArtifactError: it is damaged, does not load, or is none of images.
    """
    facts = LitertModel(path).signatures.get(SIGNATURE)
    if facts is None or len(facts.inputs) != 1 or not facts.outputs:
        raise ArtifactError(f"{path} has no signature {SIGNATURE} with one input")
    try:
        call_signature = signature(path)
    except (RuntimeError, ValueError) as error:
        raise ArtifactError(f"{path} does not load with LiteRT: {reason(error)}") from error
    main = next((name for name in SERVING_OUTPUTS.values() if name in facts.outputs), next(iter(facts.outputs)))
    ((name, images_facts),) = facts.inputs.items()

    def call(images: Any) -> Any:
        try:
            return call_signature(**{name: np.asarray(images)})[main]
        except (RuntimeError, TypeError, ValueError) as error:
            raise ValueError(reason(error)) from error

    size = images_facts.shape[1:3] if images_facts.shape and len(images_facts.shape) == 4 else (None, None)
    return Loaded(call, (size[0], size[1]) if size[0] and size[1] else None)
