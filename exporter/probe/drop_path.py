"""Finds the random decisions of a training graph, measures how often they keep, and can make them keep everything.

Drop path and dropout draw a random number for each thing that may be dropped, and turn it into 0 or 1 by comparing it
with the probability to keep. To find a decision in a graph of any writer, a random number is followed through all
operations whose other inputs are constants; the last of them is the decision.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from exporter.probe.jobs import DROPOUT
from exporter.probe.observations import RandomDecision

v1 = tf.compat.v1

#: How many numbers of each decision are compared with those of others.
_COMPARED = 4
#: The end of the name of what stands in for a draw.
_KEPT = "/nasexport_kept"
#: A combination's branch, wherever its scope begins: ``cell_3/comb_iter_0/left``.
_BRANCH = re.compile(r"(?:^|/)((?:cell_stem|reduction_cell|cell)_\d+/comb_iter_\d+/(?:left|right))/")


@dataclass(frozen=True)
class Site:
    """One decision: ``name`` is its branch (``cell_3/comb_iter_0/left``) or "dropout".

    ``draw`` and ``decision`` are operations; ``shape`` is how many numbers it draws, as far as the graph tells.
    """

    name: str
    draw: str
    decision: str
    shape: str


def is_draw(node: Any) -> bool:
    """Whether a NodeDef draws uniform random numbers."""
    return node.op.startswith(("RandomUniform", "StatelessRandomUniform"))


def _shape_type(node: Any) -> int:
    # Stateless draws have a default, which is not written down.
    return node.attr["T"].type or tf.int32.as_datatype_enum


def sites(graph: tf.Graph) -> list[Site]:
    """The decisions of a graph, in its order, whether `keep_all` has changed it or not."""
    return [_site(op) for op in graph.get_operations() if is_draw(op.node_def)]


def _site(draw: Any) -> Site:
    decision = _stand_in(draw)
    known = {decision.outputs[0].ref()}
    while True:
        following = [op for op in decision.outputs[0].consumers() if _joined_by_constants(op, known)]
        if not following:
            break
        decision = following[0]
        known.add(decision.outputs[0].ref())
    match = _BRANCH.search(draw.name)
    return Site(match[1] if match else DROPOUT, draw.name, decision.name, str(draw.outputs[0].shape))


def _stand_in(draw: Any) -> Any:
    """What gives its numbers to others: itself, or what `keep_all` put there."""
    try:
        return draw.graph.get_operation_by_name(draw.name + _KEPT)
    except KeyError:
        return draw


def _joined_by_constants(op: Any, known: set[Any]) -> bool:
    return len(op.outputs) == 1 and all(
        tensor.ref() in known or tf.get_static_value(tensor) is not None for tensor in op.inputs
    )


def draw(graph: tf.Graph, count: int) -> list[RandomDecision]:
    """Draws ``count`` numbers for each decision of a graph, in its order; the network itself is not run.

    The draws' own operations and those that follow them run, with another shape: the former to see whether a decision
    repeats numbers that it, or one before it, has given already (in the same run, the one before, or another session),
    the latter on uniform numbers that are the same each time.
    """
    found = sites(graph)
    definition = graph.as_graph_def()
    shape = definition.node.add(name="nasexport_shape", op="Const")
    nodes = {node.name: node for node in definition.node}
    for node in definition.node:
        if is_draw(node):
            shape.attr["dtype"].type = _shape_type(node)
            node.input[0] = shape.name
            # The shape that was inferred is no longer right.
            node.attr.pop("_output_shapes", None)
        elif node.name.endswith(_KEPT):
            node.op, node.input[:] = "Identity", [node.name.removesuffix(_KEPT)]
            node.ClearField("attr")
            node.attr["T"].type = tf.float32.as_datatype_enum
    if not found:
        return []
    dtype = tf.as_dtype(shape.attr["dtype"].type)
    shape.attr["value"].tensor.CopyFrom(tf.make_tensor_proto([count], dtype))
    for name in _followers(graph, found):
        nodes[name].attr.pop("_output_shapes", None)
    part = v1.graph_util.extract_sub_graph(definition, [site.decision for site in found])
    with tf.Graph().as_default() as alone:
        tf.import_graph_def(part, name="")
        decisions = [tf.cast(alone.get_tensor_by_name(f"{site.decision}:0"), tf.float32) for site in found]
        shares = [tf.reduce_mean(decision) for decision in decisions]
        numbers = [alone.get_tensor_by_name(f"{site.draw}:0") for site in found]
        few = {f"{shape.name}:0": [_COMPARED]}
        with v1.Session(graph=alone) as session:
            first, again = session.run(numbers, few), session.run(numbers, few)
            # Numbers of our own: the same artifact gets the same verdict, to the last digit, every time.
            random = np.random.default_rng(0)
            kept = session.run(shares, {f"{site.draw}:0": random.random(count, np.float32) for site in found})
        with v1.Session(graph=alone) as session:
            elsewhere = session.run(numbers, few)
    repeats = [False] * len(found)
    known: set[bytes] = set()
    for run in (first, again, elsewhere):
        for index, row in enumerate(run):
            repeats[index] |= row.tobytes() in known
            known.add(row.tobytes())
    return [
        RandomDecision(site.name, site.shape, float(share), repeated)
        for site, share, repeated in zip(found, kept, repeats, strict=True)
    ]


def _followers(graph: tf.Graph, found: Iterable[Site]) -> set[str]:
    """The names of the operations between each draw, or what stands in for it, and its decision, both included."""
    names = set()
    for site in found:
        waiting = [graph.get_operation_by_name(site.decision)]
        while waiting:
            op = waiting.pop()
            names.add(op.name)
            if op.name not in (site.draw, site.draw + _KEPT):
                waiting += [tensor.op for tensor in op.inputs if tf.get_static_value(tensor) is None]
    return names


def keep_all(graph_or_functions: Iterable[Any], in_function: bool) -> None:
    """Puts a one in the place of every random number of some NodeDefs, so that all is kept, rescaled.

    What draws them stays, and nothing takes its numbers.

    Args:
        graph_or_functions: graphs (``GraphDef``) or functions (``FunctionDef``), which are changed.
        in_function: whether they are functions, where nodes name their inputs in another way.
    """
    for holder in graph_or_functions:
        nodes = holder.node_def if in_function else holder.node
        drawing = [node for node in nodes if is_draw(node)]
        if not drawing:
            continue
        output = ":output:0" if in_function else ""
        instead: dict[str, str] = {}
        for node in drawing:
            kept = f"{node.name}{_KEPT}{output}"
            instead |= {f"{node.name}{output}": kept} if in_function else {node.name: kept, f"{node.name}:0": kept}
        for node in nodes:
            node.input[:] = [instead.get(name, name) for name in node.input]
        if in_function:
            for name, value in holder.ret.items():
                holder.ret[name] = instead.get(value, value)
        one = nodes.add(name="nasexport_one", op="Const")
        one.attr["dtype"].type = tf.float32.as_datatype_enum
        one.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(1.0))
        for node in drawing:
            stand_in = nodes.add(name=node.name + _KEPT, op="Fill", input=[node.input[0], one.name + output])
            stand_in.attr["T"].type = tf.float32.as_datatype_enum
            stand_in.attr["index_type"].type = _shape_type(node)
