"""Checkpoints of every layout end in the same artifact; those that are not right end in an error and nothing else."""

import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.checkpoint import source
from exporter.checkpoint.inventory import inventory
from exporter.checkpoint.jobs import InventoryRequest, LeftOut
from exporter.checkpoint.names import AVERAGE, MARKER, map_names
from exporter.checkpoint.stored import Stored
from exporter.errors import NOT_DONE, CheckpointError
from exporter.models.config import model
from exporter.models.variables import all_variables, variables
from tests.support import bundles
from tests.support.command import Command, artifact_folder, files_below, refusal, succeeded

Tensors = dict[str, Any]
KERNEL = "cell_0/1x1/weights"
STATISTIC = "cell_0/beginning_bn/moving_variance"
DATA = ".data-00000-of-00001"
SEPARABLE = "cell_0/comb_iter_0/left/separable_5x5_1"


@pytest.fixture(scope="module")
def tensors(reducing_checkpoint: Path) -> Tensors:
    return bundles.read(reducing_checkpoint)


def _metadata(artifact: Path) -> dict[str, Any]:
    return json.loads((artifact / "nasexport.json").read_text(encoding="utf-8"))


def _built(cli: Command, reducing: Path, checkpoint: Path, output: Path) -> tuple[Path, str]:
    """A feature vector built without verification, and what standard error said."""
    options = ("--task", "feature_vector", "--no-verify", "--checkpoint", checkpoint, "--output", output)
    result = succeeded(cli("build", reducing, "-v", *options))
    return artifact_folder(output, "reducing_nasnet", "feature_vector", 4), result.stderr


@pytest.mark.long
@pytest.mark.parametrize(("layout", "averages"), [("averages", 323), ("training", 489)])
def test_every_layout_gives_the_same_artifact(
    cli: Command, reducing: Path, reducing_artifacts: Path, tmp_path: Path, layout: str, averages: int
) -> None:
    prefix = tmp_path / layout / "model.ckpt"
    succeeded(cli("synth", reducing, "--layout", layout, "--output", prefix))
    held = bundles.read(prefix)
    if layout == "training":
        # What is exported must be the average: the plain value beside it is another one.
        assert (held[KERNEL] != held[KERNEL + AVERAGE]).any()
        assert {"global_step", f"{KERNEL}/RMSProp", f"{KERNEL}/RMSProp_1", "aux_1/aux_logits/FC/weights"} <= set(held)
    else:
        assert KERNEL not in held and STATISTIC in held
    artifact, said = _built(cli, reducing, prefix, tmp_path / "out")
    assert f"{layout} layout" in said
    assert "warning" not in said
    facts = _metadata(artifact)["source"]
    assert (facts["layout"], facts["variables_from_averages"]) == (layout, averages)
    assert facts["synthetic"] == {"layout": layout, "model": "reducing_nasnet", "seed": 0}

    plain = artifact_folder(reducing_artifacts, "reducing_nasnet", "feature_vector", 4)
    assert (_metadata(plain)["source"]["layout"], _metadata(plain)["source"]["variables_from_averages"]) == ("plain", 0)
    expected, found = bundles.values_of(plain), bundles.values_of(artifact)
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert found[name].tobytes() == value.tobytes(), name


def test_an_artifact_holds_the_values_of_the_checkpoint(
    reducing: Path, reducing_artifacts: Path, tensors: Tensors
) -> None:
    specs = variables(model(str(reducing)), "classification")
    for version in (4, 5):
        values = bundles.values_of(artifact_folder(reducing_artifacts, "reducing_nasnet", "classification", version))
        assert list(values) == [spec.name for spec in specs]
        for spec in specs:
            assert values[spec.name].tobytes() == tensors[spec.name].tobytes(), spec.name


