"""A feature vector's functions, made from those of the classifier, are those that TensorFlow would trace."""

from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from exporter.artifact import saved_model
from exporter.artifact.export import WriterOfTasks
from exporter.artifact.options import ArtifactOptions
from exporter.artifact.saved_model import Writer, traced
from exporter.graph.canonical import canonicalize
from exporter.models.config import ModelConfig, model
from exporter.models.variables import variables


def _bytes(traces: Any) -> bytes:
    """Those functions in a file that does not depend on what else was traced in this process."""
    file = saved_model_pb2.SavedModel()
    library = file.meta_graphs.add().graph_def.library
    functions = (traces.inference, traces.training, traces.regularization_loss, traces.serving)
    library.function.extend(trace.definition for trace in functions)
    canonicalize(file, "a handle")
    return file.SerializeToString(deterministic=True)


@pytest.fixture(params=["tiny", "tiny_pnasnet", pytest.param("nasnet_mobile", marks=pytest.mark.full)])
def config(request: pytest.FixtureRequest) -> ModelConfig:
    name = request.param
    return model(name if name == "nasnet_mobile" else str(request.getfixturevalue(name)))


def test_they_are_those_that_are_traced(config: ModelConfig) -> None:
    whole, wanted = (traced(config, task) for task in ("classification", "feature_vector"))
    found = saved_model._of_task(config, "feature_vector", whole)
    assert _bytes(found) == _bytes(wanted) != _bytes(whole)
    for name in ("inference", "training", "regularization_loss", "serving"):
        made, other = getattr(found, name), getattr(wanted, name)
        assert (made.captured, made.arguments, made.outputs) == (other.captured, other.arguments, other.outputs)


def test_a_task_written_alone_has_the_same_bytes(tiny: Path, tmp_path: Path) -> None:
    tiny_config = model(str(tiny))
    values = {spec.name: tf.zeros(spec.shape) for spec in variables(tiny_config, "classification")}
    first = Writer(tiny_config, "classification", values)
    assert isinstance(first, WriterOfTasks)
    first.write(5, tmp_path / "classification", ArtifactOptions(0.99))
    first.for_task("feature_vector").write(5, tmp_path / "after", ArtifactOptions(0.99))
    Writer(tiny_config, "feature_vector", values).write(5, tmp_path / "alone", ArtifactOptions(0.99))
    after, alone = ((tmp_path / name / "saved_model.pb").read_bytes() for name in ("after", "alone"))
    assert after == alone
