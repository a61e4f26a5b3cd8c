"""Finds which variables gradients reach, which operations stop them, and how much L2 losses weigh each variable.

`reached` and `weighed` take a graph and run it operation by operation, which is fast. Where a graph is none for that
(`GraphOnlyError`), the others do the same: ``..._in_session`` with operations that are added to it, ``..._by_tape``
with calls of an object.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from exporter.checkpoint.synthetic import VERIFICATION_IMAGES
from exporter.graph.downgrade import nodes
from exporter.probe import eager
from exporter.probe.observations import Gradients

v1 = tf.compat.v1

#: Height and width of images for gradients, in pixels.
_SMALL = 64
#: Variables whose gradients are in memory together.
_AT_A_TIME = 64


def gradient_stops(saved_model: Any) -> list[str]:
    """The names of the operations of a SavedModel that stop or change gradients."""
    return [
        node.name
        for node in nodes(saved_model)
        if node.op in ("StopGradient", "PreventGradient")
        or (node.op == "IdentityN" and "_gradient_op_type" in node.attr)
    ]


@contextlib.contextmanager
def small_graph(graph_def: Any, images: str, full: int) -> Iterator[tuple[tf.Graph, dict[str, np.ndarray]]]:
    """A copy of a graph that takes small images instead of large ones, as the default graph, and one image to feed.

    Gradients reach the same variables with images of any size, but large ones need more memory. A network that takes
    images of one size only stays as it is.

    Args:
        images: the name of the tensor that is a placeholder for them.
        full: height and width of the large ones, in pixels.
    """
    name, size = images.removesuffix(":0"), min(_SMALL, full)
    smaller = type(graph_def)()
    smaller.CopyFrom(graph_def)
    for node in smaller.node:
        if node.name == name:
            # There are no dimensions if the placeholder takes any shape.
            for dimension in node.attr["shape"].shape.dim[1:3]:
                dimension.size = size
        if node.op != "ReadVariableOp":
            # Recorded shapes are those for large images; only those of variables are still right.
            node.attr.pop("_output_shapes", None)
    try:
        with tf.Graph().as_default() as graph:
            tf.import_graph_def(smaller, name="")
    except ValueError:
        with tf.Graph().as_default() as graph:
            tf.import_graph_def(graph_def, name="")
        size = full
    with graph.as_default():
        yield graph, {images: VERIFICATION_IMAGES.at(size)[:1]}


def reached(
    graph_def: Any, output: str, images: str, full: int, given: Mapping[str, Any], variables: Mapping[str, str]
) -> Gradients:
    """The variables that a loss of an output has a gradient for.

    Gradients reach the same variables with images of any size; small ones take less time and memory, so only a network
    that takes no small ones gets those of its own size.

    Args:
        graph_def: a ``GraphDef``.
        output: the name of a tensor.
        images: the name of the node that takes images.
        full: their height and width, in pixels.
        given: values of other nodes, as `exporter.probe.eager.run` takes them.
        variables: by the names of nodes whose value is that of a variable, the variable's name.

    Raises:
        GraphOnlyError: the graph cannot be run in this way.
    """
    for size in sorted({min(_SMALL, full), full}):
        image = tf.constant(VERIFICATION_IMAGES.at(size)[:1])
        try:
            with _watching(given, variables) as tape:
                (value,) = eager.run(graph_def, [output], {**given, images: image})
                loss = tf.reduce_sum(tf.square(value))
            gradients = _gradients_of(tape, loss, given, variables)
            return _gradients([name for name, _ in gradients], [_is_finite(gradient) for _, gradient in gradients])
        except (ValueError, tf.errors.OpError):
            if size == full:
                raise
    raise AssertionError("there is at least one size")


def weighed(
    graph_def: Any, losses: Sequence[str], given: Mapping[str, Any], variables: Mapping[str, str]
) -> tuple[list[float], dict[str, float]]:
    """The values of losses, and the weights of the variables that their sum has a gradient for.

    The weight of a variable is what it is multiplied with to give its gradient, on average.

    Args:
        graph_def, given, variables: as `reached` takes them.
        losses: names of tensors.

    Raises:
        GraphOnlyError: as `reached` does.
    """
    if not losses:
        return [], {}
    with _watching(given, variables) as tape:
        values = eager.run(graph_def, losses, given)
        total = tf.add_n([tf.reduce_sum(value) for value in values])
    held = {name: given[node] for node, name in variables.items()}
    gradients = _gradients_of(tape, total, given, variables)
    weights = {name: _weight(np.asarray(held[name]), np.asarray(gradient)) for name, gradient in gradients}
    return [float(value) for value in values], weights


@contextlib.contextmanager
def _watching(given: Mapping[str, Any], variables: Mapping[str, str]) -> Iterator[tf.GradientTape]:
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(list(_sources(given, variables).values()))
        yield tape


def _sources(given: Mapping[str, Any], variables: Mapping[str, str]) -> dict[str, Any]:
    """By the variable's name, what stands for it where that can have a gradient: no integer can."""
    return {name: given[node] for node, name in variables.items() if given[node].dtype.is_floating}


