"""`nasexport inspect` of checkpoints: what their index says, read without TensorFlow."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from exporter.checkpoint.names import AVERAGE
from exporter.models.config import model
from exporter.models.variables import variables
from tests.support import bundles
from tests.support.command import Command, refusal, succeeded

KERNEL = "cell_0/1x1/weights"


def _facts(cli: Command, path: Path, *options: object) -> dict[str, Any]:
    return json.loads(succeeded(cli("inspect", path, "--json", *options)).stdout)


def test_a_checkpoint_is_described(cli: Command, tiny: Path, tiny_checkpoint: Path) -> None:
    facts = _facts(cli, tiny_checkpoint, "--model", tiny)
    tensors = bundles.read(tiny_checkpoint)
    marker = json.loads(tensors.pop("nasexport/synthetic"))
    files = [tiny_checkpoint.with_name("model.ckpt.index"), bundles.data_file(tiny_checkpoint)]
    assert (facts["path"], facts["format"], facts["object_based"]) == (str(tiny_checkpoint), "checkpoint", False)
    assert facts["files"] == {file.name: file.stat().st_size for file in files}
    assert facts["values"] == sum(value.size for value in tensors.values())
    assert facts["variables"] == [
        {"name": name, "dtype": value.dtype.name, "shape": list(value.shape)} for name, value in sorted(tensors.items())
    ]
    (network,) = facts["networks"]
    assert (network["model"], network["tasks"]) == ("tiny_nasnet", ["classification", "feature_vector"])
    assert (network["layout"], network["scope"], network["averages"]) == ("plain", "", 0)
    assert network["variables"] == len(variables(model(str(tiny)), "classification"))
    assert not any(network["left_out"].values())
    assert network["synthetic"] == marker

    text = succeeded(cli("inspect", tiny_checkpoint, "--model", tiny)).stdout
    for line in (
        f"{tiny_checkpoint}\n",
        f"  variables    {len(tensors)}; {facts['values']:,} values\n",
        "  network      tiny_nasnet: classification, feature_vector\n",
        f"  layout       plain, 0 of {network['variables']} variables from averages\n",
        "  left out     nothing\n",
        "SYNTHETIC checkpoint (layout plain, model tiny_nasnet, seed 0), not published weights",
    ):
        assert line in text


def test_every_path_that_means_a_checkpoint_is_taken(cli: Command, tiny: Path, tiny_checkpoint: Path) -> None:
    expected = _facts(cli, tiny_checkpoint, "--model", tiny)
    index = tiny_checkpoint.with_name("model.ckpt.index")
    for path in (tiny_checkpoint.parent, index, bundles.data_file(tiny_checkpoint)):
        assert _facts(cli, path, "--model", tiny) == {**expected, "path": str(path)}


def test_what_training_leaves_is_counted(cli: Command, tiny: Path, tiny_checkpoint: Path, tmp_path: Path) -> None:
    """Below a scope, with averages, a part missing, and what nothing is known of."""
    tensors = bundles.read(tiny_checkpoint)
    del tensors["nasexport/synthetic"], tensors["final_layer/FC/biases"]
    more = {KERNEL + AVERAGE: tensors[KERNEL], f"{KERNEL}/Momentum": tensors[KERNEL], "mys\x1btery": np.ones(3)}
    prefix = bundles.write(
        tmp_path / "model.ckpt", {f"module/{name}": value for name, value in (tensors | more).items()}
    )
    (network,) = _facts(cli, prefix, "--model", tiny)["networks"]
    assert (network["tasks"], network["scope"], network["averages"]) == (["feature_vector"], "module/", 1)
    assert (network["left_out"]["slots"], network["left_out"]["last_values"]) == (1, 1)
    assert network["unexpected"] == ["module/mys\x1btery"]
    assert network["synthetic"] == {"seed": 0}  # as the values tell
    text = succeeded(cli("inspect", prefix, "--model", tiny)).stdout
    assert "  network      tiny_nasnet below module/: feature_vector\n" in text
    assert "  left out     last values 1, slots 1, unknown 1\n" in text


@pytest.mark.parametrize("format_", ["V1", "object-based"])
def test_other_formats_are_described_as_well(cli: Command, tmp_path: Path, format_: str) -> None:
    value = np.ones((3, 4), np.float32)
    if format_ == "V1":
        prefix = tmp_path / "model.ckpt"
        tf.raw_ops.Save(filename=str(prefix), tensor_names=["dense/kernel"], data=[tf.constant(value)])
    else:
        made = tf.train.Checkpoint(layer=tf.Variable(value, name="dense/kernel"))
        prefix = Path(made.write(str(tmp_path / "model.ckpt")))
    facts = _facts(cli, prefix)
    assert facts["object_based"] == (format_ == "object-based")
    held = [each for each in facts["variables"] if each["name"] != "save_counter"]
    assert held == [{"name": "dense/kernel", "dtype": "float32", "shape": [3, 4]}]
    assert (facts["networks"], facts["problem"]) == ([], None)
    assert "none that nasexport knows" in succeeded(cli("inspect", prefix)).stdout


def test_it_says_why_a_checkpoint_is_none_of_a_network(cli: Command, tiny_checkpoint: Path) -> None:
    facts = _facts(cli, tiny_checkpoint, "--model", "nasnet_mobile")
    assert facts["networks"] == [] and "of nasnet_mobile" in facts["problem"]
    assert facts["problem"] in succeeded(cli("inspect", tiny_checkpoint, "--model", "nasnet_mobile")).stdout


def test_what_is_damaged_or_something_else_is_refused(
    cli: Command, tiny: Path, tiny_checkpoint: Path, tiny_artifacts: Path, tmp_path: Path
) -> None:
    content = tiny_checkpoint.with_name("model.ckpt.index").read_bytes()
    (tmp_path / "model.ckpt.index").write_bytes(content[:50] + b"x" + content[51:])
    assert "no data file" in refusal(cli("inspect", tmp_path / "model.ckpt"), status=1)
    (tmp_path / "model.ckpt.data-00000-of-00001").write_bytes(bundles.data_file(tiny_checkpoint).read_bytes())
    message = refusal(cli("inspect", tmp_path), status=1)
    assert f"{tmp_path}: " in message and "damaged or cut short" in message
    artifact = next(tiny_artifacts.rglob("saved_model.pb")).parent
    result = cli("inspect", artifact, "--model", tiny)
    assert result.returncode == 2 and "--model can be used with a checkpoint only" in result.stderr
