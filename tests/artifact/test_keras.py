"""Keras networks, as Keras loads them: against the record of the original networks, and those in NumPy."""

import json
import subprocess
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings

from exporter.artifact.keras import Writer, end_point_of, layer_name, weight_path
from exporter.artifact.options import ArtifactOptions
from exporter.checkpoint.synthetic import VERIFICATION_IMAGES
from exporter.graph import network
from exporter.models.classes import class_names
from exporter.models.config import TASKS, ModelConfig, Task, model
from exporter.models.formats import DEFAULT_MOMENTUM, KERAS_FILE, TRAINING_MOMENTUM
from exporter.models.variables import variables
from exporter.reference import numpy_network
from exporter.reference.result import statistics
from exporter.verification.drop_path import decisions
from tests.reference.test_numpy_network import made_up_images, made_up_weights, recorded_weights
from tests.support import networks
from tests.support.command import CHECKOUT
from tests.support.configs import configs
from tests.support.fixtures import TINY, TINY_IMAGENET, TINY_PNASNET
from tests.support.networks import TOLERANCE, difference

OUTPUTS: dict[Task, str] = {"classification": "logits", "feature_vector": "feature_vector"}


def written(
    config: ModelConfig, task: Task, weights: Mapping[str, Any], folder: Path, momentum: float = DEFAULT_MOMENTUM
) -> Path:
    """The file of a network, in a new folder."""
    Writer(config, task, weights).write("keras", folder, ArtifactOptions(momentum))
    return folder / KERAS_FILE


