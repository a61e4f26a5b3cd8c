"""TF1 Hub modules, versions 1 to 3, in the readers that TensorFlow 1 users have."""

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from exporter.checkpoint.synthetic import ImageSet
from exporter.models import signatures
from exporter.models.config import Task, model
from exporter.models.variables import variables
from tests.support import environments
from tests.support.command import Command, artifact_folder, refusal, succeeded
from tests.support.networks import TOLERANCE, difference
from tests.support.reading import SCRIPTS
from tests.support.shared import Store

pytestmark = pytest.mark.readers

MODULE_READERS = {"TensorFlow 1.15.5": environments.old, "TensorFlow 2.15.1": environments.last_with_hub_module}
Read = tuple[dict[str, Any], dict[str, Any]]


def _read(script: str, python: Path, artifact: Path, folder: Path, size: int, *arguments: str) -> Read:
    """Runs a reader on an artifact: its facts, and its arrays; ``arguments`` come after those of all scripts."""
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "input.npz", images=ImageSet(count=4, seed=5).at(size))
    command = [str(python), str(SCRIPTS / f"{script}.py"), str(artifact), str(folder), *arguments]
    variables = {**environments.clean_variables(), "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONWARNINGS": "ignore"}
    process = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr[-4000:]
    (folder / "facts.json").write_text(process.stdout, encoding="utf-8")
    return _found(folder)


def _found(folder: Path) -> Read:
    with np.load(folder / "output.npz") as file:
        return json.loads((folder / "facts.json").read_text(encoding="utf-8")), {
            name: file[name] for name in file.files
        }


def _read_once(of_this_run: Store, reader: str, hub_modules: Path, case: tuple[Task, int]) -> Read:
    """What a reader of TF1 Hub modules finds in one."""
    python, artifact = MODULE_READERS[reader](), artifact_folder(hub_modules, "tiny_nasnet", *case)
    name = f"{case[0]}_{case[1]} in {reader}"
    return _found(of_this_run.made(name, lambda folder: _read("hub_module", python, artifact, folder, 64)))


@pytest.fixture(params=list(MODULE_READERS))
def reader(request: pytest.FixtureRequest) -> str:
    return request.param


#: Each task and each version once in each reader; the builds verify all four.
CASES: tuple[tuple[Task, int], ...] = (("classification", 3), ("feature_vector", 1))


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0]}/{case[1]}")
def case(request: pytest.FixtureRequest) -> tuple[Task, int]:
    return request.param


@pytest.fixture
def read(reader: str, case: tuple[Task, int], hub_modules: Path, of_this_run: Store) -> Read:
    return _read_once(of_this_run, reader, hub_modules, case)


def test_spec_has_the_promised_tags_signatures_and_image_size(read: Read, case: tuple[Task, int]) -> None:
    facts, _ = read
    names = sorted(signatures.hub_signatures(*case))
    assert facts["tag_sets"] == [[], ["train"]]
    assert facts["signatures"] == {"": names, "train": names}
    assert facts["size"] == facts["attached_size"] == [64, 64]
    assert facts["inputs"]["default"] == {"images": "float32"}
    settable = [name for name, inputs in facts["inputs"].items() if "batch_norm_momentum" in inputs]
    assert settable == [name for name in settable if name.endswith("_with_bn_hparams")]
    assert bool(settable) == (case[1] >= 3)


def test_every_signature_gives_every_end_point(read: Read, case: tuple[Task, int], tiny: Path) -> None:
    facts, arrays = read
    cells = ["Stem", "Cell_0", "global_pool"]
    classifier = ["Logits", "Predictions"] if case[0] == "classification" else []
    wanted = sorted(["default", *(f"tiny_nasnet/{name}" for name in cells + classifier)])
    for name, signature in signatures.hub_signatures(*case).items():
        assert facts["outputs"][name] == wanted
        own = arrays[f"inference/{name}/tiny_nasnet/{signature.end_point}"]
        np.testing.assert_array_equal(arrays[f"inference/{name}/default"], own)
    np.testing.assert_array_equal(arrays["inference/wrapped/default"], arrays["inference/called/default"])
    assert arrays["inference/called/default"].shape == (4, 11 if classifier else own.shape[1])


def test_nothing_of_training_is_active_in_inference(read: Read, tiny: Path, case: tuple[Task, int]) -> None:
    facts, _ = read
    trained = sum(spec.trainable for spec in variables(model(str(tiny)), case[0]))
    # `hub.Module` without trainable=True hides the trainable ones.
    assert facts["inference_collections"] == {"update_ops": 0, "regularization_losses": 0, "trainable_variables": 0}
    assert len(facts["trainable"]) == trained


def test_update_operations_move_every_statistic_by_the_momentum(read: Read, case: tuple[Task, int], tiny: Path) -> None:
    facts, arrays = read
    specs = variables(model(str(tiny)), case[0])
    statistics = [spec.name for spec in specs if not spec.trainable]
    assert facts["updates"] == len(statistics)
    momentum = 0.75 if case[1] >= 3 else 0.9997
    # What comes before the first drop path is no matter of chance: its batch statistics are those of the images.
    for name in statistics:
        before, moved = arrays[f"before/{name}"], arrays[f"moved/{name}"]
        assert not np.array_equal(before, moved), name
    checkpoint_mean = arrays["before/conv0_bn/moving_mean"]
    step = (arrays["moved/conv0_bn/moving_mean"] - checkpoint_mean) / (1 - momentum)
    # A step of 3e-4 of the way leaves three digits of float32 for what it says.
    assert difference(checkpoint_mean + step, _conv0_mean(tiny)) <= (TOLERANCE if momentum == 0.75 else 1e-2)