def _gradients_of(
    tape: tf.GradientTape, loss: Any, given: Mapping[str, Any], variables: Mapping[str, str]
) -> list[tuple[str, Any]]:
    """The gradients that there are, by the variable's name."""
    sources = _sources(given, variables)
    gradients = tape.gradient(loss, list(sources.values()))
    pairs = zip(sources, gradients, strict=True)
    return [(name, tf.convert_to_tensor(gradient)) for name, gradient in pairs if gradient is not None]


def _is_finite(gradient: Any) -> bool:
    return bool(np.isfinite(gradient).all())


def reached_in_session(
    output: Any, sources: Mapping[str, Sequence[Any]], feed: Mapping[Any, Any], session: Any
) -> Gradients:
    """The variables that a loss of the output has a gradient for.

    Args:
        output: a tensor of the session's graph, to which the gradient's operations are added.
        sources: by the name of each variable, what stands for it: the variable, or the tensors that read it.
        feed: the feed dictionary to run it with.
        session: one for that graph.
    """
    names = [name for name, tensors in sources.items() for _ in tensors]
    with session.graph.as_default():
        loss = tf.reduce_sum(tf.square(output))
        gradients = v1.gradients(loss, [tensor for tensors in sources.values() for tensor in tensors])
        pairs = [(name, gradient) for name, gradient in zip(names, gradients, strict=True) if gradient is not None]
        # Only whether they are finite is fetched, since the gradients are as large as the network.
        finite = [tf.reduce_all(tf.math.is_finite(gradient)) for _, gradient in pairs]
    return _gradients([name for name, _ in pairs], session.run(finite, feed))


def reached_by_tape(output: Callable[[], Any], variables: Sequence[Any]) -> Gradients:
    """As `reached`, with a gradient tape, for an output that is computed by a call."""
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.square(output()))
    pairs = [
        (variable.name.removesuffix(":0"), gradient)
        for variable, gradient in zip(variables, tape.gradient(loss, variables), strict=True)
        if gradient is not None
    ]
    finite = [_is_finite(tf.convert_to_tensor(gradient)) for _, gradient in pairs]
    return _gradients([name for name, _ in pairs], finite)


def weighed_in_session(
    losses: Sequence[Any],
    sources: Mapping[str, Sequence[Any]],
    value: Callable[[str, Any], Any],
    session: Any,
    feed: Mapping[Any, Any] | None = None,
) -> dict[str, float]:
    """The weights of the variables that these losses have a gradient for.

    The weight of a variable is what it is multiplied with to give its gradient, on average.

    Args:
        losses: tensors of the session's graph, to which the gradients' operations are added.
        sources: by the name of each variable, what stands for it: the variable, or the tensors that read it.
        value: from such a name and a dtype, a tensor that gives the variable's value.
        session: one for that graph.
        feed: the feed dictionary to run it with.
    """
    flat = [(name, tensor) for name, tensors in sources.items() for tensor in tensors]
    gradients = v1.gradients(losses, [tensor for _, tensor in flat]) if losses else [None] * len(flat)
    found: dict[str, list[Any]] = {}
    for (name, _), gradient in zip(flat, gradients, strict=True):
        if gradient is not None:
            found.setdefault(name, []).append(gradient)
    weights: dict[str, float] = {}
    names = list(found)
    for start in range(0, len(names), _AT_A_TIME):
        # All values and gradients at once would need twice the memory of the network.
        part = {name: (value(name, found[name][0].dtype), found[name]) for name in names[start : start + _AT_A_TIME]}
        weights |= {name: _weight(values, sum(parts)) for name, (values, parts) in session.run(part, feed).items()}
    return weights


def weighed_by_tape(losses: Sequence[Callable[[], Any]], variables: Sequence[Any]) -> dict[str, float]:
    """As `weighed`, with a gradient tape, for losses that are computed by calls."""
    with tf.GradientTape() as tape:
        tape.watch(variables)
        loss = tf.add_n([tf.zeros([]), *(loss() for loss in losses)])
    return {
        variable.name.removesuffix(":0"): _weight(variable.numpy(), np.asarray(gradient))
        for variable, gradient in zip(variables, tape.gradient(loss, variables), strict=True)
        if gradient is not None
    }


def _weight(value: np.ndarray, gradient: np.ndarray) -> float:
    """The factor between a variable and its gradient, by least squares; 0 if the variable is zero."""
    # Without copies of them in that precision, which would be as large as the network.
    squares, products = (
        float(np.einsum("i,i->", value.ravel(), other.ravel(), dtype=np.float64)) for other in (value, gradient)
    )
    return products / squares if squares else 0.0


def _gradients(names: Sequence[str], finite: Sequence[bool]) -> Gradients:
    """The names without repetition: a variable may have several gradients."""
    not_finite = [name for name, good in zip(names, finite, strict=True) if not good]
    return Gradients(list(dict.fromkeys(names)), list(dict.fromkeys(not_finite)))
