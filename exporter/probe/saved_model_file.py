"""Reads what a probe needs from the file of a SavedModel or TF1 Hub module."""

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
    """The ``SavedModel`` protobuf of an artifact, and what is found in it before it is imported.

    ``problems`` are what keeps TensorFlow 1.15 from reading it, ``gradient_stops`` the operations that stop gradients.
    """

    saved_model: Any
    problems: tuple[str, ...]
    gradient_stops: tuple[str, ...]


def read(path: Path) -> SavedModelFile:
    """Reads the file of the artifact in ``path``. Call it first, since importing a graph adds default values to it.

    Raises:
        ArtifactError: it is damaged.
    """
    saved_model = parsed(path)
    problems = tuple(str(problem) for problem in compatibility.check(saved_model))
    return SavedModelFile(saved_model, problems, tuple(gradient_stops(saved_model)))


def write_facts(path: Path, file: SavedModelFile, found: ProbeWriter) -> None:
    """Records facts about the file. Call it last: if the artifact is damaged, loading it gives a clearer error."""
    stored = tf.train.load_checkpoint(str(path / "variables" / "variables")).get_variable_to_shape_map()
    found.file(len(set(stored) - {"_CHECKPOINTABLE_OBJECT_GRAPH"}), file.gradient_stops)
