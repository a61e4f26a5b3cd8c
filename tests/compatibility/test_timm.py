"""Weights for timm in the hands of timm: its own networks, loaded as its users load them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exporter.artifact.options import ArtifactOptions
from exporter.artifact.timm import Writer
from exporter.checkpoint.synthetic import VERIFICATION_IMAGES
from exporter.models.config import ModelConfig, Task, model
from exporter.reference import numpy_network
from exporter.reference.result import statistics
from tests.artifact.test_timm import TINY_LARGE
from tests.reference.test_numpy_network import made_up_weights, recorded_weights
from tests.support import networks, reading
from tests.support.command import CHECKOUT
from tests.support.networks import TOLERANCE, difference
from tests.support.shared import Store

pytestmark = pytest.mark.readers

POOLS = CHECKOUT / "exporter" / "data" / "timm_pools.py"
#: What timm has other average pools in.
HALVING = ("cell_stem_0", "cell_stem_1", "reduction_cell_0", "reduction_cell_1")


#: Small networks, all of which are read in one process. Pools see odd and even sizes.
SMALL: dict[str, tuple[ModelConfig, Task]] = {
    "66": (ModelConfig.from_dict({**TINY_LARGE, "image_size": 66}), "classification"),
    "75": (ModelConfig.from_dict({**TINY_LARGE, "image_size": 75}), "classification"),
    "features": (ModelConfig.from_dict({**TINY_LARGE, "image_size": 66}), "feature_vector"),
    "preprocessing": (ModelConfig.from_dict(TINY_LARGE), "classification"),
}


def _write_and_read(cases: Mapping[Path, tuple[ModelConfig, Task, Any]]) -> None:
    """Writes the weights that are given into the folders, and has timm read them there."""
    artifacts = []
    for folder, (config, task, weights) in cases.items():
        folder.mkdir(exist_ok=True)
        Writer(config, task, weights).write("timm", folder / "timm", ArtifactOptions(None))
        artifacts.append((folder / "timm", VERIFICATION_IMAGES.at(config.image_size), folder))
    reading.read_side_by_side("torch", "timm_network", artifacts, None, POOLS)


@pytest.fixture(scope="module")
def small(kept: Store) -> Path:
    """A folder with those of `SMALL`."""

    def make(folder: Path) -> None:
        _write_and_read({folder / name: (*case, made_up_weights(case[0])) for name, case in SMALL.items()})

    sources = (*Path(reading.__file__).parent.glob("**/*.py"), CHECKOUT / "tests" / "artifact" / "test_timm.py")
    return kept.made("timm_networks", make, __file__, *sources)


@pytest.mark.parametrize("image_size", [66, 75])
def test_any_size_is_the_network_in_numpy_with_the_pools_corrected(image_size: int, small: Path) -> None:
    """The NASNet of timm can be told to have few filters; its pools see odd and even sizes here."""
    (config, _), found = SMALL[str(image_size)], reading.found(small / str(image_size))
    weights = made_up_weights(config)
    expected = numpy_network.outputs(config, weights, VERIFICATION_IMAGES.at(image_size), np.float64)
    assert found.facts["corrected"] == [f"{cell}.comb_iter_2_left" for cell in HALVING]
    assert difference(found.arrays["corrected"], expected["Logits"][:, 1:]) < TOLERANCE
    assert difference(found.arrays["single"], expected["Logits"][:1, 1:]) < TOLERANCE
    assert difference(found.arrays["all_rows"], expected["Logits"]) < TOLERANCE
    assert difference(found.arrays["features"], expected["global_pool"]) < TOLERANCE
    assert difference(found.arrays["shipped"], expected["Logits"][:, 1:]) > 100 * TOLERANCE
    shown = {name for name in expected if "Cell" in name or name == "Stem"}
    for name in shown:
        assert difference(found.arrays[f"end_point/{name}"], expected[name]) < TOLERANCE, name


def test_features_alone(small: Path) -> None:
    (config, _), found = SMALL["features"], reading.found(small / "features")
    weights = made_up_weights(config)
    expected = numpy_network.outputs(config, weights, VERIFICATION_IMAGES.at(66), np.float64)
    assert found.facts["classes"] == 0
    assert difference(found.arrays["corrected"], expected["global_pool"]) < TOLERANCE


def test_preprocessing_is_that_of_the_original(small: Path) -> None:
    data = reading.found(small / "preprocessing").facts["data"]
    assert data["interpolation"] == "bilinear"
    assert (data["crop_pct"], data["input_size"]) == ("0.875", "[3, 64, 64]")


@pytest.mark.full
@pytest.mark.parametrize(
    ("name", "off"),
    [("nasnet_large", (0.09, 0.095)), ("pnasnet_large", (0.0, TOLERANCE))],
    ids=lambda value: str(value),
)
def test_published_networks_are_the_original_ones(name: str, off: tuple[float, float], tmp_path: Path) -> None:
    """``off`` bounds how far timm's own network is from the record; with the corrected pools, it is as near as all."""
    recorded = networks.recorded(name)
    _write_and_read({tmp_path: (model(name), "classification", recorded_weights(name))})
    found = reading.found(tmp_path)
    logits, features = recorded["end_point/Logits"], recorded["end_point/global_pool"]
    assert off[0] <= difference(found.arrays["shipped"], logits[:, 1:]) < off[1]
    assert difference(found.arrays["corrected"], logits[:, 1:]) < TOLERANCE
    assert difference(found.arrays["single"], logits[:1, 1:]) < TOLERANCE
    assert difference(found.arrays["all_rows"], logits) < TOLERANCE
    assert difference(found.arrays["features"], features) < TOLERANCE
    for key, value in found.arrays.items():
        if key.startswith("end_point/"):
            expected = recorded[f"statistics/{key.removeprefix('end_point/')}"]
            assert np.abs(statistics(value) - expected).max() / expected[2] < TOLERANCE, key
