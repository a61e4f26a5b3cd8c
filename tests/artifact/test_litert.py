"""LiteRT models, run with ai-edge-litert on one thread: against the networks in NumPy, and the originals' record."""

import json
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from exporter.artifact.litert import Writer, build
from exporter.artifact.options import ArtifactOptions, Precision
from exporter.checkpoint.synthetic import VERIFICATION_IMAGES
from exporter.models.classes import class_names
from exporter.models.config import TASKS, ModelConfig, Task, model
from exporter.models.formats import LITERT_FILE, LITERT_MORE_FILES
from exporter.reference import numpy_network
from exporter.reference.result import statistics
from exporter.reference.rounded import rounded
from tests.reference.test_numpy_network import made_up_weights, recorded_weights
from tests.support import networks
from tests.support.fixtures import REDUCING, REDUCING_PNASNET, TINY_IMAGENET
from tests.support.networks import MODELS, TOLERANCE

#: Largest difference of a file with weights of 16 bits from the float32 graph of the same weights.
HALF_TOLERANCE = 1e-3
_OUTPUTS = {"logits": "Logits", "feature_vector": "global_pool"}


def run(content: bytes, images: Any) -> dict[str, Any]:
    """The outputs of a model's signature, by the names of end points."""
    signature = Interpreter(model_content=content, num_threads=1).get_signature_runner("serving_default")
    return {_OUTPUTS.get(name, name): value for name, value in signature(inputs=images).items()}


def _config(fields: Any, **changes: Any) -> ModelConfig:
    return ModelConfig.from_dict({**fields, **changes})


@pytest.mark.parametrize("image_size", [64, 75])
@pytest.mark.parametrize("fields", [REDUCING, REDUCING_PNASNET], ids=lambda fields: fields["name"])
def test_any_network_is_the_one_in_numpy(fields: Any, image_size: int) -> None:
    config = _config(fields, image_size=image_size)
    weights, images = made_up_weights(config), VERIFICATION_IMAGES.at(image_size)
    expected = numpy_network.outputs(config, weights, images, np.float64)
    content = build(config, "classification", weights, end_points=True)
    found = run(content, images)
    assert found.keys() == expected.keys()
    for name, value in found.items():
        assert networks.difference(value, expected[name]) < TOLERANCE, name
    single = run(content, images[:1])["Logits"]
    assert networks.difference(single, expected["Logits"][:1]) < TOLERANCE


@pytest.mark.parametrize("fields", [REDUCING, REDUCING_PNASNET], ids=lambda fields: fields["name"])
def test_weights_of_16_bits_are_the_rounded_ones(fields: Any) -> None:
    config = _config(fields)
    weights, images = made_up_weights(config), VERIFICATION_IMAGES.at(config.image_size)
    expected = numpy_network.outputs(config, rounded(config, "classification", weights), images, np.float32)
    found = run(build(config, "classification", weights, "float16", end_points=True), images)
    for name, value in found.items():
        # A small part of what is allowed: a rounding that is left out, or made elsewhere, makes more.
        assert networks.difference(value, expected[name]) < HALF_TOLERANCE / 30, name
    unrounded = numpy_network.outputs(config, weights, images, np.float32)
    assert networks.difference(found["Logits"], unrounded["Logits"]) > HALF_TOLERANCE / 2


@pytest.mark.full
@pytest.mark.parametrize("name", MODELS)
def test_published_networks_are_the_original_ones(name: str) -> None:
    config, recorded = model(name), networks.recorded(name)
    images = VERIFICATION_IMAGES.at(config.image_size)
    found = run(build(config, "classification", recorded_weights(name), end_points=True), images)
    for end_point, value in found.items():
        if f"end_point/{end_point}" in recorded:
            assert networks.difference(value, recorded[f"end_point/{end_point}"]) < TOLERANCE, end_point
        expected = recorded[f"statistics/{end_point}"]
        assert np.abs(statistics(value) - expected).max() / expected[2] < TOLERANCE, end_point


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("precision", get_args(Precision))
def test_file_is_half_as_large_and_the_same_each_time(task: Task, precision: Precision, tmp_path: Path) -> None:
    config = _config({**REDUCING, "num_classes": 1001, "num_conv_filters": 32})  # weights, and not operations alone
    weights = made_up_weights(config)
    for folder in ("one", "two"):
        Writer(config, task, weights).write("litert", tmp_path / folder, ArtifactOptions(None, precision=precision))
    names = {LITERT_FILE, *(LITERT_MORE_FILES if task == "classification" else LITERT_MORE_FILES[:1])}
    assert {path.name for path in (tmp_path / "one").iterdir()} == names
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name
    if task == "classification":  # of features alone, the graph takes more room than so few weights
        values = sum(value.nbytes for value in weights.values())
        assert (tmp_path / "one" / LITERT_FILE).stat().st_size < values * (1 if precision == "float16" else 1.5)


@pytest.mark.parametrize("task", TASKS)
def test_says_how_it_is_used(task: Task, tmp_path: Path) -> None:
    config = _config(TINY_IMAGENET)
    Writer(config, task, made_up_weights(config)).write("litert", tmp_path / "litert", ArtifactOptions(None))
    interpreter = Interpreter(str(tmp_path / "litert" / LITERT_FILE), num_threads=1)
    output = {"classification": "logits", "feature_vector": "feature_vector"}[task]
    assert interpreter.get_signature_list() == {"serving_default": {"inputs": ["inputs"], "outputs": [output]}}
    (inputs,), (outputs,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert (inputs["name"], outputs["name"]) == ("inputs", output)
    assert inputs["shape_signature"].tolist() == [-1, 64, 64, 3]
    assert outputs["shape_signature"].tolist() == [-1, 1001 if task == "classification" else outputs["shape"][1]]
    preprocessing = json.loads((tmp_path / "litert" / LITERT_MORE_FILES[0]).read_text(encoding="utf-8"))
    assert (preprocessing["central_crop"], preprocessing["size"]) == (0.875, [64, 64])
    labels = tmp_path / "litert" / LITERT_MORE_FILES[1]
    assert labels.exists() == (task == "classification")
    if labels.exists():
        assert labels.read_text(encoding="utf-8").splitlines() == [known.name for known in class_names()]


def test_other_classes_have_no_names(tmp_path: Path) -> None:
    config = _config(REDUCING)
    Writer(config, "classification", made_up_weights(config)).write(
        "litert", tmp_path / "litert", ArtifactOptions(None)
    )
    assert not (tmp_path / "litert" / LITERT_MORE_FILES[1]).exists()


def test_refuses_values_that_lack_one() -> None:
    config = _config(REDUCING)
    weights = made_up_weights(config)
    del weights["cell_1/beginning_bn/beta"]
    with pytest.raises(KeyError, match="cell_1/beginning_bn/beta"):
        build(config, "classification", weights)
