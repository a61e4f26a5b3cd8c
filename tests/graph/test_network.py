"""The TF-Slim graphs against what was recorded of the original networks, in full size."""

import json
from typing import Any

import numpy as np
import pytest

from exporter.checkpoint.synthetic_checkpoint import weights
from exporter.models.config import TASKS, ModelConfig, Task, model
from exporter.models.variables import variables
from tests.support import networks
from tests.support.command import CHECKOUT
from tests.support.networks import TOLERANCE, Arrays, difference

END_POINTS = json.loads((CHECKOUT / "tests" / "data" / "end_points.json").read_text(encoding="utf-8"))
#: What the record calls an end point's mean, standard deviation and largest magnitude.
STATISTICS = "statistics/"


@pytest.fixture(scope="module", params=[pytest.param(name, marks=pytest.mark.full) for name in networks.MODELS])
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def found(name: str) -> Arrays:
    return networks.inference(name)


@pytest.fixture(scope="module")
def expected(name: str) -> Arrays:
    return networks.recorded(name)


@pytest.fixture(scope="module")
def facts(found: Arrays) -> dict[str, Any]:
    return json.loads(str(found["facts"]))


@pytest.mark.parametrize("task", TASKS)
def test_graph_asks_for_the_variables_of_the_layout_in_their_order(
    name: str, facts: dict[str, Any], task: Task
) -> None:
    asked = [(variable, tuple(shape)) for variable, shape in facts[task]["asked"]]
    assert asked == [(spec.name, spec.shape) for spec in variables(model(name), task)]


@pytest.mark.parametrize("task", TASKS)
def test_end_points_have_the_recorded_names_order_and_static_shapes(
    name: str, facts: dict[str, Any], task: Task
) -> None:
    wanted = dict(END_POINTS[name])
    if task == "feature_vector":
        del wanted["Logits"], wanted["Predictions"]
    assert list(facts[task]["end_points"].items()) == list(wanted.items())


def test_logits_equal_the_recorded_ones(found: Arrays, expected: Arrays) -> None:
    assert difference(found["end_point/Logits"], expected["end_point/Logits"]) <= TOLERANCE


def test_features_equal_the_recorded_ones(found: Arrays, expected: Arrays) -> None:
    assert difference(found["end_point/global_pool"], expected["end_point/global_pool"]) <= TOLERANCE


def test_every_end_point_has_the_recorded_statistics(name: str, found: Arrays, expected: Arrays) -> None:
    assert {key.removeprefix(STATISTICS) for key in expected if key.startswith(STATISTICS)} == set(END_POINTS[name])
    differences = {
        end_point: difference(
            networks.statistics(found[f"end_point/{end_point}"]), expected[f"{STATISTICS}{end_point}"]
        )
        for end_point in END_POINTS[name]  # in order, so that the first in the message is where it begins
    }
    assert {end_point: value for end_point, value in differences.items() if not value <= TOLERANCE} == {}


@pytest.mark.parametrize("task", TASKS)
def test_inference_neither_updates_nor_draws_random_numbers(facts: dict[str, Any], task: Task) -> None:
    assert facts[task]["updates"] == 0
    changing = [
        operation
        for operation in facts[task]["operations"]
        # Variables are assigned their initial values, nothing else.
        if operation.startswith(("Assign", "Random", "Stateless"))
    ]
    assert changing == ["AssignVariableOp"]


@pytest.fixture(scope="module")
def trained() -> Arrays:
    return networks.training("nasnet_mobile")


@pytest.fixture(scope="module")
def expected_of_training() -> Arrays:
    record = networks.recorded("train_nasnet_mobile")
    assert record["decay"] == networks.TRAINING_DECAY
    return record


@pytest.mark.full
def test_features_in_training_mode_equal_the_recorded_ones(trained: Arrays, expected_of_training: Arrays) -> None:
    assert difference(trained["features"], expected_of_training["features"]) <= TOLERANCE


@pytest.mark.full
def test_moving_statistics_after_one_update_equal_the_recorded_ones(
    trained: Arrays, expected_of_training: Arrays
) -> None:
    recorded = {key.replace("|", "/"): value for key, value in expected_of_training.items() if key.startswith("mv|")}
    assert len(recorded) > 40
    differences = {key: difference(trained[key], value) for key, value in recorded.items()}
    assert {key: value for key, value in differences.items() if not value <= TOLERANCE} == {}


def test_penalty_on_kernels_equals_the_recorded_regularization_loss(expected_of_training: Arrays) -> None:
    config = model("nasnet_mobile")
    kernels = {spec.name for spec in variables(config, "feature_vector") if spec.is_kernel}
    squares = sum(
        float(np.square(value, dtype=np.float64).sum())
        for spec, value in weights(config, 0).items()
        if spec.name in kernels
    )
    assert difference(config.weight_decay * squares / 2, expected_of_training["reg"]) <= TOLERANCE


def _with_cells(count: int) -> ModelConfig:
    fields = model("nasnet_mobile").to_dict()
    return ModelConfig.from_dict(
        {**fields, "image_size": 64, "num_conv_filters": 8, "num_cells": count, "reductions": [1, 2]}
    )


@pytest.mark.long
@pytest.mark.parametrize("training", [False, True])
def test_building_takes_work_in_proportion_to_the_number_of_cells(
    monkeypatch: pytest.MonkeyPatch, training: bool
) -> None:
    """Counts work, not time: operations, and hashes of variables, of which legacy layers by themselves take
    one of each existing variable for each new one.
    """
    import tensorflow as tf

    hashes = 0
    plain_hash = tf.Variable.__hash__

    def counting(variable: Any) -> int:
        nonlocal hashes
        hashes += 1
        return plain_hash(variable)

    monkeypatch.setattr(tf.Variable, "__hash__", counting)
    operations, hashed, asked = [], [], []
    for count in (3, 4, 5):
        hashes = 0
        graph, _, _, held, _ = networks.graph_of(_with_cells(count), "classification", training=training)
        assert graph.get_collection(tf.compat.v1.GraphKeys.GLOBAL_VARIABLES) == []
        hashed.append(hashes)
        operations.append(len(graph.get_operations()))
        asked.append(len(held))
    assert asked[2] - asked[1] == asked[1] - asked[0] > 0
    assert operations[2] - operations[1] == operations[1] - operations[0] > 0
    assert hashed[2] - hashed[1] == hashed[1] - hashed[0]
    assert hashed[2] < 10 * asked[2]


def test_no_step_counter_and_no_auxiliary_head() -> None:
    for training in (False, True):
        graph, _, built, held, _ = networks.graph_of(_with_cells(3), "classification", training=training)
        names = [*held, *built.end_points, *(operation.name for operation in graph.get_operations())]
        assert [name for name in names if "global_step" in name or name.lower().startswith("aux")] == []
        assert "final_layer/FC/weights" in names
