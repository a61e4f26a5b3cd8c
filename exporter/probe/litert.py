"""Runs a LiteRT model with LiteRT's interpreter on one thread, as its users do, and records the results."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from exporter.artifact.litert_file import LitertModel
from exporter.errors import ArtifactError, reason
from exporter.files.arrays import digest
from exporter.models.formats import LITERT_FILE, LITERT_MORE_FILES
from exporter.models.signatures import SERVING_INPUT, SERVING_OUTPUTS
from exporter.probe.observations import ProbedFile
from exporter.probe.writer import ProbeWriter
from exporter.progress import Say

SIGNATURE = "serving_default"


def probe(
    path: Path,
    images: np.ndarray,
    found: ProbeWriter,
    previous: Mapping[Path, str | None],
    say: Say,
    scratch: Path,
) -> ProbedFile:
    """Loads and runs a LiteRT model; arguments are those of `exporter.probe.saved_model.probe`.

    Raises:
        ArtifactError: it is damaged, or LiteRT does not run it with images of this size.
    """
    model = LitertModel(path)
    weights = model.weights
    found.variables(list(weights), [digest(tensor.value()) for tensor in weights.values()])
    found.interface(_interface(model))
    types = {f"weights in {dtype}": "yes" for dtype in sorted({tensor.dtype for tensor in weights.values()})}
    found.properties({**types, **_texts(path)})
    say("running the artifact")
    outputs = run(path, images)
    main = next((name for name in SERVING_OUTPUTS.values() if name in outputs), next(iter(outputs)))
    found.output(outputs[main])
    found.single_output(run(path, images[:1])[main])
    return ProbedFile((), None)


def run(path: Path, images: np.ndarray) -> dict[str, np.ndarray]:
    """The outputs of the model's signature by name.

    Raises:
        ArtifactError: it has no such signature, or does not run.
    """
    try:
        call = signature(path)
        names = list(call.get_input_details())
        if len(names) != 1:
            raise ArtifactError(f"{path} has the inputs {', '.join(names)}, expected one: {SERVING_INPUT}")
        outputs: dict[str, np.ndarray] = call(**{names[0]: images})
    except (RuntimeError, TypeError, ValueError) as error:
        raise ArtifactError(f"{path} cannot be run by LiteRT: {reason(error)}") from error
    return outputs


def signature(path: Path) -> Any:
    """What calls the model's signature.

    Raises:
        ValueError, RuntimeError: those of LiteRT, where it has none, or is damaged.
    """
    return Interpreter(str(path / LITERT_FILE), num_threads=1).get_signature_runner(SIGNATURE)


def _texts(path: Path) -> dict[str, str]:
    """The files beside the model, as far as they are there."""
    files = (path / name for name in LITERT_MORE_FILES)
    try:
        return {file.name: file.read_text(encoding="utf-8") for file in files if file.is_file()}
    except (OSError, UnicodeDecodeError) as error:
        raise ArtifactError(f"cannot read what lies beside {path / LITERT_FILE}: {reason(error)}") from error


def _interface(model: LitertModel) -> list[str]:
    """Inputs and outputs of each signature, each in a line."""
    return [
        f"{side} {name} {facts} of {key}"
        for key, signature in model.signatures.items()
        for side, named in (("input", signature.inputs), ("output", signature.outputs))
        for name, facts in named.items()
    ]
