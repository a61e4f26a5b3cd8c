"""Checkpoints of every layout end in the same artifact; those that are not right end in an error and nothing else."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exporter.checkpoint.names import AVERAGE, MARKER, map_names
from exporter.errors import CheckpointError
from exporter.models.config import model
from exporter.models.variables import all_variables, variables
from tests.support import bundles
from tests.support.command import Command, artifact_folder, files_below, refusal, succeeded

Tensors = dict[str, Any]
KERNEL = "cell_0/1x1/weights"
STATISTIC = "cell_0/beginning_bn/moving_variance"


@pytest.fixture(scope="module")
def tensors(tiny_checkpoint: Path) -> Tensors:
    return bundles.read(tiny_checkpoint)


def _metadata(artifact: Path) -> dict[str, Any]:
    return json.loads((artifact / "nasexport.json").read_text(encoding="utf-8"))


def _built(cli: Command, tiny: Path, checkpoint: Path, output: Path) -> tuple[Path, str]:
    """A feature vector built without verification, and what standard error said."""
    options = ("--task", "feature_vector", "--no-verify", "--checkpoint", checkpoint, "--output", output)
    result = succeeded(cli("build", tiny, *options))
    return artifact_folder(output, "tiny_nasnet", "feature_vector", 4), result.stderr


@pytest.mark.parametrize(("layout", "averages"), [("averages", 323), ("training", 489)])
def test_every_layout_gives_the_same_artifact(
    cli: Command, tiny: Path, tiny_artifacts: Path, tmp_path: Path, layout: str, averages: int
) -> None:
    prefix = tmp_path / layout / "model.ckpt"
    succeeded(cli("synth", tiny, "--layout", layout, "--output", prefix))
    held = bundles.read(prefix)
    if layout == "training":
        # What is exported must be the average: the plain value beside it is another one.
        assert (held[KERNEL] != held[KERNEL + AVERAGE]).any()
        assert {"global_step", f"{KERNEL}/RMSProp", f"{KERNEL}/RMSProp_1", "aux_1/aux_logits/FC/weights"} <= set(held)
    else:
        assert KERNEL not in held and STATISTIC in held
    artifact, said = _built(cli, tiny, prefix, tmp_path / "out")
    assert f"{layout} layout" in said
    assert "warning" not in said
    facts = _metadata(artifact)["source"]
    assert (facts["layout"], facts["variables_from_averages"]) == (layout, averages)
    assert facts["synthetic"] == {"layout": layout, "model": "tiny_nasnet", "seed": 0}

    plain = artifact_folder(tiny_artifacts, "tiny_nasnet", "feature_vector", 4)
    assert (_metadata(plain)["source"]["layout"], _metadata(plain)["source"]["variables_from_averages"]) == ("plain", 0)
    expected, found = bundles.values_of(plain), bundles.values_of(artifact)
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert found[name].tobytes() == value.tobytes(), name


def test_an_artifact_holds_the_values_of_the_checkpoint(tiny: Path, tiny_artifacts: Path, tensors: Tensors) -> None:
    specs = variables(model(str(tiny)), "classification")
    for version in (4, 5):
        values = bundles.values_of(artifact_folder(tiny_artifacts, "tiny_nasnet", "classification", version))
        assert list(values) == [spec.name for spec in specs]
        for spec in specs:
            assert values[spec.name].tobytes() == tensors[spec.name].tobytes(), spec.name


def test_unexpected_variables_are_left_out_with_a_warning(
    cli: Command, tiny: Path, tmp_path: Path, tensors: Tensors
) -> None:
    prefix = bundles.write(tmp_path / "model.ckpt", {**tensors, "beta1_power": np.float32(0.9), "mystery": np.ones(3)})
    artifact, said = _built(cli, tiny, prefix, tmp_path / "out")
    assert "nasexport: warning: model.ckpt holds 2 variables that the model does not know" in said
    assert "beta1_power, mystery" in said
    assert not {"beta1_power", "mystery"} & set(bundles.values_of(artifact))


def _without(tensors: Tensors, name: str) -> Tensors:
    return {key: value for key, value in tensors.items() if key != name}


def _with_one(tensors: Tensors, name: str, number: float) -> Tensors:
    value = tensors[name].copy()
    value.flat[value.size // 2] = number
    return {**tensors, name: value}


#: What is wrong with a checkpoint, and what the message must say of it.
WRONG: dict[str, tuple[Callable[[Tensors], Tensors], tuple[str, ...]]] = {
    "missing": (lambda held: _without(held, KERNEL), (KERNEL, "lacks")),
    "missing classifier": (lambda held: _without(held, "final_layer/FC/biases"), ("final_layer/FC/biases", "lacks")),
    "other shape": (
        lambda held: {**held, KERNEL: np.ones((1, 1, 7, 3), np.float32)},
        (KERNEL, "[1, 1, 7, 3]", "needs"),
    ),
    "other type": (lambda held: {**held, KERNEL: held[KERNEL].astype(np.float64)}, (KERNEL, "float64", "float32")),
    "half precision": (lambda held: {**held, KERNEL: held[KERNEL].astype(np.float16)}, (KERNEL, "float16", "float32")),
    "not a number": (lambda held: _with_one(held, KERNEL, np.nan), (KERNEL, "1 values", "not finite")),
    "infinite": (lambda held: _with_one(held, STATISTIC, -np.inf), (STATISTIC, "not finite")),
    "average not a number": (
        lambda held: {**held, KERNEL + AVERAGE: np.full_like(held[KERNEL], np.nan)},
        (KERNEL + AVERAGE, "not finite"),
    ),
    "nothing": (lambda held: {"nothing": np.zeros(3)}, ("lacks conv0/weights", "no model that nasexport knows")),
    "damaged marker": (lambda held: {**held, MARKER: np.array(b"{not JSON")}, (MARKER,)),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_checkpoint_is_refused(own_cli: Command, tiny: Path, tensors: Tensors, wrong: str) -> None:
    change, said = WRONG[wrong]
    prefix = bundles.write(own_cli.folder / "checkpoint" / "model.ckpt", change(tensors))
    message = refusal(own_cli("build", tiny, "--checkpoint", prefix, "--output", "out"))
    for text in said:
        assert text in message
    assert files_below(own_cli.cwd) == []


@pytest.mark.parametrize("damage", ["cut", "empty", "flipped"])
@pytest.mark.parametrize("suffix", [".data-00000-of-00001", ".index"])
def test_a_damaged_checkpoint_is_refused(
    own_cli: Command, tiny: Path, tiny_checkpoint: Path, tensors: Tensors, suffix: str, damage: str
) -> None:
    folder = own_cli.folder / "checkpoint"
    shutil.copytree(tiny_checkpoint.parent, folder)
    file = folder / f"model.ckpt{suffix}"
    content = bytearray(file.read_bytes())
    # What nobody asks for (the auxiliary head) may be damaged, so the bit is one of a kernel that is exported.
    position = len(content) // 2 if suffix == ".index" else content.index(tensors[KERNEL].tobytes())
    content[position] ^= 0x10
    file.write_bytes({"cut": file.read_bytes()[:position], "empty": b"", "flipped": bytes(content)}[damage])
    message = refusal(own_cli("build", tiny, "--checkpoint", folder, "--no-verify", "--output", "out"))
    assert "model.ckpt" in message
    assert "damaged or cut short" in message
    assert files_below(own_cli.cwd) == []


@pytest.mark.full
def test_another_models_checkpoint_is_recognised(own_cli: Command) -> None:
    succeeded(own_cli("synth", "pnasnet_mobile", "--output", "pnasnet/model.ckpt"))
    message = refusal(own_cli("build", "nasnet_mobile", "--checkpoint", "pnasnet", "--output", "out"))
    assert "looks like pnasnet_mobile's checkpoint" in message
    assert "nasnet_mobile" in message.replace("pnasnet_mobile", "")
    assert files_below(own_cli.cwd / "out") == []


def _shapes(name: str, suffix: str = "") -> dict[str, tuple[int, ...]]:
    return {spec.name + suffix: spec.shape for spec in all_variables(model(name))}


@pytest.mark.parametrize("held", ["nasnet_mobile", "nasnet_large", "pnasnet_large", "pnasnet_mobile"])
@pytest.mark.parametrize("suffix", ["", AVERAGE])
def test_each_model_is_recognised_by_its_variables(held: str, suffix: str) -> None:
    wanted = "nasnet_large" if held == "nasnet_mobile" else "nasnet_mobile"
    shapes = {name: shape for name, shape in _shapes(held, suffix).items() if not name.startswith("final_layer/")}
    with pytest.raises(CheckpointError) as caught:
        map_names(model(wanted), all_variables(model(wanted)), shapes)
    assert f"looks like {held}'s checkpoint" in str(caught.value)


def test_averages_win_one_by_one() -> None:
    config = model("nasnet_mobile")
    specs = variables(config, "classification")
    shapes = {**_shapes("nasnet_mobile"), KERNEL + AVERAGE: (1, 1, 264, 44), STATISTIC + AVERAGE: (44,)}
    mapping = map_names(config, specs, {**shapes, f"{KERNEL}/Momentum": (1,), "global_step": (), "other": ()})
    assert mapping.names[KERNEL] == KERNEL + AVERAGE
    assert mapping.names[STATISTIC] == STATISTIC + AVERAGE
    assert mapping.names["conv0/weights"] == "conv0/weights"
    assert (mapping.layout, mapping.averages, mapping.averaged_statistics) == ("training", 2, 1)
    assert mapping.unaveraged == sum(spec.trainable for spec in specs) - 1
    assert mapping.unexpected == ("other",)
    # The auxiliary head's twelve, two plain values with an average, one slot, one counter.
    assert mapping.left_out == 12 + 2 + 1 + 1
