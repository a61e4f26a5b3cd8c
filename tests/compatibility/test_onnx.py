"""ONNX models in the hands of others: the oldest ONNX Runtime that is promised, and OpenVINO."""

from pathlib import Path
from typing import Any

import pytest

from exporter.artifact.onnx import Writer
from exporter.artifact.options import ArtifactOptions
from exporter.checkpoint.synthetic import VERIFICATION_IMAGES
from exporter.models.config import ModelConfig, model
from exporter.reference import numpy_network
from tests.reference.test_numpy_network import made_up_weights, recorded_weights
from tests.support import networks, reading
from tests.support.fixtures import TINY, TINY_PNASNET
from tests.support.networks import TOLERANCE, difference
from tests.support.reading import Reading

pytestmark = pytest.mark.readers

LIBRARIES = ("onnxruntime", "openvino")


def _read(config: ModelConfig, weights: Any, folder: Path, library: str) -> Reading:
    Writer(config, "classification", weights).write("onnx", folder / "onnx", ArtifactOptions(None))
    images = VERIFICATION_IMAGES.at(config.image_size)
    return reading.read(library, "onnx_model", folder / "onnx", images, folder, None, library)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("fields", [TINY, TINY_PNASNET], ids=lambda fields: fields["family"])
def test_small_networks_are_those_in_numpy(fields: dict[str, Any], library: str, tmp_path: Path) -> None:
    config = ModelConfig.from_dict(fields)
    weights = made_up_weights(config)
    expected = numpy_network.outputs(config, weights, VERIFICATION_IMAGES.at(config.image_size))["Logits"]
    found = _read(config, weights, tmp_path, library)
    assert difference(found.arrays["output"], expected) < TOLERANCE
    assert difference(found.arrays["single"], expected[:1]) < TOLERANCE
    if library == "onnxruntime":
        assert (found.facts["version"], found.facts["python"]) == ("1.14.1", "3.7")
        assert found.facts["properties"] == ["end_points", "model", "preprocessing", "task"]


@pytest.mark.full
@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("name", ["nasnet_mobile", "pnasnet_mobile"])
def test_published_networks_are_the_original_ones(name: str, library: str, tmp_path: Path) -> None:
    found = _read(model(name), recorded_weights(name), tmp_path, library)
    logits = networks.recorded(name)["end_point/Logits"]
    assert difference(found.arrays["output"], logits) < TOLERANCE
    assert difference(found.arrays["single"], logits[:1]) < TOLERANCE