def test_what_is_not_of_the_network_is_left_out_and_counted(
    cli: Command, reducing: Path, tmp_path: Path, tensors: Tensors
) -> None:
    """Training state in silence, what nothing is known of with a warning; names below a scope, as tensors' names."""
    more = {
        "beta1_power": np.float32(0.9),
        "global_step": np.int64(7),
        "iterator": tf.raw_ops.TensorListReserve(element_shape=[2], num_elements=3, element_dtype=tf.float32),
        f"{KERNEL}/Adam": tensors[KERNEL],
        f"{KERNEL}/Adafactor": tensors[KERNEL][0, 0, 0],
        f"{KERNEL}{AVERAGE}": tensors[KERNEL],
        "mystery": np.ones(3),
        "other": np.ones(4),
        "table": np.array([b"one", b"two"]),
    }
    named = {f"{name}:0" if name == MARKER else f"module/{name}:0": value for name, value in (tensors | more).items()}
    artifact, said = _built(cli, reducing, bundles.write(tmp_path / "model.ckpt", named), tmp_path / "out")
    assert "nasexport: warning: model.ckpt holds 3 variables that the model does not know" in said
    assert "module/mystery, module/other, module/table" in said
    assert "warning: model.ckpt has averages for some trained variables" in said
    assert said.count("warning") == 2
    assert not {"beta1_power", "mystery"} & set(bundles.values_of(artifact))
    facts = _metadata(artifact)["source"]
    counts = {"auxiliary_head": 12, "last_values": 1, "slots": 2, "counters": 3, "unknown": 3}
    assert (facts["scope"], facts["left_out"]) == ("module/", counts)
    assert facts["synthetic"] == {"layout": "plain", "model": "reducing_nasnet", "seed": 0}


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
    "biases that change the network": (
        lambda held: {**held, f"{SEPARABLE}/biases": np.ones(8, np.float32)},
        (f"{SEPARABLE}/biases", "reducing_nasnet", "another network"),
    ),
    "a cell too many": (
        lambda held: {**held, "cell_3/1x1/weights": held[KERNEL], "cell_3/1x1/biases": held[KERNEL]},
        ("cell_3/1x1/biases and 1 more", "another network"),
    ),
    "two networks": (
        lambda held: held | {f"teacher/{name}": value for name, value in held.items()},
        ("2 times", "at its root and below 'teacher/'"),
    ),
    "the same name twice": (
        lambda held: {**held, f"{KERNEL}:0": held[KERNEL]},
        (f"{KERNEL} 2 times", f"{KERNEL}:0"),
    ),
    "averages elsewhere": (
        lambda held: {**held, f"train/{KERNEL}{AVERAGE}": held[KERNEL]},
        (f"train/{KERNEL}{AVERAGE}", "below another scope"),
    ),
    "nothing": (lambda held: {"nothing": np.zeros(3)}, ("lacks conv0/weights", "no model that nasexport knows")),
    "damaged marker": (lambda held: {**held, MARKER: np.array(b"{not JSON")}, (MARKER,)),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_checkpoint_is_refused(own_cli: Command, reducing: Path, tensors: Tensors, wrong: str) -> None:
    change, said = WRONG[wrong]
    prefix = bundles.write(own_cli.folder / "checkpoint" / "model.ckpt", change(tensors))
    message = refusal(own_cli("build", reducing, "--checkpoint", prefix, "--output", "out"))
    for text in said:
        assert text in message
    assert files_below(own_cli.cwd) == []


@pytest.mark.parametrize("damage", ["cut", "empty", "flipped"])
@pytest.mark.parametrize(
    ("suffix", "damaged"), [(DATA, KERNEL), (DATA, "aux_1/aux_logits/FC/weights"), (".index", KERNEL)]
)
def test_a_damaged_checkpoint_is_refused(
    own_cli: Command,
    reducing: Path,
    reducing_checkpoint: Path,
    tensors: Tensors,
    suffix: str,
    damaged: str,
    damage: str,
) -> None:
    folder = own_cli.folder / "checkpoint"
    shutil.copytree(reducing_checkpoint.parent, folder)
    file = folder / f"model.ckpt{suffix}"
    content = bytearray(file.read_bytes())
    # What is not exported is damaged, too: a bit of the auxiliary head.
    position = len(content) // 2 if suffix == ".index" else content.index(tensors[damaged].tobytes())
    content[position] ^= 0x10
    file.write_bytes({"cut": file.read_bytes()[:position], "empty": b"", "flipped": bytes(content)}[damage])
    message = refusal(own_cli("build", reducing, "--checkpoint", folder, "--no-verify", "--output", "out"))
    assert "model.ckpt" in message
    assert "damaged or cut short" in message
    assert files_below(own_cli.cwd) == []


HEAD = "aux_1/aux_logits/FC/weights"


