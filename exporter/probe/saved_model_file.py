"""What a probe needs of the file of a SavedModel, TF1 Hub modules among them."""

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2

from exporter.errors import ArtifactError
from exporter.files.arrays import Found
from exporter.graph import compatibility
from exporter.probe.gradients import stops


def read(path: Path) -> Any:
    """The ``SavedModel`` protobuf of the artifact in ``path``.

    Raises:
        ArtifactError: it is damaged.
    """
    try:
        return saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
    except DecodeError as error:
        raise ArtifactError(f"{path} does not load with hub.load: its saved_model.pb is damaged") from error


def arrays(path: Path, saved_model: Any) -> Found:
    """``stored``, how many values the file of variables has; ``gradients/stops``, operations that stop gradients."""
    stored = tf.train.load_checkpoint(str(path / "variables" / "variables")).get_variable_to_shape_map()
    yield "stored", np.array(len(set(stored) - {"_CHECKPOINTABLE_OBJECT_GRAPH"}))
    yield "gradients/stops", np.array(stops(saved_model), str)


def findings(saved_model: Any) -> list[str]:
    """What keeps the oldest reader promised from loading it."""
    return [str(finding) for finding in compatibility.check(saved_model)]
