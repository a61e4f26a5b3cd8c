"""Runs a graph one operation after the other, each at once, so that a gradient tape can follow them.

TensorFlow adds the operations of gradients to a graph one by one, prepares all of them for a single run, and infers the
shapes of everything: for a network that is run once, that takes several times as long as to compute. The operations are
TensorFlow's own here, too, with the same kernels and the same registered gradients.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import tensorflow as tf
from tensorflow.python.eager import context, execute
from tensorflow.python.framework import op_def_registry

#: Operations that give the value of a variable whose value stands for it, or of a tensor as it is.
_PASSED_ON = frozenset({"ReadVariableOp"})
#: Attribute by which an operation's gradient may be another than the one that is registered for it.
_GRADIENT = "_gradient_op_type"


class GraphOnlyError(Exception):
    """There is something in the graph that cannot be run by itself: a call of a function, a loop, an order of steps."""


def run(graph_def: Any, outputs: Sequence[str], given: Mapping[str, Any]) -> list[Any]:
    """The values of tensors of a graph.

    Args:
        graph_def: a ``GraphDef``.
        outputs: names of tensors, as ``scope/operation:0``.
        given: by the name of a node, the value of its only output: of placeholders, and of variables, whose value is
            what operations that read them give. By the name of a tensor, as ``scope/operation:1``, the value of that
            alone.

    Raises:
        GraphOnlyError: they depend on something that can only be run as a part of its graph.
        tf.errors.OpError, TypeError, ValueError: an operation does not take what it is given.
    """
    nodes = {node.name: node for node in graph_def.node}
    order = _order(nodes, [_source(name, given) for name in outputs], given)
    # Nothing is held longer than it is needed: a tape holds what it needs itself.
    uses = Counter(_source(name, given) for node in order for name in node.input)
    uses.update(_source(name, given) for name in outputs)
    values: dict[str, Sequence[Any]] = {name: (value,) for name, value in given.items()}

    def taken(name: str) -> Any:
        source = _source(name, given)
        place = 0 if source == name else int(name.partition(":")[2])
        value = values[source][place]
        uses[source] -= 1
        if not uses[source] and source not in given:
            del values[source]
        return value

    for node in order:
        inputs = [taken(name) for name in node.input]
        values[node.name] = inputs if node.op in _PASSED_ON else _outputs(node, inputs)
    return [taken(name) for name in outputs]


def require_runnable(graph_def: Any, outputs: Sequence[str], given: Iterable[str]) -> None:
    """Raises GraphOnlyError where `run` would, for values of nodes and tensors with these names."""
    names = dict.fromkeys(given)
    _order({node.name: node for node in graph_def.node}, [_source(name, names) for name in outputs], names)


def _source(name: str, given: Mapping[str, Any]) -> str:
    """What gives a tensor: itself, or the node whose output it is."""
    return name if name in given else name.partition(":")[0]


def _order(nodes: Mapping[str, Any], ends: Sequence[str], given: Mapping[str, Any]) -> list[Any]:
    """What is to be run before ``ends`` and for them, those that are given apart; each after its inputs."""
    ordered: dict[str, Any] = {}
    begun: set[str] = set()
    waiting = list(ends)
    while waiting:
        name = waiting[-1]
        if name in ordered or name in given:
            waiting.pop()
            continue
        node = nodes[name]
        missing = [_source(each, given) for each in node.input]
        missing = [each for each in missing if each not in ordered and each not in given]
        if not missing:
            waiting.pop()
            ordered[name] = node
        elif name in begun:
            raise GraphOnlyError(f"{name} is in a loop")
        else:
            _require_alone(node)
            begun.add(name)
            waiting += missing
    for node in ordered.values():
        _require_alone(node)
    return list(ordered.values())


def _require_alone(node: Any) -> None:
    """Raises GraphOnlyError where to run an operation by itself would not be the same."""
    if any(name.startswith("^") for name in node.input):
        raise GraphOnlyError(f"{node.name} waits for others")
    if _GRADIENT in node.attr:
        raise GraphOnlyError(f"{node.name} has a gradient of its own")
    if any(value.HasField("func") or value.list.func for value in node.attr.values()) or not _definition(node.op):
        raise GraphOnlyError(f"{node.name} calls a function")
    if node.op in ("Placeholder", "PlaceholderV2"):
        raise GraphOnlyError(f"{node.name} is not given")


@cache
def _definition(op: str) -> Any:
    """The ``OpDef`` of a kind of operation; None where that is a function's name, or no operation at all."""
    return op_def_registry.get(op)


def _outputs(node: Any, inputs: Sequence[Any]) -> Sequence[Any]:
    """Runs one operation, as the functions of `tf.raw_ops` do: their arguments may have other names than inputs."""
    if node.op == "Const":
        return (tf.constant(tf.make_ndarray(node.attr["value"].tensor)),)
    definition = _definition(node.op)
    attributes = {each.name: node.attr.get(each.name, each.default_value) for each in definition.attr}
    count = sum(_count(argument, attributes) for argument in definition.output_arg)
    flat = tuple(part for name, value in attributes.items() for part in (name, _plain(value)))
    results = execute.execute(node.op, count, inputs=list(inputs), attrs=flat, ctx=context.context())
    if execute.must_record_gradient():
        execute.record_gradient(node.op, list(inputs), flat, results)
    return list(results)


def _count(argument: Any, attributes: Mapping[str, Any]) -> int:
    """How many tensors an output of an operation is."""
    if argument.number_attr:
        return int(attributes[argument.number_attr].i)
    return len(attributes[argument.type_list_attr].list.type) if argument.type_list_attr else 1


def _plain(value: Any) -> Any:
    """An attribute as TensorFlow takes it from Python."""
    kind = value.WhichOneof("value")
    if kind != "list":
        return getattr(value, kind)
    filled = [list(values) for _, values in value.list.ListFields()]
    return filled[0] if filled else []