def test_an_inventory_counts_all_and_finds_no_fault_in_it(reducing: Path, tensors: Tensors, tmp_path: Path) -> None:
    more = {
        "iterator": tf.raw_ops.TensorListReserve(element_shape=[2], num_elements=3, element_dtype=tf.float32),
        "words": np.array([b"one", b"two"]),
        f"{HEAD}{AVERAGE}": tensors[HEAD],
        f"{KERNEL}/Momentum": tensors[KERNEL],
    }
    prefix = bundles.write(tmp_path / "model.ckpt", tensors | more)
    found = inventory(InventoryRequest(model(str(reducing)), prefix), lambda _: None)
    assert found.left_out == LeftOut(auxiliary_head=13, slots=1, counters=1, unknown=1)
    assert (found.variables, found.unexpected) == (len(tensors) - 1 + 4, ("words",))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({HEAD: np.ones((2, 3), np.float32)}, f"{HEAD} has shape"),
        ({HEAD + AVERAGE: np.ones((2, 3), np.float32)}, f"{HEAD}{AVERAGE} has shape"),
        ({HEAD: np.full((768, 11), np.nan, np.float32)}, "8448 values that are not finite"),
        (
            {f"{KERNEL}/Momentum": np.full(8, np.inf, np.float32)},
            f"{KERNEL}/Momentum holds 8 values that are not finite",
        ),
    ],
)
def test_an_inventory_minds_what_no_export_reads(
    reducing: Path, tensors: Tensors, tmp_path: Path, changes: Tensors, said: str
) -> None:
    prefix = bundles.write(tmp_path / "model.ckpt", tensors | changes)
    with pytest.raises(CheckpointError) as caught:
        inventory(InventoryRequest(model(str(reducing)), prefix), lambda _: None)
    assert said in str(caught.value)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes], Tensors]:
    """A checkpoint of a few values of each kind, its files, and what it holds."""
    tensors = {
        "conv0/weights": np.arange(54, dtype=np.float32).reshape(3, 3, 3, 2),
        "global_step": np.int64(7),
        "half": np.ones(3, np.float16),
        "names": np.array([b"one", b"", b"three" * 20]),
        "none": np.zeros((0, 3), np.float32),
        "aux_1/FC/weights": np.full((7, 5), 0.5, np.float64),
        "true": np.array([True, False]),
    }
    prefix = bundles.write(tmp_path_factory.mktemp("small") / "model.ckpt", tensors)
    return prefix, {file.name: file.read_bytes() for file in prefix.parent.iterdir()}, tensors


def test_a_shape_that_the_files_cannot_have_takes_no_memory(tmp_path: Path) -> None:
    prefix = bundles.write(tmp_path / "model.ckpt", {"large": np.zeros((1000, 1000), np.float32)})
    data = bundles.data_file(prefix)
    data.write_bytes(data.read_bytes()[:1000])
    with pytest.raises(CheckpointError) as caught:
        Stored(prefix)
    assert "'large' has the shape [1000, 1000], for which they are too small" in str(caught.value)


def test_what_the_system_refuses_is_not_called_damaged(tmp_path: Path) -> None:
    prefix = bundles.write(tmp_path / "model.ckpt", {"a": np.ones(3)})
    stored = Stored(prefix)
    bundles.data_file(prefix).unlink()
    with pytest.raises(CheckpointError, match=r"^model\.ckpt: a cannot be read: No such file or directory$") as caught:
        stored.read("a")
    assert caught.value.status == NOT_DONE


def _require_short(message: str) -> None:
    assert 1 <= len(message.splitlines()) <= 2 and len(message.encode()) < 1000


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_changed_byte_is_noticed_wherever_it_is(
    tmp_path_factory: pytest.TempPathFactory, small: tuple[Path, dict[str, bytes], Tensors], data: st.DataObject
) -> None:
    _, files, tensors = small
    name = data.draw(st.sampled_from(sorted(files)))
    position = data.draw(st.integers(0, len(files[name]) - 1))
    changed = bytearray(files[name])
    changed[position] ^= data.draw(st.integers(1, 255))
    folder = tmp_path_factory.mktemp("changed")
    for each, content in files.items():
        (folder / each).write_bytes(changed if each == name else content)
    try:
        stored = Stored(folder / "model.ckpt")
        found = {key: stored.read(key) for key in stored.keys}
    except CheckpointError as error:
        _require_short(str(error))
        return
    # Of the index, 13 bytes that no reader looks at come before the last block, and some at its end say where they are.
    assert name.endswith(".index") and len(changed) - position < 150
    assert found.keys() == tensors.keys()
    assert all(np.array_equal(found[key], value) for key, value in tensors.items())


