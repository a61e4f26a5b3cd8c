"""Finds the momentum with which an object trains where its caller gives none."""

from typing import Any

import tensorflow as tf

from exporter.probe.reuse import tensor_keys

_CALLS = ("StatefulPartitionedCall", "PartitionedCall")


def of(called: Any, images: Any) -> float | None:
    """The momentum that makes a call the same as one without it; None where they differ in more than that.

    Both are traced, which takes little time, and none is run: to prepare a training step takes longer than to run it.

    Args:
        called: the object's ``__call__``, as it was loaded.
        images: a tensor of images.
    """
    without = called.get_concrete_function(images, training=True)
    with_ = called.get_concrete_function(images, training=True, batch_norm_momentum=tf.constant(0.0))
    if len(with_.graph.inputs) < 2 or _captures(without) != _captures(with_):
        return None
    given = with_.graph.inputs[1]
    passed = _passed(without, _place(with_, given))
    value = None if passed is None else tf.get_static_value(passed)
    if value is None or value.shape != ():
        return None
    same = _keys(without, passed) == _keys(with_, given)
    return float(value) if same else None


def _captures(traced: Any) -> list[Any]:
    return [tensor.ref() for tensor in traced.captured_inputs]


def _call(traced: Any) -> Any:
    """The only call of a function in a trace, or None."""
    found = [op for op in traced.graph.get_operations() if op.type in _CALLS]
    return found[0] if len(found) == 1 else None


def _place(traced: Any, tensor: Any) -> int | None:
    """Which input of the call a tensor is."""
    call = _call(traced)
    places = [place for place, each in enumerate(call.inputs) if each is tensor] if call else []
    return places[0] if len(places) == 1 else None


def _passed(traced: Any, place: int | None) -> Any:
    call = _call(traced)
    return None if call is None or place is None or place >= len(call.inputs) else call.inputs[place]


def _keys(traced: Any, momentum: Any) -> list[str]:
    """What the outputs depend on, whatever the momentum is."""
    # What stands for a captured tensor has the number of that for its name.
    fed = {tensor.name: f"captured tensor {place}" for place, tensor in enumerate(traced.graph.internal_captures)}
    fed |= {traced.graph.inputs[0].name: "images", momentum.name: "momentum"}
    return list(tensor_keys(traced.graph.as_graph_def(), [each.name for each in traced.graph.outputs], fed).values())
