"""Compatibility with TensorFlow 1.15: the problems that are found, and the rewriting that avoids them."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from exporter.errors import CompatibilityError
from exporter.graph import compatibility
from exporter.graph.downgrade import downgrade, nodes
from tests.support import environments
from tests.support.command import Command, artifact_folder, succeeded


class _Scale(tf.Module):
    """The smallest model with a variable, a convolution and a call."""

    def __init__(self, after: Callable[[Any], Any] = lambda net: net) -> None:
        super().__init__()
        self.kernel = tf.Variable(tf.ones([1, 1, 3, 2]), name="kernel")
        self.after = after

    @tf.function(input_signature=[tf.TensorSpec([None, 4, 4, 3], tf.float32)])
    def __call__(self, images: Any) -> Any:
        return self.after(tf.nn.conv2d(images, self.kernel, 1, "SAME"))


def _saved(folder: Path, after: Callable[[Any], Any] = lambda net: net) -> saved_model_pb2.SavedModel:
    tf.saved_model.save(_Scale(after), str(folder))
    return _parsed(folder)


def _parsed(folder: Path) -> saved_model_pb2.SavedModel:
    return saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())


def _replace(folder: Path, saved_model: saved_model_pb2.SavedModel) -> None:
    (folder / "saved_model.pb").write_bytes(saved_model.SerializeToString())
    (folder / "fingerprint.pb").unlink(missing_ok=True)


@pytest.fixture
def passing(tmp_path: Path) -> saved_model_pb2.SavedModel:
    saved_model = _saved(tmp_path / "passing")
    downgrade(saved_model)
    assert compatibility.check(saved_model) == []
    return saved_model


def _node(saved_model: saved_model_pb2.SavedModel, op: str) -> Any:
    return next(node for node in nodes(saved_model) if node.op == op)


def _problems(saved_model: saved_model_pb2.SavedModel) -> list[str]:
    return [str(finding) for finding in compatibility.check(saved_model)]


def test_data_file_has_what_tensorflow_1_15_knows() -> None:
    known = compatibility.known_operations()
    assert len(known) > 1000
    assert "DisableCopyOnRead" not in known
    assert "debug_name" not in known["VarHandleOp"]
    assert "validate_shape" not in known["AssignVariableOp"]
    assert known["Conv2D"]["T"]["allowed"] == [tf.half.as_datatype_enum, 14, 1, 2]
    assert "default" in known["FusedBatchNormV3"]["is_training"]
    assert "exponential_avg_factor" not in known["FusedBatchNormV3"]


def test_todays_files_are_refused_until_they_are_rewritten(tmp_path: Path) -> None:
    saved_model = _saved(tmp_path / "today")
    problems = "\n".join(_problems(saved_model))
    assert "debug_name" in problems
    assert "DisableCopyOnRead" in problems
    downgrade(saved_model)
    assert compatibility.check(saved_model) == []
    assert not [node for node in nodes(saved_model) if node.op == "DisableCopyOnRead"]
    conv = _node(saved_model, "Conv2D")
    assert set(conv.attr) >= {"T", "strides", "padding"}
    assert not {"data_format", "dilations", "explicit_paddings", "use_cudnn_on_gpu"} & set(conv.attr)


def test_rewriting_changes_no_output(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    saved_model = _saved(folder, lambda net: tf.nn.relu(net - 1.0))
    images = tf.random.stateless_uniform([2, 4, 4, 3], [1, 2])
    before = tf.saved_model.load(str(folder))(images).numpy()
    downgrade(saved_model)
    _replace(folder, saved_model)
    assert (tf.saved_model.load(str(folder))(images).numpy() == before).all()


def test_an_operation_outside_the_floor_is_named_with_node_and_reader(tmp_path: Path) -> None:
    saved_model = _saved(tmp_path / "new", lambda net: tf.math.erfinv(net / 9.0, name="from_the_future"))
    downgrade(saved_model)
    (finding,) = {str(finding) for finding in compatibility.check(saved_model)}
    assert "from_the_future" in finding
    assert "Erfinv" in finding
    assert "TensorFlow 1.15" in finding
    with pytest.raises(CompatibilityError, match=r"(?s)Erfinv.*TensorFlow 1\.15"):
        compatibility.require(saved_model)


@pytest.mark.long
def test_such_an_operation_fails_the_build(tmp_path: Path, tiny: Path, tiny_checkpoint: Path, cli: Command) -> None:
    """The whole command, with a network whose ReLU is of today, given to it from outside."""
    program = (
        "import sys, tensorflow as tf\n"
        "relu = tf.raw_ops.Relu\n"
        "tf.raw_ops.Relu = lambda features: relu(features=features) + 0 * tf.math.erfinv(0 * features)\n"
        "from pathlib import Path\n"
        "from exporter.artifact.export import export\n"
        "from exporter.artifact.jobs import ExportRequest, ExportTarget\n"
        "from exporter.artifact.options import ArtifactOptions\n"
        "from exporter.models.config import model\n"
        "name, prefix, folder = sys.argv[1:]\n"
        "for version in (3, 4):\n"
        "    target = ExportTarget('feature_vector', version, ArtifactOptions(0.99), Path(folder, str(version)))\n"
        "    request = ExportRequest(model(name), Path(prefix), (target,))\n"
        "    print(ascii(export(request, lambda _: None, lambda _: None).failed))\n"
    )
    command = [sys.executable, "-c", program, *map(str, (tiny, tiny_checkpoint, tmp_path))]
    result = subprocess.run(command, env=cli.env, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-2000:]
    failures = result.stdout.splitlines()
    assert len(failures) == 2
    for failure in failures:
        assert "CompatibilityError" in failure
        assert "Erfinv" in failure
        assert "TensorFlow 1.15" in failure


def _unknown_attribute(saved_model: saved_model_pb2.SavedModel) -> None:
    _node(saved_model, "Conv2D").attr["tomorrow"].b = True


def _unknown_type(saved_model: saved_model_pb2.SavedModel) -> None:
    _node(saved_model, "Conv2D").attr["T"].type = 25  # DT_FLOAT8_E4M3FN


def _type_not_taken(saved_model: saved_model_pb2.SavedModel) -> None:
    _node(saved_model, "Conv2D").attr["T"].type = tf.int8.as_datatype_enum


def _unknown_padding(saved_model: saved_model_pb2.SavedModel) -> None:
    _node(saved_model, "Conv2D").attr["padding"].s = b"CIRCULAR"


def _missing_attribute(saved_model: saved_model_pb2.SavedModel) -> None:
    del _node(saved_model, "Conv2D").attr["strides"]


def _newer_graph(saved_model: saved_model_pb2.SavedModel) -> None:
    saved_model.meta_graphs[0].graph_def.versions.min_consumer = 135


def _unknown_object(saved_model: saved_model_pb2.SavedModel) -> None:
    saved_model.meta_graphs[0].object_graph_def.nodes.add().captured_tensor.name = "x"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_unknown_attribute, "the attribute 'tomorrow'"),
        (_unknown_type, "the data type 25"),
        (_type_not_taken, f"the data type {tf.int8.as_datatype_enum}"),
        (_unknown_padding, "'CIRCULAR' in 'padding'"),
        (_missing_attribute, "lacks the attribute 'strides'"),
        (_newer_graph, "version 135"),
        (_unknown_object, "captured_tensor"),
    ],
)
def test_what_an_old_reader_does_not_know_is_found(
    passing: saved_model_pb2.SavedModel, change: Callable[[saved_model_pb2.SavedModel], None], said: str
) -> None:
    change(passing)
    (problem,) = _problems(passing)
    assert said in problem
    assert "TensorFlow 1.15" in problem


def _normalized(net: Any, *statistics: Any) -> Any:
    ones = tf.ones([2])
    return tf.compat.v1.nn.fused_batch_norm(net, ones, ones, *statistics)[0]


@pytest.mark.readers
@pytest.mark.parametrize("statistics", [False, True])
def test_statistics_given_in_training_mode_are_found_as_1_15_finds_them(tmp_path: Path, statistics: bool) -> None:
    """What TensorFlow 1.15 knows but refuses to run; the real one agrees in both cases."""
    folder = tmp_path / "model"
    given = (tf.ones([2]), tf.ones([2])) if statistics else ()
    saved_model = _saved(folder, lambda net: _normalized(net, *given))
    downgrade(saved_model)
    assert any("training mode" in problem for problem in _problems(saved_model)) == statistics
    _replace(folder, saved_model)
    runs, said = _runs_in_1_15(folder)
    assert runs != statistics, said


@pytest.mark.readers
@pytest.mark.parametrize("rewritten", [False, True])
def test_1_15_loads_only_what_was_rewritten(tmp_path: Path, rewritten: bool) -> None:
    folder = tmp_path / "model"
    saved_model = _saved(folder)
    if rewritten:
        downgrade(saved_model)
        _replace(folder, saved_model)
    assert (compatibility.check(_parsed(folder)) == []) == rewritten
    runs, said = _runs_in_1_15(folder)
    assert runs == rewritten, said


def _runs_in_1_15(folder: Path) -> tuple[bool, str]:
    program = (
        "import sys, tensorflow as tf\n"
        "tf.compat.v1.enable_v2_behavior()\n"
        "print('ran', tf.saved_model.load_v2(sys.argv[1])(tf.ones([1, 4, 4, 3])).shape)\n"
    )
    process = subprocess.run(
        [str(environments.old()), "-c", program, str(folder)],
        env=environments.clean_variables(),
        capture_output=True,
        text=True,
        check=False,
    )
    return process.stdout.startswith("ran"), process.stderr[-2000:]


def test_inspect_tells_it_of_any_saved_model(cli: Command, tmp_path: Path, tiny_artifacts: Path) -> None:
    _saved(tmp_path / "foreign")
    foreign = json.loads(succeeded(cli("inspect", tmp_path / "foreign", "--json")).stdout)
    assert foreign["oldest_tensorflow"] is None
    assert any("debug_name" in finding for finding in foreign["findings"])
    own = artifact_folder(tiny_artifacts, "tiny_nasnet", "classification", 5)
    ours = json.loads(succeeded(cli("inspect", own, "--json")).stdout)
    assert ours["oldest_tensorflow"] == "1.15"
    assert ours["findings"] == []
