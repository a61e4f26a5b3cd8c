"""PyTorch programs, written by nasexport where there is PyTorch, in the hands of PyTorch alone."""

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
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
from tests.support.shared import Store

pytestmark = pytest.mark.readers

FILE = "model.pt2"


@dataclass(frozen=True)
class Case:
    """A network, and the names of the folders that its program is written to; the first of them is read."""

    config: ModelConfig
    task: Task = "classification"
    outputs: tuple[str, ...] = ("pytorch",)


#: Small networks: all are written in one process, and read in one.
SMALL = {
    "even": Case(ModelConfig.from_dict({**REDUCING, "image_size": 64})),
    "odd": Case(ModelConfig.from_dict({**REDUCING, "image_size": 75})),
    "pnasnet": Case(ModelConfig.from_dict({**REDUCING_PNASNET, "image_size": 66})),
    "imagenet": Case(ModelConfig.from_dict(TINY_IMAGENET), outputs=("one", "two")),
    "features": Case(ModelConfig.from_dict(REDUCING), "feature_vector"),
}


def _write_and_read(cases: Mapping[Path, tuple[Case, Any]]) -> None:
    """Writes programs with the weights that are given into the folders, and reads them there."""
    for folder, (case, weights) in cases.items():
        folder.mkdir(exist_ok=True)
        (folder / "config.json").write_text(json.dumps(case.config.to_dict()), encoding="utf-8")
        (folder / "wanted.json").write_text(json.dumps([case.task, case.outputs]), encoding="utf-8")
        np.savez(folder / "values.npz", **weights)
    process = reading.run(environments.libraries(), "pytorch_writer", *cases, variables={"PYTHONPATH": str(CHECKOUT)})
    assert process.returncode == 0, process.stderr[-4000:]
    images = {folder: VERIFICATION_IMAGES.at(case.config.image_size) for folder, (case, _) in cases.items()}
    artifacts = [(folder / case.outputs[0], images[folder], folder) for folder, (case, _) in cases.items()]
    reading.read_side_by_side("torch", "pytorch_program", artifacts)


@pytest.fixture(scope="module")
def small(kept: Store) -> Path:
    """A folder with those of `SMALL`."""

    def make(folder: Path) -> None:
        _write_and_read({folder / name: (case, made_up_weights(case.config)) for name, case in SMALL.items()})

    return kept.made("pytorch_programs", make, __file__, *Path(reading.__file__).parent.glob("**/*.py"))


@pytest.mark.parametrize("name", ["even", "odd", "pnasnet"])
def test_any_network_is_the_one_in_numpy(small: Path, name: str) -> None:
    config, found = SMALL[name].config, reading.found(small / name)
    weights, images = made_up_weights(config), VERIFICATION_IMAGES.at(config.image_size)
    expected = numpy_network.outputs(config, weights, images, np.float64)
    assert difference(found.arrays["output"], expected["Logits"]) < TOLERANCE
    assert difference(found.arrays["single"], expected["Logits"][:1]) < TOLERANCE
    shown = [name for name in expected if name != "Predictions"]
    assert list(found.facts["usage"]["end_points"]) == shown
    for name in shown:
        assert difference(found.arrays[f"end_point/{name}"], expected[name]) < TOLERANCE, name


def test_holds_the_values_of_the_checkpoint_and_is_the_same_each_time(small: Path) -> None:
    config, folder = SMALL["imagenet"].config, small / "imagenet"
    weights, found = made_up_weights(config), reading.found(folder)
    contents = [(folder / name / FILE).read_bytes() for name in ("one", "two")]
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
    with zipfile.ZipFile(folder / "one" / FILE) as file:
        for name in file.namelist():
            assert str(CHECKOUT).encode() not in file.read(name), name


def test_features_alone(small: Path) -> None:
    config, found = SMALL["features"].config, reading.found(small / "features")
    weights = made_up_weights(config)
    expected = numpy_network.outputs(config, weights, VERIFICATION_IMAGES.at(config.image_size), np.float64)
    assert difference(found.arrays["output"], expected["global_pool"]) < TOLERANCE
    assert not [name for name in found.facts["parameters"] if name.startswith("final_layer")]


@pytest.mark.full
@pytest.mark.parametrize("name", MODELS)
def test_published_networks_are_the_original_ones(name: str, tmp_path: Path) -> None:
    recorded = networks.recorded(name)
    _write_and_read({tmp_path: (Case(model(name)), recorded_weights(name))})
    found = reading.found(tmp_path)
    logits = recorded["end_point/Logits"]
    assert difference(found.arrays["output"], logits) < TOLERANCE
    assert difference(found.arrays["single"], logits[:1]) < TOLERANCE
    assert difference(found.arrays["end_point/global_pool"], recorded["end_point/global_pool"]) < TOLERANCE
    for key, value in found.arrays.items():
        if key.startswith("end_point/"):
            expected = recorded[f"statistics/{key.removeprefix('end_point/')}"]
            assert np.abs(statistics(value) - expected).max() / expected[2] < TOLERANCE, key
