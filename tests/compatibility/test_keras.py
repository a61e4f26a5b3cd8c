"""Keras networks in the hands of Keras: on each of its backends, and the oldest release that is promised."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exporter.artifact.keras import Writer, layer_name
from exporter.artifact.keras_file import OLDEST_KERAS
from exporter.artifact.options import ArtifactOptions
from exporter.checkpoint.synthetic import VERIFICATION_IMAGES
from exporter.models.config import ModelConfig, model
from exporter.models.variables import variables
from exporter.reference import numpy_network
from exporter.verification.drop_path import decisions
from tests.reference.test_numpy_network import made_up_weights, recorded_weights
from tests.support import networks, reading
from tests.support.fixtures import TINY
from tests.support.networks import TOLERANCE, difference
from tests.support.reading import FOR_TINY_NETWORKS, Reading

pytestmark = pytest.mark.readers

#: Reader and backend.
BACKENDS = [("current", "tensorflow"), ("keras", "torch"), ("keras", "jax"), ("oldest_keras", "jax")]
#: Average pools that halve an odd and an even number of pixels, and more filters than oneDNN fails at.
FIELDS = {**TINY, "image_size": 62, "num_conv_filters": 12}


def _read(config: ModelConfig, weights: Any, reader: str, backend: str, folder: Path, *what: str) -> Reading:
    Writer(config, "classification", weights).write("keras", folder / "keras", ArtifactOptions(0.9))
    images = VERIFICATION_IMAGES.at(config.image_size)
    chosen = {"KERAS_BACKEND": backend, **(FOR_TINY_NETWORKS if config.num_conv_filters < 32 else {})}
    # What a saved network computes is compiled as that of the one that was saved.
    chosen["JAX_COMPILATION_CACHE_DIR"] = str(folder / "compiled")
    return reading.read(reader, "keras_network", folder / "keras", images, folder, chosen, *what)


@pytest.mark.parametrize(("reader", "backend"), BACKENDS)
def test_runs_trains_and_is_saved_again_on_every_backend(reader: str, backend: str, tmp_path: Path) -> None:
    config = ModelConfig.from_dict(FIELDS)
    weights = made_up_weights(config)
    expected = numpy_network.outputs(config, weights, VERIFICATION_IMAGES.at(62), np.float64)["Logits"]
    found = _read(config, weights, reader, backend, tmp_path, "train")
    assert found.facts["backend"] == backend
    assert backend in found.facts["others"]
    assert "exporter" not in found.facts["others"] and ("tensorflow" in found.facts["others"]) == (
        backend == "tensorflow"
    )
    if reader == "oldest_keras":
        assert found.facts["keras"] == OLDEST_KERAS
    for name in ("output", "again"):
        assert difference(found.arrays[name], expected) < TOLERANCE, name
    assert difference(found.arrays["single"], expected[:1]) < TOLERANCE
    kernels = [weights[spec.name] for spec in variables(config, "classification") if spec.is_kernel]
    squares = sum(float(np.square(kernel, dtype=np.float64).sum()) for kernel in kernels)
    assert difference(found.arrays["loss"], config.weight_decay * squares / 2) < TOLERANCE
    # A step of training moves all there is: what is trained, and the moving averages.
    assert found.facts["weights"] == len(variables(config, "classification"))
    assert found.facts["unmoved"] == [] and np.isfinite(found.facts["loss"])
    for where, keep in decisions(config, "classification").items():
        whole = where != "dropout"
        dropped = found.arrays[f"dropped/{layer_name(f'{where}/drop_path') if whole else where}"]
        kept = dropped[:, 0, 0, 0] if whole else dropped
        assert (dropped == (kept[:, None, None, None] if whole else kept)).all(), "dropped in a part of an example"
        np.testing.assert_allclose(np.unique(kept), [0, 1 / keep], rtol=1e-6)
        assert abs(np.mean(kept > 0) - keep) < 5.2 * np.sqrt(keep * (1 - keep) / kept.size), where


@pytest.mark.full
@pytest.mark.parametrize(("reader", "backend"), BACKENDS[1:3])
def test_gives_the_recorded_outputs_of_the_original_network(reader: str, backend: str, tmp_path: Path) -> None:
    config = model("nasnet_mobile")
    # To compile its training takes JAX longer than all else; smaller networks are trained with it above.
    what = ("train",) if backend == "torch" else ()
    found = _read(config, recorded_weights("nasnet_mobile"), reader, backend, tmp_path, *what)
    recorded = networks.recorded("nasnet_mobile")["end_point/Logits"]
    assert difference(found.arrays["output"], recorded) < TOLERANCE
    assert found.facts.get("unmoved", []) == [] and ("unmoved" in found.facts) == (backend == "torch")
