"""Weights for timm, without timm: names, values, what is said of them. `tests.compatibility.test_timm` loads them."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from exporter.artifact.options import ArtifactOptions
from exporter.artifact.timm import Writer, describe, state_dict
from exporter.artifact.timm_names import network_for, parameter_name
from exporter.errors import ConfigError
from exporter.models.config import TASKS, ModelConfig, Task, model
from exporter.models.formats import TIMM_FILES
from exporter.models.variables import features, variables
from tests.reference.test_numpy_network import made_up_weights
from tests.support.command import CHECKOUT, Command, refusal, succeeded
from tests.support.fixtures import TINY, TINY_IMAGENET, TINY_PNASNET

#: As many cells as timm's networks have, each of a few filters.
TINY_LARGE = {**TINY_IMAGENET, "name": "tiny_large", "num_cells": 18, "reductions": [6, 12]}
TINY_LARGE_PNASNET = {**TINY_PNASNET, "num_cells": 12, "reductions": [4, 8]}

#: Of both networks, one of each kind of variable.
NAMES = {
    "nasnet": {
        "conv0/weights": "conv0.conv.weight",
        "conv0_bn/moving_variance": "conv0.bn.running_var",
        "cell_stem_1/path1_conv/weights": "cell_stem_1.path_1.conv.weight",
        "cell_stem_1/final_path_bn/gamma": "cell_stem_1.final_path_bn.weight",
        "reduction_cell_1/prev_1x1/weights": "reduction_cell_1.conv_prev_1x1.conv.weight",
        "reduction_cell_1/prev_bn/beta": "reduction_cell_1.conv_prev_1x1.bn.bias",
        "cell_17/1x1/weights": "cell_17.conv_1x1.conv.weight",
        "cell_17/beginning_bn/moving_mean": "cell_17.conv_1x1.bn.running_mean",
        "cell_10/comb_iter_0/left/separable_5x5_1/depthwise_weights": (
            "cell_10.comb_iter_0_left.separable_1.depthwise_conv2d.weight"
        ),
        "cell_10/comb_iter_4/left/separable_3x3_2/pointwise_weights": (
            "cell_10.comb_iter_4_left.separable_2.pointwise_conv2d.weight"
        ),
        "cell_10/comb_iter_0/right/bn_sep_3x3_2/gamma": "cell_10.comb_iter_0_right.bn_sep_2.weight",
        "final_layer/FC/biases": "last_linear.bias",
    },
    "pnasnet": {
        "conv0/weights": "conv_0.conv.weight",
        "conv0_bn/beta": "conv_0.bn.bias",
        "cell_5/path2_conv/weights": "cell_5.conv_prev_1x1.path_2.conv.weight",
        "cell_5/final_path_bn/moving_mean": "cell_5.conv_prev_1x1.final_path_bn.running_mean",
        "cell_stem_0/comb_iter_0/right/1x1/weights": "cell_stem_0.comb_iter_0_right.conv.weight",
        "cell_4/comb_iter_4/right/bn_1/gamma": "cell_4.comb_iter_4_right.bn.weight",
        "final_layer/FC/weights": "last_linear.weight",
    },
}


@pytest.mark.parametrize("name", ["nasnet_large", "pnasnet_large"])
def test_every_variable_has_a_name_of_its_own_in_timm(name: str) -> None:
    config = model(name)
    names = {spec.name: parameter_name(spec.name, network_for(config)) for spec in variables(config, "classification")}
    assert len(set(names.values())) == len(names)
    assert NAMES[config.family].items() <= names.items()


@pytest.mark.parametrize("task", TASKS)
def test_holds_the_values_of_the_checkpoint_and_no_other(task: Task, tmp_path: Path) -> None:
    """Each is found again by its name in the networks' table, bit for bit; what is left counts batches."""
    config = ModelConfig.from_dict(TINY_LARGE)
    weights = made_up_weights(config)
    Writer(config, task, weights).write("timm", tmp_path / "timm", ArtifactOptions(None))
    held = load_file(tmp_path / "timm" / TIMM_FILES[0])
    back: dict[int, tuple[int, ...]] = {1: (0,), 2: (1, 0)}
    for spec in variables(config, task):
        found = held.pop(parameter_name(spec.name, network_for(config)))
        axes = back.get(found.ndim, (2, 3, 0, 1) if "depthwise" in spec.name else (2, 3, 1, 0))
        np.testing.assert_array_equal(found.transpose(axes), weights[spec.name])
    batch_norms = sum(spec.name.endswith("/gamma") for spec in variables(config, task))
    assert len(held) == batch_norms
    assert all(name.endswith(".num_batches_tracked") for name in held)
    assert all((value.dtype, value.shape, value.item()) == (np.int64, (), 0) for value in held.values())


def test_same_values_give_the_same_bytes(tmp_path: Path) -> None:
    config = ModelConfig.from_dict(TINY_LARGE)
    weights = made_up_weights(config)
    for folder, values in (("one", weights), ("two", dict(reversed(weights.items())))):
        Writer(config, "classification", values).write("timm", tmp_path / folder, ArtifactOptions(None))
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == sorted(TIMM_FILES)
    for name in TIMM_FILES:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name
    header = (tmp_path / "one" / TIMM_FILES[0]).read_bytes()
    described = json.loads(header[8 : 8 + int.from_bytes(header[:8], "little")])
    assert described["__metadata__"] == {"format": "pt"}