def load(path: Path) -> Any:
    """The network as Keras makes it of a file, without a warning: that would tell of weights which it does not have."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", ".*__array__")  # TensorFlow's own tensors, under NumPy 2
        return keras.saving.load_model(path)


def with_end_points(made: Any) -> Any:
    """The same network, with all end points that layers give as its outputs."""
    shown = {end_point_of(layer.name): layer.output for layer in made.layers if end_point_of(layer.name)}
    return keras.Model(made.input, shown)


@pytest.fixture(scope="module")
def config() -> ModelConfig:
    return ModelConfig.from_dict(TINY)


@pytest.fixture(scope="module")
def weights(config: ModelConfig) -> dict[str, Any]:
    return made_up_weights(config)


@pytest.fixture(scope="module", params=TASKS)
def task(request: pytest.FixtureRequest) -> Task:
    task: Task = request.param
    return task


@pytest.fixture(scope="module")
def path(config: ModelConfig, task: Task, weights: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(config, task, weights, tmp_path_factory.mktemp("keras") / task, 0.9)


@pytest.fixture(scope="module")
def made(path: Path) -> Any:
    """The loaded network; no test may change it."""
    return load(path)


@pytest.mark.long
@settings(max_examples=3, deadline=None)
@given(configs())
def test_any_network_is_the_one_in_numpy(config: ModelConfig) -> None:
    weights, images = made_up_weights(config), made_up_images(config)
    expected = numpy_network.outputs(config, weights, images, np.float64)
    with tempfile.TemporaryDirectory() as folder:
        made = load(written(config, "classification", weights, Path(folder) / "keras"))
    found = with_end_points(made)(images)
    assert found.keys() == expected.keys() - {"Predictions"}
    for name, value in found.items():
        assert difference(value, expected[name]) < TOLERANCE, name


@pytest.mark.full
@pytest.mark.parametrize("name", ["nasnet_mobile", "pnasnet_mobile"])
def test_published_networks_are_the_original_ones(name: str, tmp_path: Path) -> None:
    config, recorded = model(name), networks.recorded(name)
    images = VERIFICATION_IMAGES.at(config.image_size)
    made = with_end_points(load(written(config, "classification", recorded_weights(name), tmp_path / "keras")))
    found = made(images)
    for end_point, value in found.items():
        if f"end_point/{end_point}" in recorded:
            assert difference(value, recorded[f"end_point/{end_point}"]) < TOLERANCE, end_point
        expected = recorded[f"statistics/{end_point}"]
        assert np.abs(statistics(np.asarray(value)) - expected).max() / expected[2] < TOLERANCE, end_point
    assert difference(made(images[:1])["Logits"], recorded["end_point/Logits"][:1]) < TOLERANCE


def test_holds_the_values_of_the_checkpoint_and_no_other(
    config: ModelConfig, task: Task, weights: dict[str, Any], made: Any
) -> None:
    held = {weight.path: np.asarray(weight) for weight in made.weights}
    for spec in variables(config, task):
        found = held.pop(weight_path(spec.name))
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, weights[spec.name])
    assert not held


def test_batch_is_free_and_images_do_not_touch_each_other(config: ModelConfig, task: Task, made: Any) -> None:
    assert made.input_shape == (None, config.image_size, config.image_size, 3)
    assert [tensor.name for tensor in made.inputs] == ["inputs"]
    assert made.output_names == [OUTPUTS[task]]
    images = VERIFICATION_IMAGES.at(config.image_size)
    alone = [made(images[index : index + 1]) for index in range(3)]
    np.testing.assert_allclose(made(images), np.concatenate(alone), rtol=1e-5, atol=1e-6)


def test_a_file_has_the_same_bytes_again_and_only_its_momentum_is_another(
    config: ModelConfig, task: Task, weights: dict[str, Any], made: Any, path: Path, tmp_path: Path
) -> None:
    again = written(config, task, weights, tmp_path / "again", 0.9)
    assert [file.name for file in again.parent.iterdir()] == [KERAS_FILE]
    assert again.read_bytes() == path.read_bytes()
    assert {layer.momentum for layer in made.layers if isinstance(layer, keras.layers.BatchNormalization)} == {0.9}
    assert written(config, task, weights, tmp_path / "other", 0.5).read_bytes() != path.read_bytes()


def test_keras_would_write_the_same(path: Path, made: Any) -> None:
    """Layers in the same order, on which the names of weights depend, with the same connections and arguments."""
    with zipfile.ZipFile(path) as archive:
        own = json.loads(archive.read("config.json"))
    theirs = json.loads(made.to_json())
    assert {name: theirs[name] for name in own if name != "config"} == {
        name: value for name, value in own.items() if name != "config"
    }
    layers, others = own["config"].pop("layers"), theirs["config"].pop("layers")
    assert own["config"] == theirs["config"]
    assert [layer["name"] for layer in layers] == [layer["name"] for layer in others]
    for layer, other in zip(layers, others, strict=True):
        nodes, inbound = ([node["args"] for node in each["inbound_nodes"]] for each in (layer, other))
        assert nodes == inbound
        arguments = {name: other["config"][name] for name in layer["config"]}
        assert arguments == layer["config"]
        assert (layer["module"], layer["class_name"], layer["registered_name"]) == (
            *(other[name] for name in ("module", "class_name")),
            None,
        )


def test_keras_would_store_the_same(path: Path, made: Any, tmp_path: Path) -> None:
    import h5py

    def datasets(file: Any) -> dict[str, Any]:
        found: dict[str, Any] = {}
        file.visititems(lambda name, item: found.update({name: item[()]} if isinstance(item, h5py.Dataset) else {}))
        return found

    made.save_weights(tmp_path / "theirs.weights.h5")
    with zipfile.ZipFile(path) as archive:
        archive.extract("model.weights.h5", tmp_path)
    with h5py.File(tmp_path / "model.weights.h5") as own, h5py.File(tmp_path / "theirs.weights.h5") as theirs:
        found, expected = datasets(own), datasets(theirs)
    assert found.keys() == expected.keys()
    for name, value in found.items():
        np.testing.assert_array_equal(value, expected[name])


def test_a_file_says_how_it_is_used(tmp_path: Path) -> None:
    config = ModelConfig.from_dict(TINY_IMAGENET)
    path = written(config, "classification", made_up_weights(config), tmp_path / "keras")
    with zipfile.ZipFile(path) as archive:
        assert {member.date_time[0] for member in archive.infolist()} == {1980}
        described = json.loads(archive.read("metadata.json"))
    assert described["labels"][0:2] == ["background", class_names()[1].name]
    assert len(described["wnids"]) == 1001
    assert described["preprocessing"]["central_crop"] == 0.875
    assert described["model"] == "tiny_imagenet" and described["task"] == "classification"


def test_training_moves_averages_by_the_momentum_and_reaches_every_trainable_variable(tmp_path: Path) -> None:
    """Of a network whose training is no matter of chance, and with filters enough for oneDNN.

    docs/tutorials/fine-tune-tf2.md says what it can do with fewer.
    """
    config = ModelConfig.from_dict({**TINY, "num_conv_filters": 12, "drop_path_keep_prob": 1, "dropout_keep_prob": 1})
    weights, images = made_up_weights(config), made_up_images(config)
    specs = variables(config, "classification")
    held = {spec.name: tf.Variable(weights[spec.name]) for spec in specs}

    def step(images: Any) -> Any:
        built = network.build(config, "classification", images, lambda name, _: held[name], training=True, momentum=0.0)
        with tf.control_dependencies(built.updates):
            return tf.identity(built.output)

    expected = tf.function(step, autograph=False)(images)
    made = load(written(config, "classification", weights, tmp_path / "keras", TRAINING_MOMENTUM))
    with tf.GradientTape() as tape:
        found = made(images, training=True)
        loss = tf.reduce_sum(tf.square(found))
    assert difference(found, expected) < TOLERANCE
    of_path = {weight.path: weight for weight in made.weights}
    for spec in specs:
        weight = of_path[weight_path(spec.name)]
        if spec.trainable:
            np.testing.assert_array_equal(weight, weights[spec.name])
            continue
        batch = held[spec.name].numpy()
        if spec.name.endswith("/moving_variance"):
            # Keras's is that of the batch itself, TensorFlow's an estimate of that of all images there are.
            layer = made.get_layer(weight.path.partition("/")[0])
            count = len(images) * layer.input.shape[1] * layer.input.shape[2]
            batch = batch * (count - 1) / count
        moved = TRAINING_MOMENTUM * weights[spec.name] + (1 - TRAINING_MOMENTUM) * batch
        assert difference(weight, moved) < TOLERANCE, spec.name
    trained = {weight.path: weight.value for weight in made.trainable_weights}
    assert trained.keys() == {weight_path(spec.name) for spec in specs if spec.trainable}
    for name, gradient in tape.gradient(loss, trained).items():
        assert gradient is not None and np.isfinite(gradient).all() and np.any(gradient), name


def test_penalty_is_the_original_one_on_all_kernels(
    config: ModelConfig, task: Task, weights: dict[str, Any], made: Any
) -> None:
    kernels = [spec.name for spec in variables(config, task) if spec.is_kernel]
    assert len(made.losses) == len(kernels)
    squares = sum(float(np.square(weights[name], dtype=np.float64).sum()) for name in kernels)
    assert difference(float(sum(made.losses)), config.weight_decay * squares / 2) < TOLERANCE


def test_drops_what_the_original_drops_and_where(config: ModelConfig, task: Task, made: Any) -> None:
    dropping = {layer.name: layer for layer in made.layers if isinstance(layer, keras.layers.Dropout)}
    for where, keep in decisions(config, task).items():
        whole = where != "dropout"
        layer = dropping.pop(layer_name(f"{where}/drop_path") if whole else where)
        (node,) = layer._outbound_nodes
        # Nothing comes between a branch that is dropped and the sum.
        assert node.operation.name == (layer_name(f"{where.rpartition('/')[0]}/add") if whole else "final_layer__FC")
        ones = np.ones((2000, 2, 2, 3) if whole else (20, 100), np.float32)
        given = np.asarray(layer(ones, training=True))
        kept = given[:, 0, 0, 0] if whole else given
        assert (given == (kept[:, None, None, None] if whole else kept)).all(), "dropped in a part of an example"
        np.testing.assert_allclose(np.unique(kept), [0, 1 / keep], rtol=1e-6)
        assert abs(np.mean(kept > 0) - keep) < 5.2 * np.sqrt(keep * (1 - keep) / 2000), where
        assert (np.asarray(layer(ones, training=True)) != given).any(), "drops the same again"
        np.testing.assert_array_equal(layer(ones), ones)
    assert not dropping


def test_neither_penalty_nor_drop_path_where_a_configuration_has_none(tmp_path: Path) -> None:
    config = ModelConfig.from_dict({**TINY_PNASNET, "weight_decay": 0})
    made = load(written(config, "feature_vector", made_up_weights(config), tmp_path / "keras"))
    assert made.losses == []
    assert not [layer for layer in made.layers if isinstance(layer, keras.layers.Dropout)]


def test_importing_it_brings_neither_tensorflow_nor_keras() -> None:
    program = "import sys; import exporter.artifact.keras; print(*sys.modules)"
    command = [sys.executable, "-c", program]
    loaded = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout.split()
    assert not {name.split(".")[0] for name in loaded} & {"tensorflow", "tf_slim", "keras", "torch"}
