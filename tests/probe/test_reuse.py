"""What runs once for two artifacts is what they have in common, and nothing else."""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.probe.reuse import tensor_keys
from tests.support import bundles
from tests.support.command import Command, artifact_folder, succeeded
from tests.support.shared import Store

v1 = tf.compat.v1


def _graph(scope: str = "", *, factor: float = 2.0, shape: tuple[int, ...] = (3,), swapped: bool = False) -> Any:
    """A GraphDef whose output depends on a placeholder, a variable and a constant; beside it, what it does not use."""
    with tf.Graph().as_default() as graph:
        images = v1.placeholder(tf.float32, shape, name="images")
        held = v1.get_variable("weights", shape, use_resource=True)
        with tf.name_scope(scope or "network"):
            product = tf.multiply(images, factor)
            parts = [product, held.read_value()]
            difference = tf.subtract(*reversed(parts) if swapped else parts)
        tf.identity(tf.reduce_sum(difference), name="output")
        tf.constant(1.0, name="apart")
    return graph.as_graph_def()


def _key(graph_def: Any) -> str:
    return tensor_keys(graph_def, ["output:0"])["output:0"]


def test_names_do_not_matter_and_what_is_computed_does() -> None:
    assert _key(_graph()) == _key(_graph("elsewhere"))
    others = [_graph(factor=3.0), _graph(shape=(4,)), _graph(swapped=True)]
    assert len({_key(_graph()), *map(_key, others)}) == 4


def test_outputs_of_one_operation_are_told_apart() -> None:
    with tf.Graph().as_default() as graph:
        tf.split(v1.placeholder(tf.float32, [2, 3], name="images"), 2, name="parts")
    keys = tensor_keys(graph.as_graph_def(), ["parts:0", "parts:1"])
    assert len(set(keys.values())) == 2


def test_another_variable_or_input_is_another_network() -> None:
    changed = _graph()
    for old, new in (("images", "pictures"), ("weights", "biases")):
        for node in changed.node:
            node.name = node.name.replace(old, new)
            node.input[:] = [name.replace(old, new) for name in node.input]
        assert _key(changed) != _key(_graph())
        changed = _graph()


def test_what_is_fed_is_known_by_what_it_is_fed_with() -> None:
    renamed = _graph()
    for node in renamed.node:
        node.name = node.name.replace("images", "pictures")
        node.input[:] = [name.replace("images", "pictures") for name in node.input]
    fed, elsewhere = (tensor_keys(renamed, ["output:0"], {f"{name}:0": "images"}) for name in ("pictures", "other"))
    assert fed == tensor_keys(_graph(), ["output:0"], {"images:0": "images"})
    assert fed != elsewhere


def test_a_loop_has_no_key() -> None:
    graph_def = _graph()
    by_name = {node.name: node for node in graph_def.node}
    by_name["network/Mul"].input.append("^output")
    assert tensor_keys(graph_def, ["output:0"]) == {}


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_whatever_is_changed_in_what_it_depends_on_changes_the_key(data: st.DataObject) -> None:
    graph_def = _graph()
    needed = v1.graph_util.extract_sub_graph(graph_def, ["output"])
    name = data.draw(st.sampled_from([node.name for node in needed.node]))
    node = next(node for node in graph_def.node if node.name == name)
    change = data.draw(st.sampled_from(["op", "attribute", "device", "input"]))
    if change == "op":
        node.op += "V9"
    elif change == "attribute":
        node.attr["another"].i = data.draw(st.integers(1, 9))
    elif change == "device":
        node.device = "/device:CPU:1"
    else:
        node.input.append("^apart")
    assert _key(graph_def) != _key(_graph())


def _epsilon(meta_graph: Any) -> None:
    next(node for node in meta_graph.graph_def.node if node.op == "FusedBatchNormV3").attr["epsilon"].f *= 2


def _updates(meta_graph: Any) -> list[Any]:
    nodes = {node.name: node for node in meta_graph.graph_def.node}
    return [nodes[name] for name in meta_graph.collection_def["update_ops"].node_list.value]


def _swapped_updates(meta_graph: Any) -> None:
    """The mean of the first batch norm moves as its variance does."""
    mean, variance = _updates(meta_graph)[:2]
    mean.input[1] = variance.input[1]


def _missing_update(meta_graph: Any) -> None:
    del meta_graph.collection_def["update_ops"].node_list.value[0]


