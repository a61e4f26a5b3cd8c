"""Variables of the networks, against inventories recorded from the original graphs.

``data/inventory/MODEL.json.gz`` is the record as it was made (``gzip -9n``): all variables in order of creation.
"""

import gzip
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.models.config import ModelConfig, Task, model, models
from exporter.models.variables import KERNELS, all_variables, parameters, variables
from tests.support.command import CHECKOUT
from tests.support.fixtures import TINY, TINY_PNASNET

INVENTORY = CHECKOUT / "tests" / "data" / "inventory"
NAMES = sorted(path.name.removesuffix(".json.gz") for path in INVENTORY.glob("*.json.gz"))
ROLES: dict[Task, set[str]] = {"classification": {"feature", "classifier"}, "feature_vector": {"feature"}}


def inventory(name: str) -> dict[str, Any]:
    return json.loads(gzip.decompress((INVENTORY / f"{name}.json.gz").read_bytes()))


def test_every_model_has_an_inventory() -> None:
    assert sorted(models()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_all_variables_equal_the_inventory(name: str) -> None:
    recorded = [
        (entry["name"], tuple(entry["shape"]), entry["role"], entry["trainable"])
        for entry in inventory(name)["variables"]
    ]
    assert len(recorded) == inventory(name)["summary"]["with_auxiliary_head"]["variables"]
    assert [(spec.name, spec.shape, spec.role, spec.trainable) for spec in all_variables(model(name))] == recorded


@pytest.mark.parametrize("task", ROLES)
@pytest.mark.parametrize("name", NAMES)
def test_variables_of_a_task_equal_the_inventory(name: str, task: Task) -> None:
    recorded = inventory(name)
    specs = variables(model(name), task)
    assert [spec.name for spec in specs] == [
        entry["name"] for entry in recorded["variables"] if entry["role"] in ROLES[task]
    ]
    assert {
        "variables": len(specs),
        "parameters": parameters(model(name), task),
        "trainable_parameters": sum(spec.size for spec in specs if spec.trainable),
    } == recorded["summary"][task]


@pytest.mark.parametrize("name", NAMES)
def test_kernels_are_all_that_has_more_than_one_axis(name: str) -> None:
    specs = all_variables(model(name))
    assert {spec.name for spec in specs if spec.is_kernel} == {spec.name for spec in specs if len(spec.shape) > 1}


@given(
    base=st.sampled_from([TINY, TINY_PNASNET]),
    image_size=st.integers(32, 331),
    filters=st.integers(1, 60).map(lambda quarter: 4 * quarter),
    cells=st.integers(1, 8),
    reductions=st.sets(st.integers(1, 7), max_size=3).map(sorted),
    skip=st.booleans(),
)
def test_any_network_has_sound_variables(
    base: dict[str, Any], image_size: int, filters: int, cells: int, reductions: list[int], skip: bool
) -> None:
    config = ModelConfig.from_dict(
        {
            **base,
            "image_size": image_size,
            "num_conv_filters": filters,
            "num_cells": cells,
            "reductions": [index for index in reductions if index < cells],
            "skip_reduction_layer_input": skip,
        }
    )
    specs = all_variables(config)
    names = [spec.name for spec in specs]
    assert len(set(names)) == len(names)
    assert all(size > 0 for spec in specs for size in spec.shape)
    by_name = {spec.name: spec for spec in specs}
    for spec in specs:
        scope, leaf = spec.name.rsplit("/", 1)
        if leaf == "gamma":
            # The four of a batch norm come together, each as wide as the others.
            start = names.index(spec.name)
            assert names[start : start + 4] == [
                f"{scope}/{leaf}" for leaf in ("gamma", "beta", "moving_mean", "moving_variance")
            ]
            assert len({other.shape for other in specs[start : start + 4]}) == 1
        if leaf == "depthwise_weights":
            assert by_name[f"{scope}/pointwise_weights"].shape[2] == spec.shape[2]
        assert spec.is_kernel == (leaf in KERNELS)
    largest = {spec.name for spec in variables(config, "classification")}
    assert {spec.name for spec in variables(config, "feature_vector")} < largest <= set(names)
    auxiliary = {spec.name for spec in specs if spec.role == "auxiliary_head"}
    assert bool(auxiliary) == (len(config.reductions) > 1)
    assert not auxiliary & largest
