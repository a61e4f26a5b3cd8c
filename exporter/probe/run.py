"""The probe job: loads an artifact of any format and writes down what it gives."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2

from exporter.checkpoint.synthetic import VERIFICATION_IMAGES
from exporter.errors import ArtifactError
from exporter.files.arrays import Found, LazyArrays, save
from exporter.graph import compatibility
from exporter.models.formats import HUB_MODULE_FILE
from exporter.probe.gradients import stops
from exporter.probe.hub_module import probe_hub
from exporter.probe.reuse import Earlier, network_key
from exporter.probe.saved_model import probe_saved_model, reason
from exporter.processes.run import Say


def probe(request: dict[str, Any], report: Say) -> dict[str, Any]:
    """Loads ``request["path"]`` with ``hub.load`` and writes what it gives to the folder ``request["output"]``.

    For the arrays of a TF1 Hub module see `exporter.probe.hub_module`. Those of a TF2 SavedModel: ``output`` on
    `VERIFICATION_IMAGES` and ``output_single``, that of the function that was called, on the first of them alone;
    ``end_point/NAME`` of those found in the graph; ``signature/NAME/OUTPUT``, ``signature_inputs``;
    ``regularization_loss``, ``l2/…`` (see `exporter.probe.gradients.pulled`); ``names``, ``trainable`` and ``digests``
    of
    ``obj.variables`` in order, ``stored`` (how many values the file has); ``after_inference`` digests; ``draws/…`` of
    its random decisions (see `exporter.probe.drop_path.arrays`); and, where those keep everything:
    ``training/output``, of the
    moving statistics ``before/NAME``, ``moved/NAME`` (one step with `TRAINING_MOMENTUM`), ``moved_by_default/NAME``
    (one more step), and ``gradients/names`` of the variables that a gradient reaches. ``gradients/stops`` are the
    operations that stop one.

    ``request["earlier"]`` may have folders that earlier probes wrote, and the ``network`` that each told of: where one
    of them has the same values of variables, what follows from what it has in common with this one is linked. A
    SavedModel of the same `network_key` is loaded, called and asked for its signatures, and no more.

    The result lists the findings of the gate, and has the ``network``: for SavedModels its key.
    """
    path = Path(request["path"])
    report("loading the artifact")
    images = VERIFICATION_IMAGES.at(request["image_size"])
    output = Path(request["output"])
    try:
        saved_model = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
    except DecodeError as error:
        raise ArtifactError(f"{path} does not load with hub.load: its saved_model.pb is damaged") from error
    hub_module = (path / HUB_MODULE_FILE).exists()
    network = HUB_MODULE_FILE if hub_module else network_key(saved_model)
    earlier = [LazyArrays(Path(found)) for found, other in request.get("earlier", {}).items() if other == network]
    if hub_module:
        arrays = _probed_hub(path, images, report, Earlier(earlier))
    else:
        arrays = probe_saved_model(path, images, report, output.parent, earlier)
    save(output, itertools.chain(arrays, _of_file(path, saved_model)))
    findings = [str(finding) for finding in compatibility.check(saved_model)]
    return {"findings": findings, "tensorflow": tf.__version__, "network": network}


def _of_file(path: Path, saved_model: Any) -> Found:
    stored = tf.train.load_checkpoint(str(path / "variables" / "variables")).get_variable_to_shape_map()
    yield "stored", np.array(len(set(stored) - {"_CHECKPOINTABLE_OBJECT_GRAPH"}))
    yield "gradients/stops", np.array(stops(saved_model), str)


def _probed_hub(path: Path, images: np.ndarray, report: Say, earlier: Earlier) -> Found:
    try:
        yield from probe_hub(path, images, earlier, report)
    except Exception as error:
        raise ArtifactError(f"{path} cannot be used as a TF1 Hub module: {reason(error)}") from error
