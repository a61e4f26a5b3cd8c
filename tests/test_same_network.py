"""What runs once for two artifacts is what they have in common, and nothing else."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.same_network import tensor_keys
from tests import bundles
from tests.command import Command, artifact_folder

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


def _epsilon(node: Any) -> None:
    node.attr["epsilon"].f *= 2


def _without_tags(meta_graph: Any) -> bool:
    return not meta_graph.meta_info_def.tags


@pytest.mark.parametrize(
    ("where", "check"),
    [
        (_without_tags, "outputs of {} default, relative difference"),
        (lambda meta_graph: not _without_tags(meta_graph), "outputs of {train} default, relative difference"),
    ],
    ids=["inference", "training"],
)
def test_a_module_that_follows_a_good_one_is_not_taken_for_it(
    cli: Command,
    hub_modules: Path,
    tiny_checkpoint: Path,
    tmp_path: Path,
    where: Callable[[Any], bool],
    check: str,
) -> None:
    first, third = (artifact_folder(hub_modules, "tiny_nasnet", "feature_vector", version) for version in (1, 3))
    shutil.copytree(third, tmp_path / "changed")
    with bundles.edited(tmp_path / "changed") as saved_model:
        (meta_graph,) = filter(where, saved_model.meta_graphs)
        _epsilon(next(node for node in meta_graph.graph_def.node if node.op == "FusedBatchNormV3"))
    result = cli("verify", first, third, tmp_path / "changed", "--checkpoint", tiny_checkpoint, "--json")
    good, same, changed = json.loads(result.stdout)
    assert good["passed"]
    assert same["passed"]
    alone = json.loads(cli("verify", third, "--checkpoint", tiny_checkpoint, "--json").stdout)
    assert same["checks"] == alone[0]["checks"]
    failed = {failed["name"] for failed in changed["checks"] if not failed["passed"]}
    assert check in failed
    # What was not changed is right.
    other = check.replace("{}", "{train}") if "{}" in check else check.replace("{train}", "{}")
    assert other not in failed
