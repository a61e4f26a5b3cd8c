"""NASNet against another implementation of it: Keras Applications, with the same weights and images."""

from typing import Any

import pytest

from tests import keras_networks, networks
from tests.networks import TOLERANCE, Arrays, difference

OUTPUTS = {"logits": "end_point/Logits", "features": "end_point/global_pool"}


@pytest.fixture(scope="module", params=["nasnet_mobile", pytest.param("nasnet_large", marks=pytest.mark.slow)])
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def of_keras(name: str) -> Arrays:
    return keras_networks.outputs(name)


@pytest.fixture(scope="module")
def own(name: str) -> Arrays:
    return networks.inference(name)


@pytest.mark.parametrize("output", OUTPUTS)
def test_outputs_equal_those_of_keras_but_for_its_padding_of_poolings(of_keras: Any, own: Any, output: str) -> None:
    # Three poolings in each of the two stem cells and two reduction cells; everything else is Keras's own.
    assert of_keras["corrections"] == 3 * 4
    assert difference(of_keras[f"corrected_{output}"], own[OUTPUTS[output]]) <= TOLERANCE


@pytest.mark.parametrize("output", OUTPUTS)
def test_keras_differs_from_the_original_where_it_pads_poolings_with_zeros(
    name: str, of_keras: Any, own: Any, output: str
) -> None:
    """Why the correction is there. Should Keras be put right, this fails, and the correction can go."""
    recorded = networks.recorded(f"expected_{name}")[output]
    assert difference(own[OUTPUTS[output]], recorded) <= TOLERANCE
    assert difference(of_keras[output], recorded) > 100 * TOLERANCE
