"""NASNet against another implementation of it: Keras Applications, with the same weights and images."""

import sys
from typing import Any

import pytest

from exporter.checkpoint.synthetic import VERIFICATION_IMAGES
from exporter.models.config import model
from exporter.reference import keras_network
from tests.support import networks
from tests.support.networks import TOLERANCE, Arrays, difference, outputs_of_module, send

pytestmark = pytest.mark.full

OUTPUTS = {"Logits": "logits", "global_pool": "features"}


@pytest.fixture(scope="module", params=["nasnet_mobile", "nasnet_large"])
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def _outputs(name: str, kind: str) -> Arrays:
    return outputs_of_module("tests.reference.test_keras_network", name, kind)


@pytest.fixture(scope="module")
def own(name: str) -> Arrays:
    return networks.inference(name)


@pytest.mark.parametrize("output", OUTPUTS)
def test_outputs_equal_those_of_keras_but_for_its_padding_of_poolings(name: str, own: Any, output: str) -> None:
    assert difference(_outputs(name, "corrected")[output], own[f"end_point/{output}"]) <= TOLERANCE


@pytest.mark.parametrize("output", OUTPUTS)
def test_keras_differs_from_the_original_where_it_pads_poolings_with_zeros(name: str, own: Any, output: str) -> None:
    """Why the correction is there. Should Keras be put right, this fails, and the correction can go."""
    recorded = networks.recorded(name)[f"end_point/{output}"]
    assert difference(own[f"end_point/{output}"], recorded) <= TOLERANCE
    assert difference(_outputs(name, "shipped")[output], recorded) > 100 * TOLERANCE


if __name__ == "__main__":
    from exporter.checkpoint.synthetic_checkpoint import weights

    config = model(sys.argv[1])
    values = {spec.name: value for spec, value in weights(config, 0).items() if spec.role != "auxiliary_head"}
    images = VERIFICATION_IMAGES.at(config.image_size)
    send(keras_network.outputs(config, values, images, corrected=sys.argv[2] == "corrected"))
