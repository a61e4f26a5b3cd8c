"""Makes the functions of a feature vector from those of the classifier, of which it is a part.

Tracing takes longer than all else that writes a SavedModel; the bytes are those of functions that were traced.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import tensorflow as tf

from exporter.artifact.objects import Trace

_CALL = "StatefulPartitionedCall"


def of_network(trace: Trace, pool: str, size: int, captured: Sequence[str]) -> Trace:
    """The function that ends where features are, of one that goes on to classes.

    Args:
        trace: returns one tensor; its operations are in the order in which they were made.
        pool: the name of the operation that gives the features.
        size: how many features there are.
        captured: the variables that it takes then; the first ones of those of ``trace``.
    """
    definition = _copy(trace.definition)
    names = [node.name for node in definition.node_def]
    (returned,) = definition.ret.values()
    begin, end = names.index(pool) + 1, names.index(returned.partition(":")[0])
    definition.node_def[end].input[0] = f"{pool}:output:0"
    del definition.node_def[begin:end]
    _wait_no_longer(definition, set(names[begin:end]))
    _take(definition, trace, captured)
    _require_whole(definition)
    return replace(
        trace, definition=definition, captured=tuple(captured), outputs=tf.TensorSpec([None, size], tf.float32)
    )


def of_signature(trace: Trace, called: Trace, output: str) -> Trace:
    """The function of a signature that calls another function than ``trace`` does.

    Args:
        called: see `of_network`.
        output: what the signature calls its output.
    """
    definition = _copy(trace.definition)
    (call,) = (node for node in definition.node_def if node.op == _CALL)
    arguments = len(called.definition.signature.input_arg)
    del call.input[arguments:]
    del call.attr["Tin"].list.type[arguments:]
    call.attr["f"].func.name = called.name
    read = call.attr["_read_only_resource_inputs"].list
    read.i[:] = [place for place in read.i if place < arguments]
    _take(definition, trace, called.captured)
    _require_whole(definition)
    return replace(trace, definition=definition, captured=called.captured, outputs={output: called.outputs})


def _copy(definition: Any) -> Any:
    copy = type(definition)()
    copy.CopyFrom(definition)
    return copy


def _wait_no_longer(definition: Any, names: Collection[str]) -> None:
    """Lets nothing wait for operations that are no longer there."""
    waits = {f"^{name}" for name in names}
    for node in definition.node_def:
        if waits.intersection(node.input):
            node.input[:] = [name for name in node.input if name not in waits]
    waited = [name for name in definition.signature.control_output if name not in names]
    definition.signature.control_output[:] = waited
    for name in names:
        definition.control_ret.pop(name, None)


def _take(definition: Any, trace: Trace, captured: Sequence[str]) -> None:
    """Lets a function take these variables only."""
    assert trace.captured[: len(captured)] == tuple(captured)
    arguments = len(definition.signature.input_arg) - len(trace.captured) + len(captured)
    for place in range(arguments, len(definition.signature.input_arg)):
        definition.arg_attr.pop(place, None)
    del definition.signature.input_arg[arguments:]


def _require_whole(definition: Any) -> None:
    known = {node.name for node in definition.node_def} | {each.name for each in definition.signature.input_arg}
    used = {name.removeprefix("^").partition(":")[0] for node in definition.node_def for name in node.input}
    assert used <= known, f"{definition.signature.name} uses {sorted(used - known)[0]}, which is not there"
