"""Finds which variables gradients reach, which operations stop them, and how much L2 losses weigh each variable."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from exporter.checkpoint.synthetic import VERIFICATION_IMAGES
from exporter.graph.downgrade import nodes
from exporter.probe.observations import Gradients

v1 = tf.compat.v1

#: A session that runs a graph as it is, where it is run once: to optimize it takes longer. Not for what is compared
#: with a reference: other kernels round in another way, by up to 2e-4 at the end of the large networks.
PLAIN = v1.ConfigProto()
PLAIN.graph_options.rewrite_options.disable_meta_optimizer = True
PLAIN.graph_options.place_pruned_graph = True
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


def loss_gradients(
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


def loss_gradients_by_tape(output: Callable[[], Any], variables: Sequence[Any]) -> Gradients:
    """As `loss_gradients`, with a gradient tape, for an output that is computed by a call."""
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.square(output()))
    pairs = [
        (variable.name.removesuffix(":0"), gradient)
        for variable, gradient in zip(variables, tape.gradient(loss, variables), strict=True)
        if gradient is not None
    ]
    finite = [bool(np.isfinite(tf.convert_to_tensor(gradient)).all()) for _, gradient in pairs]
    return _gradients([name for name, _ in pairs], finite)


def l2_weights(
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


def l2_weights_by_tape(losses: Sequence[Callable[[], Any]], variables: Sequence[Any]) -> dict[str, float]:
    """As `l2_weights`, with a gradient tape, for losses that are computed by calls."""
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
    value = value.astype(np.float64)
    squares = float(np.vdot(value, value))
    return float(np.vdot(value, gradient)) / squares if squares else 0.0


def _gradients(names: Sequence[str], finite: Sequence[bool]) -> Gradients:
    """The names without repetition: a variable may have several gradients."""
    not_finite = [name for name, good in zip(names, finite, strict=True) if not good]
    return Gradients(list(dict.fromkeys(names)), list(dict.fromkeys(not_finite)))
