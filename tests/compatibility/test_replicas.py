"""Artifacts fine-tuned on two replicas: each moves averages of its own, and what is read of them is their mean."""

from pathlib import Path

import numpy as np
import pytest

from exporter.checkpoint.synthetic import VERIFICATION_IMAGES, ImageSet
from exporter.models import variables as layout
from exporter.models.config import model
from tests.support import reading
from tests.support.command import artifact_folder
from tests.support.networks import TOLERANCE, difference
from tests.support.reading import FOR_TINY_NETWORKS

pytestmark = pytest.mark.readers


@pytest.mark.parametrize("reader", reading.EVERY_TENSORFLOW)
def test_the_moving_averages_of_replicas_are_averaged_when_they_are_read(
    tiny_pnasnet: Path, tiny_pnasnet_artifacts: Path, tmp_path: Path, reader: str
) -> None:
    """The network has no drop path and a feature vector no dropout: nothing is a matter of chance."""
    path = artifact_folder(tiny_pnasnet_artifacts, "tiny_pnasnet", "feature_vector", 5)
    config = model(str(tiny_pnasnet))
    images = np.concatenate(
        [VERIFICATION_IMAGES.at(config.image_size), ImageSet(count=1, seed=5).at(config.image_size)]
    )
    found = reading.read(reader, "replicas", path, images, tmp_path, FOR_TINY_NETWORKS)
    specs = layout.variables(config, "feature_vector")
    statistics = [f"{spec.name}:0" for spec in specs if not spec.trainable]
    assert (found.facts["replicas"], found.facts["moving"]) == (2, len(statistics))
    assert found.facts["trained_that_moved"] == found.facts["trained"] == len(specs) - len(statistics)
    # Of what is trained, replicas have the same.
    assert set(found.facts["unequal"]) <= set(statistics) and len(found.facts["unequal"]) > len(statistics) / 2
    apart = 0.0
    for name in statistics:
        first, second = (found.arrays[f"replica/{number}/{name}"] for number in (0, 1))
        for number, own in enumerate((first, second)):
            assert difference(own, found.arrays[f"alone/{number}/{name}"]) <= TOLERANCE, (name, number)
        assert difference(found.arrays[f"read/{name}"], (first + second) / 2) <= TOLERANCE, name
        apart = max(apart, difference(first, second))
    assert apart > 100 * TOLERANCE
    # A checkpoint has the mean, too.
    (saved,) = (value for name, value in found.arrays.items() if name.startswith("saved/"))
    assert difference(saved, found.arrays["read/conv0_bn/moving_mean:0"]) <= TOLERANCE
