"""ONNX models, run with ONNX Runtime: against the record of the original networks, and the networks in NumPy."""

import json
import subprocess
import sys
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from exporter.artifact.onnx import DEPTHWISE_AXES, IR_VERSION, KERNEL_AXES, OPSET, Writer, build
from exporter.artifact.onnx_serialization import Initializer, pieces
from exporter.artifact.options import ArtifactOptions
from exporter.checkpoint.synthetic import VERIFICATION_IMAGES
from exporter.models.classes import class_names
from exporter.models.config import TASKS, ModelConfig, Task, model
from exporter.models.variables import variables
from exporter.reference import numpy_network
from exporter.reference.result import statistics
from tests.reference.test_numpy_network import made_up_images, made_up_weights, recorded_weights
from tests.support import networks
from tests.support.command import CHECKOUT
from tests.support.configs import configs
from tests.support.fixtures import TINY, TINY_IMAGENET
from tests.support.networks import MODELS, TOLERANCE


def made_of(*args: Any, **options: Any) -> onnx.ModelProto:
    """The whole model that `build` describes."""
    return onnx.load_model_from_string(b"".join(pieces(*build(*args, **options))))


_NAMES = {"logits": "Logits", "feature_vector": "global_pool"}


def run(made: onnx.ModelProto, images: Any) -> dict[str, Any]:
    """The outputs of a model, by the names of end points."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(made.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    values = session.run(names, {"inputs": images})
    return {_NAMES.get(name, name): value for name, value in zip(names, values, strict=True)}


@pytest.mark.long
@settings(max_examples=30, deadline=None)
@given(configs())
def test_any_network_is_the_one_in_numpy(config: ModelConfig) -> None:
    weights, images = made_up_weights(config), made_up_images(config)
    expected = numpy_network.outputs(config, weights, images, np.float64)
    found = run(made_of(config, "classification", weights, end_points=True), images)
    assert found.keys() == expected.keys()
    for name, value in found.items():
        assert networks.difference(value, expected[name]) < TOLERANCE, name


@pytest.mark.full
@pytest.mark.parametrize("name", MODELS)
def test_published_networks_are_the_original_ones(name: str) -> None:
    config, recorded = model(name), networks.recorded(name)
    images = VERIFICATION_IMAGES.at(config.image_size)
    made = made_of(config, "classification", recorded_weights(name), end_points=True)
    onnx.checker.check_model(made, full_check=True)
    found = run(made, images)
    for end_point, value in found.items():
        if f"end_point/{end_point}" in recorded:
            assert networks.difference(value, recorded[f"end_point/{end_point}"]) < TOLERANCE, end_point
        expected = recorded[f"statistics/{end_point}"]
        assert np.abs(statistics(value) - expected).max() / expected[2] < TOLERANCE, end_point


@pytest.mark.parametrize("task", TASKS)
def test_holds_the_values_of_the_checkpoint_and_no_other(task: Task) -> None:
    config = ModelConfig.from_dict(TINY)
    weights = made_up_weights(config)
    made = made_of(config, task, weights)
    held = {tensor.name: numpy_helper.to_array(tensor) for tensor in made.graph.initializer}
    axes = {"weights": KERNEL_AXES, "pointwise_weights": KERNEL_AXES, "depthwise_weights": DEPTHWISE_AXES}
    for spec in variables(config, task):
        found = held.pop(spec.name)
        order = axes.get(spec.name.rpartition("/")[2]) if len(spec.shape) == 4 else None
        np.testing.assert_array_equal(found, weights[spec.name].transpose(order) if order else weights[spec.name])
    # What is left are numbers of the architecture, such as where a slice begins.
    assert all(value.size <= 2 for value in held.values())
    reads = {name for node in made.graph.node for name in node.input}
    assert {tensor.name for tensor in made.graph.initializer} <= reads


@st.composite
def models(draw: st.DrawFn) -> tuple[onnx.ModelProto, dict[str, Initializer]]:
    """Models of any fields around their initializers, whose lengths take one byte to three."""
    strange = st.text(st.characters(exclude_categories=["Cs"]), max_size=9)
    names = draw(st.lists(strange.filter(bool), max_size=5, unique=True))
    initializers = {}
    for name in names:
        shape = draw(st.lists(st.sampled_from((0, 1, 2, 3, 31, 32, 129)), max_size=3))
        kind = draw(st.sampled_from((np.float32, np.int64, np.float16)))
        value = np.arange(np.prod(shape, dtype=int), dtype=kind).reshape(shape)
        axes = tuple(draw(st.permutations(range(len(shape))))) if draw(st.booleans()) else None
        initializers[name] = Initializer(value, axes)
    nodes = [helper.make_node("Identity", [draw(strange)], [draw(strange)]) for _ in range(draw(st.integers(0, 3)))]
    inputs = [helper.make_tensor_value_info(draw(strange), onnx.TensorProto.FLOAT, ["batch", 3])]
    graph = helper.make_graph(nodes, draw(strange), inputs, inputs, doc_string=draw(strange))
    model = helper.make_model(graph, producer_name=draw(strange), doc_string=draw(strange))
    helper.set_model_props(model, {"some": draw(strange)})
    return model, initializers


@settings(deadline=None)
@given(models())
def test_what_is_written_in_pieces_are_the_bytes_of_the_whole(
    described: tuple[onnx.ModelProto, dict[str, Initializer]],
) -> None:
    model, initializers = described
    found = b"".join(pieces(model, initializers))
    for name, each in initializers.items():
        value = each.value.transpose(each.axes) if each.axes else each.value
        model.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(value).reshape(value.shape), name))
    assert found == model.SerializeToString(deterministic=True)


def test_batch_is_free_and_images_do_not_touch_each_other() -> None:
    config = ModelConfig.from_dict(TINY)
    made = made_of(config, "classification", made_up_weights(config))
    images = VERIFICATION_IMAGES.at(config.image_size)
    alone = [run(made, images[index : index + 1])["Logits"] for index in range(3)]
    np.testing.assert_allclose(run(made, images)["Logits"], np.concatenate(alone), rtol=1e-5, atol=1e-6)


def test_says_how_it_is_used(tmp_path: Any) -> None:
    config = ModelConfig.from_dict(TINY_IMAGENET)
    Writer(config, "classification", made_up_weights(config)).write(0, tmp_path / "onnx", ArtifactOptions(None))
    made = onnx.load(tmp_path / "onnx" / "model.onnx")
    onnx.checker.check_model(made, full_check=True)
    assert (made.ir_version, made.opset_import[0].version) == (IR_VERSION, OPSET)
    described = {entry.key: entry.value for entry in made.metadata_props}
    assert json.loads(described["labels"])[0:2] == ["background", class_names()[1].name]
    assert len(json.loads(described["wnids"])) == 1001
    assert json.loads(described["preprocessing"])["central_crop"] == 0.875
    (output,) = made.graph.output
    assert output.name == "logits"
    Writer(config, "classification", made_up_weights(config)).write(0, tmp_path / "again", ArtifactOptions(None))
    assert (tmp_path / "onnx" / "model.onnx").read_bytes() == (tmp_path / "again" / "model.onnx").read_bytes()


def test_importing_it_brings_no_tensorflow() -> None:
    program = "import sys; import exporter.artifact.onnx; print(*sys.modules)"
    command = [sys.executable, "-c", program]
    loaded = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout.split()
    assert not {name.split(".")[0] for name in loaded} & {"tensorflow", "tf_slim", "keras", "torch"}
