"""What a probe needs of the file of a SavedModel, TF1 Hub modules among them."""

from pathlib import Path
from typing import Any

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2

from exporter.errors import ArtifactError
from exporter.graph import compatibility
from exporter.probe.gradients import gradient_stops
from exporter.probe.writer import ProbeWriter


def read(path: Path, found: ProbeWriter) -> tuple[Any, tuple[str, ...]]:
    """The ``SavedModel`` protobuf of the artifact in ``path``, and what keeps TensorFlow 1.15 from reading it.

    To be called before the protobuf is imported anywhere: that writes default values into it.

    Args:
        found: takes the number of stored values, and the operations that stop gradients.

    Raises:
        ArtifactError: it is damaged.
    """
    try:
        saved_model = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
    except DecodeError as error:
        raise ArtifactError(f"{path} does not load with hub.load: its saved_model.pb is damaged") from error
    found.file(_stored_values(path), gradient_stops(saved_model))
    return saved_model, tuple(str(problem) for problem in compatibility.check(saved_model))


def _stored_values(path: Path) -> int:
    stored = tf.train.load_checkpoint(str(path / "variables" / "variables")).get_variable_to_shape_map()
    return len(set(stored) - {"_CHECKPOINTABLE_OBJECT_GRAPH"})
