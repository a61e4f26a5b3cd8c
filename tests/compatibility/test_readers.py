"""Artifacts in the hands of those who read them: the current TensorFlow, and the oldest that is promised, 1.15.5."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from exporter.checkpoint.synthetic import VERIFICATION_IMAGES, ImageSet, base_value
from exporter.models import variables as layout
from exporter.models.config import ModelConfig, Task, model
from tests.support import environments, networks, reading
from tests.support.command import Command, artifact_folder, succeeded
from tests.support.fixtures import REDUCING_PNASNET
from tests.support.networks import TOLERANCE, difference
from tests.support.reading import FOR_TINY_NETWORKS, READERS, Reading
from tests.support.shared import Store

pytestmark = pytest.mark.readers

#: The default momentum that the tiny PNASNet is built with; the others keep the published one.
OTHER_MOMENTUM = 0.5
PUBLISHED_MOMENTUM = 0.99
#: Momenta of the steps in ``readers/reusable.py``.
STEPS = {"int_0": 0.0, "int_1": 1.0, "float": 0.75, "tensor": 0.9, "by_position": 0.75, "in_function": 0.75}
#: The batch norms of the tiny NASNet that come before its first drop path.
BEFORE_DROP_PATH = ("conv0_bn/", "cell_stem_0/beginning_bn/")


@dataclass(frozen=True)
class Case:
    """An artifact, and what must be true of it."""

    path: Path
    config: ModelConfig
    task: Task
    version: int
    default_momentum: float = PUBLISHED_MOMENTUM

    @property
    def specs(self) -> list[layout.VariableSpec]:
        return layout.variables(self.config, self.task)

    @property
    def kernels(self) -> list[layout.VariableSpec]:
        return [spec for spec in self.specs if spec.is_kernel]

    @property
    def has_chance(self) -> bool:
        """Whether something in a training step is drawn at random: drop path, or dropout before a classifier."""
        return self.task == "classification" or self.config.drop_path_keep_prob < 1

    @property
    def tiny(self) -> bool:
        return self.config.image_size < 100

    @property
    def images(self) -> Any:
        recorded = VERIFICATION_IMAGES.at(self.config.image_size)
        return np.concatenate([recorded, ImageSet(count=2, seed=5).at(self.config.image_size)])

    @property
    def output(self) -> str:
        return "logits" if self.task == "classification" else "feature_vector"


@pytest.fixture(scope="module")
def tiny_case(tiny: Path, tiny_artifacts: Path) -> Case:
    path = artifact_folder(tiny_artifacts, "tiny_nasnet", "classification", 4)
    return Case(path, model(str(tiny)), "classification", 4)


@pytest.fixture(scope="module")
def tiny_pnasnet_case(cli: Command, tiny_pnasnet: Path, tiny_pnasnet_checkpoint: Path, of_this_run: Store) -> Case:
    def make(output: Path) -> None:
        options = ("--version", 5, "--task", "feature_vector", "--batch-norm-momentum", OTHER_MOMENTUM)
        succeeded(cli("build", tiny_pnasnet, *options, "--checkpoint", tiny_pnasnet_checkpoint, "--output", output))

    output = of_this_run.made("other_momentum", make)
    path = artifact_folder(output, "tiny_pnasnet", "feature_vector", 5)
    return Case(path, model(str(tiny_pnasnet)), "feature_vector", 5, OTHER_MOMENTUM)


@pytest.fixture(scope="module")
def mobile_case(mobile_artifacts: Path) -> Case:
    path = artifact_folder(mobile_artifacts, "nasnet_mobile", "classification", 4)
    return Case(path, model("nasnet_mobile"), "classification", 4)


@pytest.fixture(
    scope="module", params=["tiny_case", "tiny_pnasnet_case", pytest.param("mobile_case", marks=pytest.mark.full)]
)
def case(request: pytest.FixtureRequest) -> Case:
    return request.getfixturevalue(request.param)


Read = Callable[[Case, str], Reading]


@pytest.fixture(scope="module")
def read(of_this_run: Store) -> Read:
    """``read(case, reader)`` is all that a reader finds in an artifact; it looks once."""

    def get(case: Case, reader: str) -> Reading:
        name = f"{case.config.name}_in_{reader}"
        variables = FOR_TINY_NETWORKS if case.tiny else {}
        # Under a persistent tape, TensorFlow prepares gradients of gradients, which takes it long for a large network.
        tape = "persistent" if case.tiny else "plain"
        return reading.read_once(of_this_run, name, reader, "reusable", case.path, case.images, variables, tape)

    return get


@pytest.fixture(scope="module", params=list(READERS))
def found(request: pytest.FixtureRequest, case: Case, read: Read) -> Reading:
    return read(case, request.param)


def test_variables_have_the_names_shapes_and_order_of_the_checkpoint(case: Case, found: Reading) -> None:
    assert found.facts["variables"] == [[f"{spec.name}:0", list(spec.shape), "float32"] for spec in case.specs]
    trainable = [f"{spec.name}:0" for spec in case.specs if spec.trainable]
    assert found.facts["trainable"] == trainable
    assert found.facts["marked_trainable"] == trainable


def test_regularization_losses_are_the_penalty_on_all_kernels(case: Case, found: Reading) -> None:
    squares = sum(float(np.square(base_value(spec), dtype=np.float64).sum()) for spec in case.kernels)
    (loss,) = found.facts["regularization_losses"]
    assert difference(loss, case.config.weight_decay * squares / 2) <= TOLERANCE
    penalized = {spec.name for spec in case.kernels}
    assert set(found.facts["gradients"]["inference"]["penalized"]) == penalized


def test_every_way_to_call_for_inference_gives_the_same(found: Reading) -> None:
    plain = found.arrays["inference/plain"]
    calls = [key for key in found.arrays if key.startswith("inference/")]
    assert len(calls) == 8
    for key in calls:
        assert difference(found.arrays[key], plain) <= TOLERANCE, key
    for count in (1, 2):
        assert difference(found.arrays[f"batch/{count}"], plain[:count]) <= TOLERANCE, count


def test_inference_changes_nothing(found: Reading) -> None:
    assert found.facts["changed_by_inference"] == []


def test_outputs_in_the_oldest_reader_equal_those_in_the_current_one(case: Case, read: Read) -> None:
    old, current = read(case, "tensorflow_1_15"), read(case, "current")
    assert old.facts["tensorflow"] == "1.15.5" and old.facts["hub"] == "0.12.0"
    assert current.facts["tensorflow"] == tf.__version__
    compared = [key for key in current.arrays if key.startswith(("inference/", "batch/", "signature/"))]
    for key in compared:
        assert difference(old.arrays[key], current.arrays[key]) <= TOLERANCE, key


@pytest.mark.parametrize("reader", READERS)
def test_logits_are_the_recorded_ones_of_the_original_network(mobile_case: Case, read: Read, reader: str) -> None:
    recorded = networks.recorded("nasnet_mobile")["end_point/Logits"]
    logits = read(mobile_case, reader).arrays["inference/plain"]
    assert difference(logits[: len(recorded)], recorded) <= TOLERANCE


def test_training_moves_the_moving_statistics_and_nothing_else(case: Case, found: Reading) -> None:
    statistics = sorted(spec.name for spec in case.specs if not spec.trainable)
    changed = found.facts["changed_by_training"]
    assert changed.pop("int_1") == [], "a momentum of one keeps everything"
    assert sorted(changed) == sorted({"default", *STEPS} - {"int_1"})
    for step, names in changed.items():
        assert names == statistics, step


def test_moving_statistics_move_by_what_the_momentum_says(case: Case, found: Reading) -> None:
    names = [key.removeprefix("before/") for key in found.arrays if key.startswith("before/")]
    if case.config.drop_path_keep_prob < 1:
        names = [name for name in names if name.startswith(BEFORE_DROP_PATH)]
    assert len(names) >= 4
    for step, momentum in {**STEPS, "default": case.default_momentum}.items():
        if momentum == 1:
            continue  # its own test says that nothing moves
        for name in names:
            before = found.arrays[f"before/{name}"]
            batch = found.arrays[f"moved/int_0/{name}"]  # a momentum of zero leaves the batch's own statistics
            moved = found.arrays[f"moved/{step}/{name}"]
            expected = momentum * before + (1 - momentum) * batch
            # Of the distance that it moved: a hundredth of the way at the published momentum, of which float32's
            # rounding of the value alone is up to 8e-4.
            distance = np.abs(batch - before).max() * (1 - momentum)
            assert np.abs(moved - expected).max() <= 0.002 * distance, (step, name)


def test_training_is_a_matter_of_chance_where_something_is_dropped_and_only_there(case: Case, found: Reading) -> None:
    outputs = [value for key, value in found.arrays.items() if key.startswith("training/")]
    assert len(outputs) == len(STEPS) + 1
    for output in outputs[1:]:
        if case.has_chance:
            assert difference(output, outputs[0]) > 100 * TOLERANCE
        else:
            assert difference(output, outputs[0]) <= TOLERANCE
    # Batch statistics are not the moving ones.
    assert difference(outputs[0], found.arrays["inference/plain"]) > 100 * TOLERANCE


@pytest.mark.parametrize("mode", ["inference", "training"])
def test_gradients_reach_every_trainable_variable_twice_from_one_tape(case: Case, found: Reading, mode: str) -> None:
    gradients = found.facts["gradients"][mode]
    assert gradients["reached"] == sum(spec.trainable for spec in case.specs)
    assert gradients["missing"] == []
    assert gradients["not_finite"] == []
    if mode == "inference" or case.config.drop_path_keep_prob == 1:  # else all examples may have dropped a branch
        assert gradients["zero"] == []
    if case.tiny:
        assert gradients["largest_difference"] <= 1e-3


def test_signatures_are_those_of_the_version(case: Case, found: Reading) -> None:
    if case.version < 5:
        assert found.facts["signatures"] == {}
        return
    size = case.config.image_size
    inputs = {"inputs": ["float32", [None, size, size, 3]]}
    assert found.facts["signatures"] == {"serving_default": {"inputs": inputs, "outputs": [case.output]}}
    served = found.arrays[f"signature/serving_default/{case.output}"]
    assert difference(served, found.arrays["inference/plain"]) <= TOLERANCE


def test_weights_are_stored_once(case: Case) -> None:
    parameters = layout.parameters(case.config, case.task)
    size = sum(file.stat().st_size for file in case.path.rglob("*") if file.is_file())
    assert parameters * 4 <= size <= parameters * 4 + 10_000_000
    shapes = tf.train.load_checkpoint(str(case.path / "variables" / "variables")).get_variable_to_shape_map()
    shapes.pop("_CHECKPOINTABLE_OBJECT_GRAPH")
    assert sorted(map(tuple, shapes.values())) == sorted(spec.shape for spec in case.specs)


@pytest.mark.parametrize("task", ["classification", "feature_vector"])
def test_keras_3_takes_version_5_as_a_layer(
    tiny: Path, tiny_artifacts: Path, tmp_path: Path, task: Task, tiny_case: Case
) -> None:
    path = artifact_folder(tiny_artifacts, "tiny_nasnet", task, 5)
    images = tiny_case.images
    found = reading.read("current", "keras_3", path, images, tmp_path)
    assert found.facts["keras"].startswith("3.")
    (output,) = found.facts["outputs"]
    assert output == ("logits" if task == "classification" else task)
    expected = tf.saved_model.load(str(path))(tf.constant(images)).numpy()
    assert difference(found.arrays[output], expected) <= TOLERANCE


@pytest.fixture(scope="module")
def tuned_case(reducing_artifacts: Path) -> Case:
    """A network of cells enough to learn something in a few steps."""
    path = artifact_folder(reducing_artifacts, "reducing_pnasnet", "feature_vector", 5)
    return Case(path, ModelConfig.from_dict(REDUCING_PNASNET), "feature_vector", 5)


@pytest.fixture(scope="module", params=list(READERS))
def tuned(request: pytest.FixtureRequest, tuned_case: Case, of_this_run: Store) -> dict[str, Any]:
    reader, path, images = request.param, tuned_case.path, tuned_case.images
    name = f"tuned_in_{reader}"
    return reading.read_once(of_this_run, name, reader, "fine_tuning", path, images, FOR_TINY_NETWORKS).facts


def test_keras_layer_learns(tuned: dict[str, Any], tuned_case: Case) -> None:
    loss = tuned["loss"]
    # Nothing is a matter of chance in this network: each step must lower it.
    assert loss == sorted(loss, reverse=True) and loss[-1] < 0.8 * loss[0]
    assert tuned["losses_of_layer"] == 1
    trainable = sum(spec.trainable for spec in tuned_case.specs)
    assert tuned["trainable_weights"] == trainable
    assert tuned["weights_that_moved"] == trainable
    assert tuned["frozen_trainable_weights"] == 0
    assert tuned["frozen_same_output"] <= TOLERANCE * tuned["largest_output"]


def test_keras_layer_moves_the_statistics_with_the_momentum_of_its_arguments(
    tuned: dict[str, Any], tuned_case: Case
) -> None:
    statistics = sum(not spec.trainable for spec in tuned_case.specs)
    assert tuned["statistics"] == tuned["moved_by_fine_tuning"] == statistics
    assert tuned["moved_by_inference"] == 0
    # What each of the 3 x 3 weights is multiplied with, on average: a convolution with stride 2 that fills no edge.
    pixels = tuned_case.images.astype(np.float64) * 2 - 1
    steps = (pixels.shape[1] - 1) // 2
    seen = [
        [pixels[:, y : y + 2 * steps : 2, x : x + 2 * steps : 2].mean((0, 1, 2)) for x in range(3)] for y in range(3)
    ]
    expected = np.array(tuned["statistic_before"])
    assert len(tuned["kernel_at_each_step"]) == len(tuned["loss"])
    for kernel in tuned["kernel_at_each_step"]:
        expected = 0.997 * expected + 0.003 * np.einsum("yxc,yxcf->f", seen, kernel)
    np.testing.assert_allclose(tuned["statistic_after"], expected, rtol=0, atol=1e-6)


def test_model_with_the_layer_is_saved_and_loaded_again(tuned: dict[str, Any], tuned_case: Case) -> None:
    assert tuned["difference_after_saving"] <= TOLERANCE * tuned["largest_output"]
    assert tuned["signatures_after_saving"] == ["serving_default"]
    assert tuned["variables_after_saving"] == len(tuned_case.specs)


def test_programs_for_tensorflow_1_use_it_in_a_graph_and_session(
    tiny_pnasnet_case: Case, read: Read, tmp_path: Path
) -> None:
    images = tiny_pnasnet_case.images
    found = reading.read("tensorflow_1_15", "graph_mode", tiny_pnasnet_case.path, images, tmp_path)
    expected = read(tiny_pnasnet_case, "current").arrays
    for key in ("load", "layer"):
        assert difference(found.arrays[key], expected["inference/plain"]) <= TOLERANCE, key
    batch = expected["moved/int_0/conv0_bn/moving_mean"]
    moved = 0.75 * found.arrays["before"] + 0.25 * batch
    assert difference(found.arrays["after_one_step"], moved) <= TOLERANCE
    loss = found.facts["loss"]
    assert loss == sorted(loss, reverse=True) and loss[-1] < loss[0]


def test_old_reader_is_the_promised_one_or_the_test_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without a Python 3.7 nothing passes: the test that needs it is skipped, with a reason that stands out."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(pytest.skip.Exception, match=r"NOT TESTED with TensorFlow 1\.15\.5"):
        environments.old_in(tmp_path)
