"""Keras networks, run by Keras on TensorFlow: against the record of the original networks, and those in NumPy."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings

from exporter.artifact.keras import MODEL_FILE, Writer, build, layer_name, weight_path
from exporter.artifact.options import ArtifactOptions
from exporter.checkpoint.synthetic import VERIFICATION_IMAGES
from exporter.graph import network
from exporter.models.classes import class_names
from exporter.models.config import TASKS, ModelConfig, Task, model
from exporter.models.formats import TRAINING_MOMENTUM
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


def run(made: Any, images: Any, training: bool = False) -> dict[str, Any]:
    """All end points of a model that was built with them."""
    return {name: np.asarray(value) for name, value in made(images, training=training).items()}


@pytest.fixture(scope="module")
def config() -> ModelConfig:
    return ModelConfig.from_dict(TINY)


@pytest.fixture(scope="module")
def without_chance() -> ModelConfig:
    """A network whose training is no matter of chance, with enough filters for oneDNN (see the README)."""
    return ModelConfig.from_dict({**TINY, "num_conv_filters": 12, "drop_path_keep_prob": 1, "dropout_keep_prob": 1})


@settings(max_examples=5, deadline=None)
@given(configs())
def test_any_network_is_the_one_in_numpy(config: ModelConfig) -> None:
    weights, images = made_up_weights(config), made_up_images(config)
    expected = numpy_network.outputs(config, weights, images, np.float64)
    found = run(build(config, "classification", weights, end_points=True), images)
    assert found.keys() == expected.keys()
    for name, value in found.items():
        assert difference(value, expected[name]) < TOLERANCE, name


@pytest.mark.full
@pytest.mark.parametrize("name", ["nasnet_mobile", "pnasnet_mobile"])
def test_published_networks_are_the_original_ones(name: str) -> None:
    config, recorded = model(name), networks.recorded(name)
    images = VERIFICATION_IMAGES.at(config.image_size)
    made = build(config, "classification", recorded_weights(name), end_points=True)
    found = made.predict_on_batch(images)
    for end_point, value in found.items():
        if f"end_point/{end_point}" in recorded:
            assert difference(value, recorded[f"end_point/{end_point}"]) < TOLERANCE, end_point
        expected = recorded[f"statistics/{end_point}"]
        assert np.abs(statistics(value) - expected).max() / expected[2] < TOLERANCE, end_point
    alone = made.predict_on_batch(images[:1])["Logits"]
    assert difference(alone, recorded["end_point/Logits"][:1]) < TOLERANCE


@pytest.mark.parametrize("task", TASKS)
def test_holds_the_values_of_the_checkpoint_and_no_other(task: Task, config: ModelConfig) -> None:
    weights = made_up_weights(config)
    held = {weight.path: np.asarray(weight) for weight in build(config, task, weights).weights}
    for spec in variables(config, task):
        found = held.pop(weight_path(spec.name))
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, weights[spec.name])
    assert not held


def test_batch_is_free_and_images_do_not_touch_each_other(config: ModelConfig) -> None:
    made = build(config, "classification", made_up_weights(config))
    images = VERIFICATION_IMAGES.at(config.image_size)
    alone = [made(images[index : index + 1]) for index in range(3)]
    np.testing.assert_allclose(made(images), np.concatenate(alone), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("task", TASKS)
def test_a_file_is_the_network_and_has_the_same_bytes_again(task: Task, tmp_path: Path, config: ModelConfig) -> None:
    weights, images = made_up_weights(config), made_up_images(config)
    for name in ("once", "again"):
        Writer(config, task, weights).write(0, tmp_path / name, ArtifactOptions(0.9))
    assert [path.name for path in (tmp_path / "once").iterdir()] == [MODEL_FILE]
    assert (tmp_path / "once" / MODEL_FILE).read_bytes() == (tmp_path / "again" / MODEL_FILE).read_bytes()
    loaded = keras.saving.load_model(tmp_path / "once" / MODEL_FILE)
    assert loaded.input_shape == (None, config.image_size, config.image_size, 3)
    assert [tensor.name for tensor in loaded.inputs] == ["inputs"]
    assert loaded.output_names == ["logits" if task == "classification" else "feature_vector"]
    np.testing.assert_array_equal(loaded(images), build(config, task, weights)(images))
    momenta = {layer.momentum for layer in loaded.layers if isinstance(layer, keras.layers.BatchNormalization)}
    assert momenta == {0.9}


def test_a_file_has_stock_layers_alone_and_says_how_it_is_used(tmp_path: Path) -> None:
    config = ModelConfig.from_dict(TINY_IMAGENET)
    Writer(config, "classification", made_up_weights(config)).write(0, tmp_path / "keras", ArtifactOptions(0.99))
    with zipfile.ZipFile(tmp_path / "keras" / MODEL_FILE) as archive:
        assert all(member.date_time[0] == 1980 for member in archive.infolist())
        described = json.loads(archive.read("metadata.json"))
        layers = json.loads(archive.read("config.json"))["config"]["layers"]
    assert {layer["module"] for layer in layers} == {"keras.layers"}
    assert {layer["registered_name"] for layer in layers} == {None}
    assert described["keras_version"] == keras.__version__
    assert described["labels"][0:2] == ["background", class_names()[1].name]
    assert len(described["wnids"]) == 1001
    assert described["preprocessing"]["central_crop"] == 0.875


def test_training_moves_averages_by_the_momentum_and_reaches_every_trainable_variable(
    without_chance: ModelConfig,
) -> None:
    config = without_chance
    task: Task = "classification"
    weights, images = made_up_weights(config), made_up_images(config)
    held = {spec.name: tf.Variable(weights[spec.name]) for spec in variables(config, task)}

    def step(images: Any) -> Any:
        built = network.build(config, task, images, lambda name, _: held[name], training=True, momentum=0.0)
        with tf.control_dependencies(built.updates):
            return tf.identity(built.output)

    expected = tf.function(step, autograph=False)(images)
    made = build(config, task, weights, TRAINING_MOMENTUM)
    with tf.GradientTape() as tape:
        found = made(images, training=True)
        loss = tf.reduce_sum(tf.square(found))
    assert difference(found, expected) < TOLERANCE
    of_path = {weight.path: weight for weight in made.weights}
    for spec in variables(config, task):
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
    assert {weight.path for weight in made.trainable_weights} == {
        weight_path(spec.name) for spec in variables(config, task) if spec.trainable
    }
    for weight, gradient in zip(
        made.trainable_weights, tape.gradient(loss, [weight.value for weight in made.trainable_weights]), strict=True
    ):
        assert gradient is not None and np.isfinite(gradient).all() and np.any(gradient), weight.path


@pytest.mark.parametrize("task", TASKS)
def test_penalty_is_the_original_one_on_all_kernels(task: Task, config: ModelConfig) -> None:
    weights = made_up_weights(config)
    made = build(config, task, weights)
    kernels = [spec.name for spec in variables(config, task) if spec.is_kernel]
    assert len(made.losses) == len(kernels)
    squares = sum(float(np.square(weights[name], dtype=np.float64).sum()) for name in kernels)
    assert difference(float(sum(made.losses)), config.weight_decay * squares / 2) < TOLERANCE


def test_no_weight_decay_is_no_penalty(config: ModelConfig) -> None:
    without = ModelConfig.from_dict({**TINY, "weight_decay": 0})
    assert build(without, "feature_vector", made_up_weights(without)).losses == []


@pytest.mark.parametrize("task", TASKS)
def test_drops_what_the_original_drops_and_where(task: Task, config: ModelConfig) -> None:
    made = build(config, task, made_up_weights(config))
    dropping = {layer.name: layer for layer in made.layers if isinstance(layer, keras.layers.Dropout)}
    expected = decisions(config, task)
    for where, keep in expected.items():
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


def test_no_drop_path_where_it_keeps_all() -> None:
    config = ModelConfig.from_dict(TINY_PNASNET)
    made = build(config, "feature_vector", made_up_weights(config))
    assert not [layer for layer in made.layers if isinstance(layer, keras.layers.Dropout)]


def test_importing_it_brings_no_tensorflow() -> None:
    program = "import sys; import exporter.artifact.keras; print(*sys.modules)"
    command = [sys.executable, "-c", program]
    loaded = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout.split()
    assert not {name.split(".")[0] for name in loaded} & {"tensorflow", "tf_slim", "keras", "torch"}
