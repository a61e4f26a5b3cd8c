"""NASNet against another implementation of it: Keras Applications, with the same weights and images."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from exporter.checkpoint.synthetic import VERIFICATION_IMAGES
from exporter.models.config import model
from exporter.reference import keras_network
from exporter.reference.jobs import KERAS_NETWORKS
from tests.support import networks
from tests.support.command import CHECKOUT, Command
from tests.support.networks import TOLERANCE, Arrays, difference, outputs_of_module, send

pytestmark = pytest.mark.full

OUTPUTS = {"Logits": "logits", "global_pool": "features"}


@pytest.fixture(scope="module", params=["nasnet_mobile", "nasnet_large"])
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def _output(name: str, kind: str, output: str) -> Any:
    """What Keras's network gives, "shipped" or "corrected": one process runs both."""
    return outputs_of_module("tests.reference.test_keras_network", name, "outputs")[f"{kind}/{output}"]


@pytest.fixture(scope="module")
def own(name: str) -> Arrays:
    return networks.inference(name)


@pytest.mark.parametrize("output", OUTPUTS)
def test_outputs_equal_those_of_keras_but_for_its_padding_of_poolings(name: str, own: Any, output: str) -> None:
    assert difference(_output(name, "corrected", output), own[f"end_point/{output}"]) <= TOLERANCE


@pytest.mark.parametrize("output", OUTPUTS)
def test_keras_differs_from_the_original_where_it_pads_poolings_with_zeros(name: str, own: Any, output: str) -> None:
    """Why the correction is there. Should Keras be put right, this fails, and the correction can go."""
    recorded = networks.recorded(name)[f"end_point/{output}"]
    assert difference(own[f"end_point/{output}"], recorded) <= TOLERANCE
    assert difference(_output(name, "shipped", output), recorded) > 100 * TOLERANCE


def test_its_file_of_keras_is_refused_and_its_pooling_named(
    cli: Command, mobile_checkpoint: Path, tmp_path: Path
) -> None:
    """As people have it: the network of Keras Applications in a ``.keras`` file, with the weights of a checkpoint."""
    file = tmp_path / "nasnet_mobile.keras"
    command = [sys.executable, "-m", "tests.reference.test_keras_network", "nasnet_mobile", "file", str(file)]
    subprocess.run(command, cwd=CHECKOUT, check=True, capture_output=True)
    result = cli("verify", file, "--model", "nasnet_mobile", "--checkpoint", mobile_checkpoint, "--json")
    (report,) = json.loads(result.stdout)
    failed = {check["name"]: check for check in report["checks"] if not check["passed"]}
    assert result.returncode == 1
    poolings = failed["poolings unlike TensorFlow's SAME"]
    assert poolings["figure"] == keras_network.POOLINGS
    assert "first: reduction_left2_stem_1, off by" in poolings["detail"]
    assert 0.1 < failed["output, relative difference"]["figure"] < 0.2
    assert failed["end points, relative difference"]["detail"].endswith("first divergent end point: Stem")


if __name__ == "__main__":
    from exporter.checkpoint.synthetic_checkpoint import weights

    config = model(sys.argv[1])
    values = {spec.name: value for spec, value in weights(config, 0).items() if spec.role != "auxiliary_head"}
    if sys.argv[2] == "file":
        import keras

        scaled = keras.layers.Rescaling(2.0, offset=-1.0)(keras.Input((config.image_size, config.image_size, 3)))
        kind = getattr(keras.applications, KERAS_NETWORKS[config.name])
        kinds = {"weights": None, "classes": config.num_classes, "classifier_activation": None}
        network = kind(input_tensor=scaled, **kinds)
        keras_network.set_weights(network, config, values)
        network.save(sys.argv[3])
        sys.exit()
    images = VERIFICATION_IMAGES.at(config.image_size)
    found: dict[str, Any] = {}
    for kind in ("corrected", "shipped"):
        given = keras_network.outputs(config, values, images, corrected=kind == "corrected")
        found |= {f"{kind}/{output}": value for output, value in given.items()}
    send(found)