names = st.text(st.sampled_from("ab[]{}*?\\ ~$%'\"é\n\x1b\u202e\udcff#:.-0"), min_size=1, max_size=8).filter(
    lambda name: name.strip(".") and not name.endswith(".index")
)


@settings(max_examples=100, deadline=None)
@given(folder=names, name=names)
def test_a_path_is_no_pattern(
    tmp_path_factory: pytest.TempPathFactory, small: tuple[Path, dict[str, bytes], Tensors], folder: str, name: str
) -> None:
    _, files, tensors = small
    place = tmp_path_factory.mktemp("paths") / folder
    place.mkdir()
    for each, content in files.items():
        (place / each.replace("model.ckpt", name)).write_bytes(content)
    with source.opened(place) as opened:
        assert opened.prefix == place / name
        stored = Stored(opened.prefix)
        assert all(np.array_equal(stored.read(key), value) for key, value in tensors.items())
        index = next(place.glob("*.index"))
        index.write_bytes(index.read_bytes()[:-9])
        with pytest.raises(CheckpointError) as caught:
            Stored(opened.prefix)
    assert name in str(caught.value) and "nasexport-" not in str(caught.value)


@pytest.mark.long
@pytest.mark.parametrize("format_", ["V1", "V1 in an archive", "object-based", "folder of patterns"])
def test_other_formats_and_places_give_the_same_values(
    own_cli: Command, reducing: Path, reducing_artifacts: Path, tensors: Tensors, format_: str
) -> None:
    artifact = artifact_folder(reducing_artifacts, "reducing_nasnet", "feature_vector", 4)
    folder = own_cli.cwd / "run [1] \\x*"
    folder.mkdir()
    prefix = folder / "mo[d]el.ckpt"
    if format_ == "object-based":
        prefix = artifact / "variables" / "variables"
    elif format_ == "folder of patterns":
        shutil.copytree(
            bundles.write(own_cli.folder / "made" / "model.ckpt", tensors).parent, folder, dirs_exist_ok=True
        )
        for file in list(folder.iterdir()):
            file.rename(folder / file.name.replace("model", "mo[d]el"))
    else:
        names = sorted(tensors)
        values = [tf.convert_to_tensor(tensors[name]) for name in names]
        tf.raw_ops.Save(filename=str(own_cli.folder / "model.ckpt"), tensor_names=names, data=values)
        (own_cli.folder / "model.ckpt").rename(prefix)
        if format_ == "V1 in an archive":
            with tarfile.open(own_cli.cwd / "old.tar.gz", "w:gz") as tar:
                tar.add(prefix, arcname="old.ckpt")
            prefix = own_cli.cwd / "old.tar.gz"
    built, said = _built(own_cli, reducing, prefix, own_cli.cwd / "out")
    assert "warning" not in said
    expected, found = bundles.values_of(artifact), bundles.values_of(built)
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[name], value) for name, value in expected.items())
    if format_ == "V1":  # TensorFlow's own Saver reads it, too
        record = ("reference", "record", reducing, "--output", "record.npz", "--checkpoint", prefix)
        assert succeeded(own_cli(*record)).stdout == "record.npz\n"


def test_an_object_based_checkpoint_of_another_network_is_named(own_cli: Command, reducing: Path) -> None:
    made = tf.train.Checkpoint(layer=tf.Variable(np.ones((3, 4), np.float32), name="dense/kernel"), step=tf.Variable(1))
    prefix = made.write(str(own_cli.folder / "model.ckpt"))
    message = refusal(own_cli("build", reducing, "--checkpoint", prefix))
    assert "lacks conv0/weights" in message and "object-based" in message and "dense/kernel" in message


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
    mapping = map_names(config, specs, {**shapes, f"{KERNEL}/Momentum": (1,), "global_step": (), "other": (3,)})
    assert mapping.names[KERNEL] == KERNEL + AVERAGE
    assert mapping.names[STATISTIC] == STATISTIC + AVERAGE
    assert mapping.names["conv0/weights"] == "conv0/weights"
    assert (mapping.layout, mapping.averages, mapping.averaged_statistics) == ("training", 2, 1)
    assert mapping.unaveraged == sum(spec.trainable for spec in specs) - 1
    assert mapping.unexpected == ("other",)
    # The auxiliary head's twelve, two plain values with an average, one slot, one counter.
    assert mapping.left_out == LeftOut(auxiliary_head=12, last_values=2, slots=1, counters=1, unknown=1)
    assert mapping.left_out.count == 12 + 2 + 1 + 1 + 1
