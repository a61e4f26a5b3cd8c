"""PyTorch programs, written by nasexport where there is PyTorch, in the hands of PyTorch alone."""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exporter.artifact.torch_axes import axes
from exporter.checkpoint.synthetic import VERIFICATION_IMAGES
from exporter.models.config import ModelConfig, Task, model
from exporter.models.variables import variables
from exporter.reference import numpy_network
from exporter.reference.result import statistics
from tests.reference.test_numpy_network import made_up_weights, recorded_weights
from tests.support import environments, networks, reading
from tests.support.command import CHECKOUT
from tests.support.fixtures import REDUCING, REDUCING_PNASNET, TINY_IMAGENET
from tests.support.networks import MODELS, TOLERANCE, difference
from tests.support.reading import Reading

pytestmark = pytest.mark.readers

FILE = "model.pt2"


def _write(config: ModelConfig, weights: Any, folder: Path, task: Task, outputs: tuple[str, ...]) -> None:
    (folder / "config.json").write_text(json.dumps(config.to_dict()), encoding="utf-8")
    np.savez(folder / "values.npz", **weights)
    places = [folder / name for name in outputs]
    variables = {"PYTHONPATH": str(CHECKOUT)}
    process = reading.run(environments.torch(), "pytorch_writer", folder, task, *places, variables=variables)
    assert process.returncode == 0, process.stderr[-4000:]


def _read(
    config: ModelConfig,
    weights: Any,
    folder: Path,
    task: Task = "classification",
    outputs: tuple[str, ...] = ("pytorch",),
) -> Reading:
    _write(config, weights, folder, task, outputs)
    images = VERIFICATION_IMAGES.at(config.image_size)
    return reading.read("torch", "pytorch_program", folder / outputs[0], images, folder)


@pytest.mark.parametrize(
    ("fields", "image_size"), [(REDUCING, 64), (REDUCING, 75), (REDUCING_PNASNET, 66)], ids=["even", "odd", "pnasnet"]
)
def test_any_network_is_the_one_in_numpy(fields: Any, image_size: int, tmp_path: Path) -> None:
    config = ModelConfig.from_dict({**fields, "image_size": image_size})
    weights = made_up_weights(config)
    expected = numpy_network.outputs(config, weights, VERIFICATION_IMAGES.at(image_size), np.float64)
    found = _read(config, weights, tmp_path)
    assert difference(found.arrays["output"], expected["Logits"]) < TOLERANCE
    assert difference(found.arrays["single"], expected["Logits"][:1]) < TOLERANCE
    shown = [name for name in expected if name != "Predictions"]
    assert list(found.facts["usage"]["end_points"]) == shown
    for name in shown:
        assert difference(found.arrays[f"end_point/{name}"], expected[name]) < TOLERANCE, name


def test_holds_the_values_of_the_checkpoint_and_is_the_same_each_time(tmp_path: Path) -> None:
    config = ModelConfig.from_dict(TINY_IMAGENET)
    weights = made_up_weights(config)
    found = _read(config, weights, tmp_path, outputs=("one", "two"))
    contents = [(tmp_path / name / FILE).read_bytes() for name in ("one", "two")]
    assert contents[0] == contents[1]
    specs = variables(config, "classification")
    state = {key.removeprefix("state/"): value for key, value in found.arrays.items() if key.startswith("state/")}
    assert state.keys() == {spec.name.replace("/", ".") for spec in specs}
    for spec in specs:
        order, value = axes(spec.name), state[spec.name.replace("/", ".")]
        expected = weights[spec.name].transpose(order) if order else weights[spec.name]
        np.testing.assert_array_equal(value, expected)
    trainable = sorted(spec.name.replace("/", ".") for spec in specs if spec.trainable)
    assert found.facts["parameters"] == trainable
    assert found.facts["buffers"] == sorted(state.keys() - set(trainable))
    assert found.facts["without_gradient"] == found.facts["not_finite"] == []
    # One program is in the file, and says so where another is asked for.
    assert not found.facts["trains"]
    usage = found.facts["usage"]
    assert (usage["labels"][0], usage["preprocessing"]["central_crop"]) == ("background", 0.875)
    with zipfile.ZipFile(tmp_path / "one" / FILE) as file:
        for name in file.namelist():
            assert str(CHECKOUT).encode() not in file.read(name), name


def test_features_alone(tmp_path: Path) -> None:
    config = ModelConfig.from_dict(REDUCING)
    weights = made_up_weights(config)
    found = _read(config, weights, tmp_path, "feature_vector")
    expected = numpy_network.outputs(config, weights, VERIFICATION_IMAGES.at(config.image_size), np.float64)
    assert difference(found.arrays["output"], expected["global_pool"]) < TOLERANCE
    assert not [name for name in found.facts["parameters"] if name.startswith("final_layer")]


@pytest.mark.full
@pytest.mark.parametrize("name", MODELS)
def test_published_networks_are_the_original_ones(name: str, tmp_path: Path) -> None:
    recorded = networks.recorded(name)
    found = _read(model(name), recorded_weights(name), tmp_path)
    logits = recorded["end_point/Logits"]
    assert difference(found.arrays["output"], logits) < TOLERANCE
    assert difference(found.arrays["single"], logits[:1]) < TOLERANCE
    assert difference(found.arrays["end_point/global_pool"], recorded["end_point/global_pool"]) < TOLERANCE
    for key, value in found.arrays.items():
        if key.startswith("end_point/"):
            expected = recorded[f"statistics/{key.removeprefix('end_point/')}"]
            assert np.abs(statistics(value) - expected).max() / expected[2] < TOLERANCE, key
