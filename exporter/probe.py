"""The worker job that loads an artifact as its users do, and writes down what it does."""

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_hub as hub
from tensorflow.core.protobuf import saved_model_pb2

from exporter import gate
from exporter.chance import loadable_without_chance
from exporter.digests import digest
from exporter.errors import ArtifactError
from exporter.formats import HUB_MODULE_FILE, TRAINING_MOMENTUM
from exporter.hub_probe import probe_hub
from exporter.synthetic import VERIFICATION_IMAGES
from exporter.worker import Say


def probe(request: dict[str, Any], report: Say) -> dict[str, Any]:
    """Loads ``request["path"]`` with ``hub.load`` and writes ``request["output"]``, an ``.npz`` of what it gives.

    For the arrays of a TF1 Hub module see `exporter.hub_probe`. Those of a TF2 SavedModel: ``output`` on
    `VERIFICATION_IMAGES` and ``output_single`` on the first of them alone; ``signature/NAME/OUTPUT``;
    ``regularization_loss``; ``names``, ``trainable`` and ``digests`` of ``obj.variables`` in order; ``after_inference``
    digests; ``training/output``, and of the moving statistics: ``before/NAME``, ``moved/NAME`` (one step with
    `TRAINING_MOMENTUM`), ``moved_by_default/NAME`` (one more step). With ``request["without_chance"]``, drop path and
    dropout keep everything in training, as they always do in the probe of a TF1 Hub module.

    The result lists the findings of the gate.
    """
    path = Path(request["path"])
    report("loading the artifact")
    images = VERIFICATION_IMAGES.at(request["image_size"])
    if (path / HUB_MODULE_FILE).exists():
        arrays = _probed_hub(path, images, report)
    else:
        scratch = Path(request["output"]).parent if request.get("without_chance") else None
        arrays = _probed(path, images, report, scratch)
    np.savez(request["output"], **arrays)
    saved_model = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
    return {"findings": [str(finding) for finding in gate.check(saved_model)], "tensorflow": tf.__version__}


def _probed_hub(path: Path, images: np.ndarray, report: Say) -> dict[str, Any]:
    report("running the artifact")
    try:
        return probe_hub(path, images)
    except Exception as error:
        raise ArtifactError(f"{path} cannot be used as a TF1 Hub module: {_reason(error)}") from error


def _probed(path: Path, images: np.ndarray, report: Say, scratch: Path | None) -> dict[str, Any]:
    """With ``scratch``, a folder for temporary files, the artifact is loaded without chance."""
    try:
        with loadable_without_chance(path, scratch) if scratch else contextlib.nullcontext(path) as folder:
            loaded = hub.load(str(folder))
    except Exception as error:
        raise ArtifactError(f"{path} does not load with hub.load: {_reason(error)}") from error
    report("running the artifact")
    try:
        return _inference(loaded, images) | _training(loaded, images)
    except (AttributeError, TypeError, ValueError, tf.errors.OpError) as error:
        raise ArtifactError(f"{path} cannot be used as a reusable SavedModel: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: " + " ".join(str(error).split())[:300]


def _inference(loaded: Any, images: np.ndarray) -> dict[str, Any]:
    arrays = {
        "output": loaded(tf.constant(images)).numpy(),
        "output_single": loaded(tf.constant(images[:1]), training=False).numpy(),
        "names": np.array([variable.name.removesuffix(":0") for variable in loaded.variables]),
        "trainable": np.array([variable.name.removesuffix(":0") for variable in loaded.trainable_variables]),
        "digests": _digests(loaded),
        "regularization_loss": np.array([loss().numpy() for loss in loaded.regularization_losses]),
    }
    for name, function in loaded.signatures.items():
        (argument,) = function.structured_input_signature[1]
        for output, value in function(**{argument: tf.constant(images)}).items():
            arrays[f"signature/{name}/{output}"] = value.numpy()
    return arrays


def _training(loaded: Any, images: np.ndarray) -> dict[str, Any]:
    after_inference = _digests(loaded)
    arrays = _statistics("before", loaded)
    output = loaded(tf.constant(images), training=True, batch_norm_momentum=TRAINING_MOMENTUM)
    arrays |= _statistics("moved", loaded)
    loaded(tf.constant(images), training=True)
    arrays |= _statistics("moved_by_default", loaded)
    return arrays | {
        "after_inference": after_inference,
        "after_training": _digests(loaded),
        "training/output": output.numpy(),
    }


def _statistics(key: str, loaded: Any) -> dict[str, Any]:
    trainable = {variable.name for variable in loaded.trainable_variables}
    statistics = (variable for variable in loaded.variables if variable.name not in trainable)
    return {f"{key}/{variable.name.removesuffix(':0')}": variable.numpy() for variable in statistics}


def _digests(loaded: Any) -> np.ndarray:
    return np.array([digest(variable.numpy()) for variable in loaded.variables])