@pytest.mark.parametrize(
    ("name", "architecture", "features"),
    [("nasnet_large", "nasnetalarge", 4032), ("pnasnet_large", "pnasnet5large", 4320)],
)
def test_says_how_it_is_used(name: str, architecture: str, features: int) -> None:
    found = describe(model(name), "classification")
    pretrained = found.pop("pretrained_cfg")
    labels, descriptions = found.pop("label_names"), found.pop("label_descriptions")
    assert found == {
        "architecture": architecture,
        "num_classes": 1000,
        "num_features": features,
        "global_pool": "avg",
    }
    assert (len(labels), labels[0], descriptions[labels[0]]) == (1000, "n01440764", "tench")
    assert list(descriptions) == labels
    assert pretrained == {
        "input_size": [3, 331, 331],
        "fixed_input_size": False,
        "interpolation": "bilinear",
        "crop_pct": 0.875,
        "crop_mode": "center",
        "mean": [0.5] * 3,
        "std": [0.5] * 3,
        "num_classes": 1000,
        "label_offset": 1,
        "pool_size": [11, 11],
        "first_conv": "conv0.conv" if name == "nasnet_large" else "conv_0.conv",
        "classifier": "last_linear",
    }
    of_features = describe(model(name), "feature_vector")
    assert "label_names" not in of_features
    assert of_features["num_classes"] == of_features["pretrained_cfg"]["num_classes"] == 0


def test_of_other_classes_none_is_left_out() -> None:
    found = describe(ModelConfig.from_dict({**TINY_LARGE, "num_classes": 5}), "classification")
    assert found["num_classes"] == found["pretrained_cfg"]["num_classes"] == 5
    assert not {"label_offset", "label_names"} & {*found, *found["pretrained_cfg"]}
    assert found["model_args"] == {"stem_size": 8, "num_features": 192}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (TINY, "nasnetalarge has num_cells 18, and tiny_nasnet has 1"),
        ({**TINY_LARGE, "reductions": [6, 13]}, r"has reductions \(6, 12\), and tiny_large has \(6, 13\)"),
        ({**TINY_LARGE, "skip_reduction_layer_input": False}, "has skip_reduction_layer_input True"),
        ({**TINY_LARGE, "num_conv_filters": 6}, "needs num_conv_filters that 4 divides, and tiny_large has 6"),
        (TINY_LARGE_PNASNET, "pnasnet5large has num_conv_filters 216, and tiny_pnasnet has 8"),
    ],
)
def test_refuses_what_timm_has_no_network_for(fields: dict[str, Any], said: str) -> None:
    config = ModelConfig.from_dict(fields)
    with pytest.raises(ConfigError, match=f"timm has no network for {config.name}: its .*{said}"):
        Writer(config, "classification", {})


def test_refuses_values_that_lack_one() -> None:
    config = ModelConfig.from_dict(TINY_LARGE)
    weights = made_up_weights(config)
    del weights["cell_9/prev_bn/beta"]
    with pytest.raises(KeyError, match="cell_9/prev_bn/beta"):
        state_dict(config, "classification", weights)


@pytest.mark.parametrize("task", TASKS)
def test_a_lone_file_is_described_by_what_its_weights_are(own_cli: Command, task: Task) -> None:
    config = ModelConfig.from_dict(TINY_LARGE)
    folder, lone = own_cli.cwd / "timm", own_cli.cwd / "theirs.safetensors"
    Writer(config, task, made_up_weights(config)).write("timm", folder, ArtifactOptions(None))
    shutil.copy(folder / TIMM_FILES[0], lone)
    whole, alone = (json.loads(succeeded(own_cli("inspect", path, "--json")).stdout) for path in (folder, lone))
    assert alone["variables"] == whole["variables"] and alone["readers"] == whole["readers"]
    output = f"[?, {alone['signatures']['']['forward']['outputs']['']['shape'][1]}]"
    assert output == {"classification": "[?, 1000]", "feature_vector": f"[?, {features(config)}]"}[task]


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ({"conv1.weight": 1}, "has the weights of another network: expected those of timm's nasnetalarge or pnasnet5l"),
        ({"conv0.conv.weight": 1}, "lacks cell_17.conv_1x1.conv.weight: expected the weights of timm's nasnetalarge"),
    ],
)
def test_weights_of_another_network_are_told_from_these(own_cli: Command, weights: dict[str, int], said: str) -> None:
    lone = own_cli.cwd / "theirs.safetensors"
    save_file({name: np.zeros(size, np.float32) for name, size in weights.items()}, lone)
    assert f"theirs.safetensors {said}" in refusal(own_cli("inspect", lone))


def test_importing_it_brings_neither_torch_nor_tensorflow() -> None:
    program = "import sys; import exporter.artifact.timm; print(*sys.modules)"
    command = [sys.executable, "-c", program]
    loaded = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout.split()
    assert not {name.split(".")[0] for name in loaded} & {"tensorflow", "tf_slim", "keras", "torch", "timm"}