def _conv0_mean(tiny: Path) -> np.ndarray:
    """The batch mean of the first convolution's output, by NumPy alone."""
    from exporter.checkpoint.synthetic import base_value

    config = model(str(tiny))
    kernel = next(base_value(spec) for spec in variables(config, "feature_vector") if spec.name == "conv0/weights")
    images = 2 * ImageSet(count=4, seed=5).at(config.image_size).astype(np.float64) - 1
    windows = np.lib.stride_tricks.sliding_window_view(images, (3, 3), axis=(1, 2))[:, ::2, ::2]
    return np.einsum("bxycij,ijco->bxyo", windows, kernel.astype(np.float64)).mean(axis=(0, 1, 2))


def test_fine_tuning_lowers_the_loss_and_survives_an_export(read: Read, case: tuple[Task, int], tiny: Path) -> None:
    facts, _ = read
    config = model(str(tiny))
    assert facts["losses"][-1] < 0.7 * facts["losses"][0]
    assert facts["exported_same"]
    assert facts["regularization"] > 0
    assert facts["trainable"] == sorted(spec.name for spec in variables(config, case[0]) if spec.trainable)


@pytest.mark.parametrize("reader_v2", ["TensorFlow 2.15.1", "newest TensorFlow"])
def test_tensorflow_2_reads_it_with_load_and_keras_layer(
    reader_v2: str, hub_modules: Path, tmp_path: Path, of_this_run: Store
) -> None:
    python = environments.current() if reader_v2.startswith("newest") else environments.last_with_hub_module()
    artifact = artifact_folder(hub_modules, "tiny_nasnet", "classification", 3)
    facts, arrays = _read("hub_module_v2", python, artifact, tmp_path / "v2", 64)
    names = sorted(signatures.hub_signatures("classification", 3))
    assert facts["train_signatures"] == names
    assert facts["variables"] == len(variables(model_of(hub_modules), "classification"))
    # The oldest reader's outputs are what all others must give.
    _, old = _read_once(of_this_run, "TensorFlow 1.15.5", hub_modules, ("classification", 3))
    for name in names:
        assert difference(arrays[f"load/{name}/default"], old[f"inference/{name}/default"]) <= TOLERANCE
        if not name.endswith("_with_bn_hparams"):
            assert difference(arrays[f"keras/{name}"], old[f"inference/{name}/default"]) <= TOLERANCE


def model_of(output: Path) -> Any:
    """The configuration that an artifact itself carries."""
    from exporter.models.config import ModelConfig

    metadata = artifact_folder(output, "tiny_nasnet", "classification", 3) / "nasexport.json"
    return ModelConfig.from_dict(json.loads(metadata.read_text(encoding="utf-8"))["model"])


def test_full_size_module_in_the_oldest_reader(cli: Command, mobile_checkpoint: Path, tmp_path: Path) -> None:
    """Version 3 of nasnet_mobile: verified when it is built, then read against the record of the original network."""
    output = tmp_path / "hub_mobile"
    options = ("--format", "hub", "--task", "classification", "--checkpoint", mobile_checkpoint)
    succeeded(cli("build", "nasnet_mobile", *options, "--output", output))
    artifact = artifact_folder(output, "nasnet_mobile", "classification", 3)
    facts, arrays = _read("hub_module_v2", environments.current(), artifact, tmp_path / "new", 224, "default")
    assert facts["variables"] == len(variables(model("nasnet_mobile"), "classification"))
    assert arrays["load/default/nasnet_mobile/Cell_11"].shape == (4, 7, 7, 1056)
    described = json.loads(succeeded(cli("inspect", artifact, "--json")).stdout)
    assert described["format"] == "hub"
    assert described["oldest_tensorflow"] == "1.15"
    assert described["tag_sets"] == [[], ["train"]]
    assert described["variables"]["parameters"] == 5_327_773
    assert described["variables"]["trainable"] == 742


def test_versions_that_cannot_be(cli: Command, tiny: Path, tiny_checkpoint: Path, tmp_path: Path) -> None:
    given = ("--checkpoint", tiny_checkpoint, "--output", tmp_path / "out")
    message = refusal(cli("build", tiny, "--format", "hub", "--version", 2, *given), 2)
    assert "has no version 2" in message
    assert "1 (hub), 3 (hub), 4 (saved_model_2), 5 (saved_model_2)" in message
    message = refusal(cli("build", tiny, "--version", 1, "--batch-norm-momentum", 0.9, *given), 2)
    assert "0.9997" in message
    assert not (tmp_path / "out").exists()


def test_default_momentum_can_be_chosen(cli: Command, tiny: Path, tiny_checkpoint: Path, tmp_path: Path) -> None:
    """Verification, which is part of the build, checks that it is the one in force."""
    given = ("--checkpoint", tiny_checkpoint, "--output", tmp_path, "--task", "feature_vector")
    result = succeeded(cli("build", tiny, "-v", "--format", "hub", "--batch-norm-momentum", 0.9, *given))
    assert "moving averages at default momentum 0.9," in result.stderr
    metadata = artifact_folder(tmp_path, "tiny_nasnet", "feature_vector", 3) / "nasexport.json"
    assert yaml.safe_load(metadata.read_text(encoding="utf-8"))["options"] == {"batch_norm_momentum": 0.9}
