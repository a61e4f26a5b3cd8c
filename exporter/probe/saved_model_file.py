"""What a probe needs of the file of a SavedModel, TF1 Hub modules among them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf

from exporter.artifact.model_file import parsed
from exporter.graph import compatibility
from exporter.probe.gradients import gradient_stops
from exporter.probe.writer import ProbeWriter


@dataclass(frozen=True)
class SavedModelFile:
    """The ``SavedModel`` protobuf of an artifact, and what had to be found out before anything imports it.

    ``problems`` are what keeps TensorFlow 1.15 from reading it, ``gradient_stops`` the operations that stop gradients.
    """

    saved_model: Any
    problems: tuple[str, ...]
    gradient_stops: tuple[str, ...]


def read(path: Path) -> SavedModelFile:
    """Reads the file of the artifact in ``path``: to be called first, as an import writes default values into it.

    Raises:
        ArtifactError: it is damaged.
    """
    saved_model = parsed(path)
    problems = tuple(str(problem) for problem in compatibility.check(saved_model))
    return SavedModelFile(saved_model, problems, tuple(gradient_stops(saved_model)))


def write_facts(path: Path, file: SavedModelFile, found: ProbeWriter) -> None:
    """Writes what is about the file alone, after the artifact ran: loading says more plainly what is wrong with it."""
    stored = tf.train.load_checkpoint(str(path / "variables" / "variables")).get_variable_to_shape_map()
    found.file(len(set(stored) - {"_CHECKPOINTABLE_OBJECT_GRAPH"}), file.gradient_stops)
