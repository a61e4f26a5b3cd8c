"""What moves averages in training, run by itself, moves them as a whole step does."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.probe.eager import GraphOnlyError
from exporter.probe.updates import Updates, assigning

v1 = tf.compat.v1
_raw = tf.raw_ops

_IMAGES = np.linspace(-1, 3, 2 * 4 * 4 * 3, dtype=np.float32).reshape(2, 4, 4, 3)
_MOMENTUM = 0.75
#: How an average may be moved: the operation, from its variable, its value, the statistic of the batch, the momentum.
MOVES: dict[str, Callable[..., Any]] = {
    "subtracted": lambda held, old, batch, momentum: _raw.AssignSubVariableOp(
        resource=held.handle, value=(old - batch) * (1.0 - momentum)
    ),
    "added": lambda held, old, batch, momentum: _raw.AssignAddVariableOp(
        resource=held.handle, value=(batch - old) * (1.0 - momentum)
    ),
    "assigned": lambda held, old, batch, momentum: _raw.AssignVariableOp(
        resource=held.handle, value=old * momentum + batch * (1.0 - momentum)
    ),
}


def _network(moves: list[str], change: Callable[..., Any] = lambda old, batch, net: batch) -> tuple[Any, list[Any]]:
    """A graph of a batch norm for every two ``moves``, with the operations that move its mean and its variance.

    Args:
        change: what is taken for the statistic of the batch.
    """
    with tf.Graph().as_default() as graph:
        net = v1.placeholder(tf.float32, _IMAGES.shape, name="images")
        momentum = v1.placeholder_with_default(tf.constant(0.9), [], name="momentum")
        operations = []
        for number in range(len(moves) // 2):
            normalized = _raw.FusedBatchNormV3(
                x=net, scale=tf.ones(3), offset=tf.fill([3], 0.5), mean=[], variance=[], epsilon=1e-3, is_training=True
            )
            for name, batch in (("mean", normalized.batch_mean), ("variance", normalized.batch_variance)):
                held = v1.get_variable(f"{number}/{name}", initializer=tf.fill([3], 0.25), use_resource=True)
                move = MOVES[moves[2 * number + (name == "variance")]]
                old = held.read_value()
                operations.append(move(held, old, change(old, batch, net), momentum))
            net = tf.nn.relu(normalized.y) * 1.5
    return graph, operations


def _updates(graph: Any, operations: list[Any]) -> Updates:
    variables = {held.op.name: held.op.name for held in graph.get_collection(v1.GraphKeys.GLOBAL_VARIABLES)}
    return Updates(graph.as_graph_def(), [op.name for op in operations], variables, ["momentum"])


@settings(max_examples=20, deadline=None)
@given(st.lists(st.sampled_from(list(MOVES)), min_size=2, max_size=6), st.floats(0, 1, width=32))
def test_they_move_averages_as_a_step_does(moves: list[str], momentum: float) -> None:
    graph, operations = _network(moves)
    updates = _updates(graph, operations)
    with v1.Session(graph=graph) as session:
        held = {variable.op.name: variable for variable in graph.get_collection(v1.GraphKeys.GLOBAL_VARIABLES)}
        session.run([variable.initializer for variable in held.values()])
        feed = {"images:0": _IMAGES, "momentum:0": _MOMENTUM}
        batch, _ = session.run([updates.statistics, operations], feed)
        between = session.run(held)
        session.run(operations, feed | {"momentum:0": momentum})
        wanted = session.run({name: held[name] for name in updates.statistics})
    given_values = {name: tf.constant(value) for name, value in between.items()} | {"momentum": tf.constant(momentum)}
    found = updates.moved(given_values, batch)
    assert found.keys() == wanted.keys() and len(found) == 2 * (len(moves) // 2)
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda old, batch, net: batch + tf.reduce_mean(net), "images is not given"),
        (lambda old, batch, net: old, "depends on 0 statistics"),
    ],
    ids=["more", "nothing"],
)
def test_what_depends_on_more_is_left_to_a_whole_step(change: Callable[..., Any], told: str) -> None:
    with pytest.raises(GraphOnlyError, match=told):
        _updates(*_network(["added", "assigned"], change))


def test_two_averages_of_one_statistic_are_left_to_a_whole_step() -> None:
    shared: list[Any] = []

    def first(old: Any, batch: Any, net: Any) -> Any:
        shared.append(batch)
        return shared[0]

    with pytest.raises(GraphOnlyError, match="towards the same"):
        _updates(*_network(["added", "added"], first))


def test_what_follows_a_batch_norm_in_training_needs_the_network() -> None:
    with pytest.raises(GraphOnlyError, match="what a batch norm gives"):
        _updates(*_network(["added"] * 4, lambda old, batch, net: batch + tf.reduce_mean(net)))


def test_only_reading_a_variable_moves_nothing() -> None:
    graph, operations = _network(["subtracted", "assigned"])
    variables = {held.op.name: held.op.name for held in graph.get_collection(v1.GraphKeys.GLOBAL_VARIABLES)}
    initialized = {held.initializer.name for held in graph.get_collection(v1.GraphKeys.GLOBAL_VARIABLES)}
    found = set(assigning(graph.as_graph_def(), variables)) - initialized
    assert {op.name for op in operations} == {name for name in found if "Initialized" not in name}