def _other_default(meta_graph: Any) -> None:
    nodes = {node.name: node for node in meta_graph.graph_def.node}
    (momentum,) = (node for node in nodes.values() if node.op == "PlaceholderWithDefault")
    nodes[momentum.input[0]].attr["value"].tensor.float_val[:] = [0.9]


def _other_input(meta_graph: Any) -> None:
    """The images go where nothing comes from."""
    images = meta_graph.signature_def["default"].inputs["images"]
    meta_graph.graph_def.node.add(name="elsewhere", op="Placeholder").attr["dtype"].type = images.dtype
    images.name = "elsewhere:0"


@dataclass(frozen=True)
class Change:
    """What is changed in the MetaGraph with these tags, what check sees it, and one that has nothing to do with it."""

    make: Callable[[Any], None]
    tags: list[str]
    check: str
    other: str


_INFERENCE = "outputs of {} default, relative difference"
_TRAINING = "outputs of {train} default, relative difference"
_MOVED = "moving averages at momentum 0.75, relative difference"
_MOVED_BY_DEFAULT = "moving averages at default momentum 0.99, relative difference"
CHANGES = {
    "inference": Change(_epsilon, [], _INFERENCE, _TRAINING),
    "training": Change(_epsilon, ["train"], _TRAINING, _INFERENCE),
    "update": Change(_swapped_updates, ["train"], _MOVED, _TRAINING),
    "missing update": Change(_missing_update, ["train"], _MOVED, _TRAINING),
    "default momentum": Change(_other_default, ["train"], _MOVED_BY_DEFAULT, _MOVED),
    "input": Change(_other_input, ["train"], "loads and runs", _INFERENCE),
}
_TAKEN = "running the artifact, but not what ran before"


@pytest.fixture(scope="module")
def modules(hub_modules: Path) -> list[Path]:
    """In the order of a release: each has something in common with one before it, the last one everything."""
    return [
        artifact_folder(hub_modules, "tiny_nasnet", task, version)
        for task in ("classification", "feature_vector")
        for version in (1, 3)
    ]


@pytest.mark.long
def test_modules_share_what_they_have_in_common_across_tasks_and_versions(
    cli: Command, modules: list[Path], tiny_checkpoint: Path
) -> None:
    result = cli("verify", *modules, "--checkpoint", tiny_checkpoint, "--json")
    assert succeeded(result).stderr.count(_TAKEN) == 3
    together = json.loads(result.stdout)
    alone = cli("verify", modules[-1], "--checkpoint", tiny_checkpoint, "--json")
    assert _TAKEN not in succeeded(alone).stderr
    assert together[-1]["checks"] == json.loads(alone.stdout)[0]["checks"]


@pytest.fixture(scope="module")
def after_good_ones(
    cli: Command, modules: list[Path], tiny_checkpoint: Path, of_this_run: Store
) -> Mapping[str, dict[str, Any]]:
    """The report of each changed copy, by the name of the change: good modules come first, then all copies."""

    def make(folder: Path) -> None:
        for name, change in CHANGES.items():
            shutil.copytree(modules[-1], folder / name)
            with bundles.edited(folder / name) as saved_model:
                (meta_graph,) = (found for found in saved_model.meta_graphs if found.meta_info_def.tags == change.tags)
                change.make(meta_graph)
        copies = [folder / name for name in CHANGES]
        result = cli("verify", *modules, *copies, "--checkpoint", tiny_checkpoint, "--json")
        assert result.returncode == 1, result.stderr
        (folder / "reports.json").write_text(result.stdout, encoding="utf-8")

    reports = json.loads((of_this_run.made("changed_modules", make) / "reports.json").read_text(encoding="utf-8"))
    assert len(reports) == len(modules) + len(CHANGES)
    assert all(report["passed"] for report in reports[: len(modules)])
    return dict(zip(CHANGES, reports[len(modules) :], strict=True))


@pytest.mark.breaks
@pytest.mark.parametrize("name", CHANGES)
def test_a_module_that_follows_good_ones_is_not_taken_for_them(
    after_good_ones: Mapping[str, dict[str, Any]], name: str
) -> None:
    change, changed = CHANGES[name], after_good_ones[name]
    failed = {failed["name"] for failed in changed["checks"] if not failed["passed"]}
    assert change.check in failed
    # What was not changed is right.
    assert change.other not in failed
