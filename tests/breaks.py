"""Artifacts that are wrong on purpose, in one way each, and the check of ``nasexport verify`` that must say so.

`BREAKS` is the table, which ``python -m tests.breaks`` prints as the documentation has it.
``python -m tests.breaks GOOD CHECKPOINT OUTPUT NUMBER...`` writes those of `ARTIFACTS`: the exporter's own writers run
with a part of them replaced, or the values of a good artifact are changed. Each gets the ``nasexport.json`` of the good
artifact, whose format, version and task are set to its own.
"""

import contextlib
import dataclasses
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import tensorflow as tf
import tf_slim as slim

from exporter import (
    artifact,
    batch_norm,
    checkpoint,
    gate,
    hub_messages,
    hub_module,
    layers,
    layout,
    network,
    saved_model,
)
from exporter.config import ModelConfig, Task
from exporter.export import WRITERS
from exporter.formats import DEFAULT_MOMENTUM, TRAINING_DECAY
from exporter.layout import variables
from tests import bundles

v1 = tf.compat.v1

#: Both kinds of cells and every kind of layer, in as few operations as can be. A large part of a cell is dropped in
#: training, so that what is wrong there shows.
CONFIG = {
    "name": "broken_nasnet",
    "family": "nasnet",
    "title": "NASNet-A (to be broken)",
    "image_size": 32,
    "num_classes": 11,
    "num_cells": 2,
    "num_conv_filters": 8,
    "stem_filters": 8,
    "reductions": [],
    "skip_reduction_layer_input": True,
    "drop_path_keep_prob": 0.7,
    "dropout_keep_prob": 0.5,
    "weight_decay": 5.0e-5,
    "versions": {3: "hub", 4: "saved_model_2", 5: "saved_model_2"},
}

Held = dict[str, Any]
Patch = Callable[[Held], AbstractContextManager[Any]]


@dataclass(frozen=True)
class Break:
    """One thing that is wrong, and what must come of it.

    Attributes:
        what: what is wrong, in a few words.
        check: the check that must fail.
        said: what the check's detail must say: the name of a variable, for example.
        begins: the end point that must be named as the first that departs; "" where inference must be all right.
        also: the kinds of other checks that may fail in consequence; see `kind`.
        artifact: its task and version.
        patch: makes the writers wrong, given the variables that they are given; or else ``values`` changes those of a
            good artifact, arrays by name; or else ``momentum`` is the wrong default.
        along: the break, if any, whose artifact has this one, too. They must have nothing to do with each other.
        averages: whether the checkpoint's averages are taken, as they should be.
    """

    what: str
    check: str
    said: str = ""
    begins: str = ""
    also: tuple[str, ...] = ()
    artifact: tuple[Task, int] = ("classification", 4)
    patch: Patch | None = None
    values: Callable[[Held], None] | None = None
    momentum: float = DEFAULT_MOMENTUM
    averages: bool = True
    along: str = ""


def kind(check: str) -> str:
    """What a check is about: "inference", "training", "values", "L2", or its own name."""
    kinds = {
        "inference": ("output, ", "output for one image", "end points", "signature/", "outputs of {} ", "{} "),
        "training": ("output in training mode", "outputs of {train}", "moving averages"),
        "values": ("variables with other values",),
        "L2": ("regularization losses", "variables under L2", "L2 weights"),
        "gradients": ("gradients", "operations that stop gradients"),
        "shares": ("shares kept",),
    }
    return next((kind for kind, begins in kinds.items() if check.startswith(begins)), check)


# Values of a good artifact.


def _scaled(name: str, factor: float = 1.001) -> Callable[[Held], None]:
    def change(values: Held) -> None:
        values[name] = values[name] * np.float32(factor)

    return change


def _swapped(name: str, other: str) -> Callable[[Held], None]:
    def change(values: Held) -> None:
        values[name], values[other] = values[other], values[name]

    return change


# Writers with one part replaced.


def _inference(patch: Patch) -> Patch:
    """Makes a graph for inference wrong, and leaves that for training as it is."""

    def patched(held: Held) -> AbstractContextManager[Any]:
        right = network.build

        def build(*arguments: Any, training: bool = False, **options: Any) -> Any:
            with contextlib.nullcontext() if training else patch(held):
                return right(*arguments, training=training, **options)

        return mock.patch.object(network, "build", build)

    return patched


def _replace(target: Any, name: str, replacement: Any) -> Patch:
    return lambda held: mock.patch.object(target, name, replacement)


def _in(scope: str) -> bool:
    """Whether a layer is being built within that scope."""
    return v1.get_variable_scope().name.startswith(scope)


def _images(change: Callable[[Any], Any]) -> Patch:
    """Changes what the first layer gets, which is meant to be in [-1, 1]."""
    right = network._stem_and_cells
    return _replace(
        network, "_stem_and_cells", lambda config, dropping, net, ends: right(config, dropping, change(net), ends)
    )


def _batch_statistics() -> Patch:
    """Trains where it should infer."""
    right = network.batch_norm

    @slim.add_arg_scope
    def batch_norm(net: Any, *, scope: str, getter: Any, moving: Any) -> Any:
        return right(net, scope=scope, getter=getter, moving=moving or network.Moving(TRAINING_DECAY))

    return _replace(network, "batch_norm", batch_norm)


def _decay(change: Callable[[Any], Any]) -> Patch:
    """Another decay of the moving averages than the one that is asked for."""
    right = network.Moving
    return _replace(network, "Moving", lambda decay: right(change(decay)))


def _biased_variance() -> Patch:
    right = tf.raw_ops.FusedBatchNormV3

    def fused_batch_norm(x: Any, **kwargs: Any) -> Any:
        outputs = right(x=x, **kwargs)
        if kwargs["is_training"]:
            count = tf.cast(tf.size(x) / tf.shape(x)[3], tf.float32)
            return outputs._replace(batch_variance=outputs.batch_variance * (count - 1) / count)
        return outputs

    return _replace(tf.raw_ops, "FusedBatchNormV3", fused_batch_norm)


def _shifted_reduction(scope: str) -> Patch:
    """The second path of a factorized reduction looks at the pixels before instead of those after."""
    right = network._factorized_reduction

    def factorized_reduction(net: Any, filters: int) -> Any:
        if not _in(scope):
            return right(net, filters)
        pad = tf.pad
        with mock.patch.object(
            network.tf, "pad", lambda net, _: pad(net, [[0, 0], [2, 0], [2, 0], [0, 0]])[:, :-1, :-1]
        ):
            return right(net, filters)

    return _replace(network, "_factorized_reduction", factorized_reduction)


def _symmetric_padding(net: Any, kernel: int, filters: int, stride: int) -> Any:
    """`network._separable`, padded by the same on both sides where it strides, as other frameworks do."""
    for layer, layer_stride in ((1, stride), (2, 1)):
        name = f"{kernel}x{kernel}_{layer}"
        net = layers.relu(net)
        if layer_stride == 2:
            side = [kernel // 2, kernel // 2]
            net = tf.pad(net, [[0, 0], side, side, [0, 0]])
        net = layers.separable_conv2d(
            net,
            filters,
            kernel,
            stride=layer_stride,
            padding="VALID" if layer_stride == 2 else "SAME",
            scope=f"separable_{name}",
        )
        net = network.batch_norm(net, scope=f"bn_sep_{name}")
    return net


def _pooling(scope: str, wrong: Callable[[Any, int, int], Any]) -> Patch:
    """Another average pooling in a scope."""
    right = layers.avg_pool2d

    @slim.add_arg_scope
    def avg_pool2d(net: Any, kernel: int, stride: int, padding: str) -> Any:
        if kernel > 1 and _in(scope):
            return wrong(net, kernel, stride)
        return right(net, kernel, stride=stride, padding=padding)

    return _replace(layers, "avg_pool2d", avg_pool2d)


def _counting_padding(net: Any, kernel: int, stride: int) -> Any:
    side = [kernel // 2, kernel // 2]
    return tf.nn.avg_pool2d(tf.pad(net, [[0, 0], side, side, [0, 0]]), kernel, stride, "VALID")


def _maximum(net: Any, kernel: int, stride: int) -> Any:
    return tf.nn.max_pool2d(net, kernel, stride, "SAME")


def _cell(scope: str, change: Callable[[Any], Any]) -> Patch:
    """Changes what a cell gives."""
    right = network._cell

    def cell(name: str, *arguments: Any) -> Any:
        if name != scope:
            return right(name, *arguments)
        concat = tf.concat

        def wrong(states: Any, axis: int, name: str = "concat") -> Any:
            return concat(change(states) if name == "cell_output" else states, axis, name=name)

        with mock.patch.object(network.tf, "concat", wrong):
            return right(name, *arguments)

    return _replace(network, "_cell", cell)


def _head(logits: Callable[[Any], Any]) -> Patch:
    """Changes the logits, after all else."""
    right = network._head

    def head(config: Any, task: Any, dropping: Any, net: Any, end_points: Held) -> None:
        right(config, task, dropping, net, end_points)
        end_points["Logits"] = logits(end_points["Logits"])

    return _replace(network, "_head", head)


def _head_without_relu(*arguments: Any) -> Any:
    with mock.patch.object(layers, "relu", lambda net: net):
        return _right_head(*arguments)


_Dropping = network._Dropping
_right_head = network._head


def _dropping(**methods: Any) -> Patch:
    """Drop path and dropout with other methods."""
    return _replace(network, "_Dropping", type("Wrong", (_Dropping,), methods))


def _is_dropout(net: Any) -> bool:
    return net.shape.rank == 2


def _drop_path_always(self: Any, cell: int, net: Any) -> Any:
    examples = tf.stack([tf.shape(net)[0], 1, 1, 1])
    return _Dropping(tf.random.uniform, self.keep_prob, self.total, examples).drop_path(cell, net)


def _dropout_always(self: Any, net: Any, keep_prob: float, noise_shape: Any) -> Any:
    uniform = tf.random.uniform if _is_dropout(net) else self.uniform
    return _Dropping(uniform, self.keep_prob, self.total, self.examples).drop(net, keep_prob, noise_shape)


def _no_dropout(self: Any, net: Any, keep_prob: float, noise_shape: Any) -> Any:
    return net if _is_dropout(net) else _Dropping.drop(self, net, keep_prob, noise_shape)


def _whole_batch(self: Any, net: Any, keep_prob: float, noise_shape: Any) -> Any:
    return _Dropping.drop(self, net, keep_prob, noise_shape if _is_dropout(net) else [1, 1, 1, 1])


def _whole_examples(self: Any, net: Any, keep_prob: float, noise_shape: Any) -> Any:
    return _Dropping.drop(self, net, keep_prob, [tf.shape(net)[0], 1] if _is_dropout(net) else noise_shape)


def _not_rescaled(self: Any, net: Any, keep_prob: float, noise_shape: Any) -> Any:
    if self.uniform is None or _is_dropout(net):
        return _Dropping.drop(self, net, keep_prob, noise_shape)
    return net * tf.floor(keep_prob + self.uniform(noise_shape))


def _drops_what_it_keeps(self: Any, net: Any, keep_prob: float, noise_shape: Any) -> Any:
    if self.uniform is None or _is_dropout(net):
        return _Dropping.drop(self, net, keep_prob, noise_shape)
    return net / keep_prob * tf.floor(1 - keep_prob + self.uniform(noise_shape))


def _seeded(self: Any, net: Any, keep_prob: float, noise_shape: Any) -> Any:
    uniform = self.uniform and (lambda shape: tf.random.uniform(shape, seed=7))
    return _Dropping(uniform, self.keep_prob, self.total, self.examples).drop(net, keep_prob, noise_shape)


def _stateless(self: Any, net: Any, keep_prob: float, noise_shape: Any) -> Any:
    # Of one number each, in the order of building: no two decisions are the same, but all calls are.
    seed = [len(tf.compat.v1.get_default_graph().get_operations()), 1]
    draw = lambda shape: tf.raw_ops.StatelessRandomUniform(shape=shape, seed=seed)  # noqa: E731
    return _Dropping(self.uniform and draw, self.keep_prob, self.total, self.examples).drop(net, keep_prob, noise_shape)


def _drop_path_on_identities() -> Patch:
    right = network._branch

    def branch(side: str, branch: Any, net: Any, filters: int, stride: int, drop_path: Any) -> Any:
        net = right(side, branch, net, filters, stride, drop_path)
        if branch.kind != "none":
            return net
        with tf.name_scope(f"{v1.get_default_graph().get_name_scope()}/{side}/"):  # the same scope once more
            return drop_path(net)

    return _replace(network, "_branch", branch)


def _stopped_previous(scope: str) -> Patch:
    """No gradient through the state before, in one cell."""
    right = network._match_previous

    def match_previous(*arguments: Any) -> Any:
        net = right(*arguments)
        return tf.stop_gradient(net) if _in(scope) else net

    return _replace(network, "_match_previous", match_previous)


def _stopped_identity(scope: str) -> Patch:
    """No gradient through an identity: every variable is still reached in another way."""
    right = network._branch

    def branch(side: str, branch: Any, net: Any, *arguments: Any) -> Any:
        result = right(side, branch, net, *arguments)
        return tf.stop_gradient(result) if _in(scope) and branch.kind == "none" else result

    return _replace(network, "_branch", branch)


def _kernels(change: Callable[[str, bool], bool]) -> Patch:
    """Another opinion on whether a variable is a kernel."""
    right = vars(layout.VariableSpec)["is_kernel"].fget
    return _replace(layout.VariableSpec, "is_kernel", property(lambda spec: change(spec.name, right(spec))))


def _unlisted(name: str) -> Patch:
    """A variable that says of itself that it is trainable, although it is not listed as one that is."""
    right = saved_model.Objects.listed

    def listed(self: Any, attribute: str, members: Any) -> None:
        if attribute == "trainable_variables":
            members = [number for number in members if self.saved.nodes[number].variable.name != name]
        right(self, attribute, members)

    return _replace(saved_model.Objects, "listed", listed)


def _frozen(name: str) -> Patch:
    """A variable that says of itself that it is not trainable, although it is listed as one that is."""
    right = saved_model.Objects.variable

    def variable(self: Any, spec: Any) -> int:
        number = right(self, spec)
        if spec.name == name:
            self.saved.nodes[number].variable.trainable = False
        return number

    return _replace(saved_model.Objects, "variable", variable)


def _regularization(factor: float) -> Patch:
    right = layers.regularization_loss
    return _replace(layers, "regularization_loss", lambda kernels, decay: right(kernels, factor * decay))


def _leftover(held: Held) -> AbstractContextManager[Any]:
    """The classifier's variables are saved with a feature vector, out of sight."""
    right = saved_model._stored

    def stored(*arguments: Any) -> Held:
        names = ("final_layer/FC/weights", "final_layer/FC/biases")
        return right(*arguments) | {name: held[name] for name in names}

    return mock.patch.object(saved_model, "_stored", stored)


def _unknown_operation() -> Patch:
    """An operation that TensorFlow 1.15 does not have, past the gate."""
    patched = _head(
        lambda net: tf.raw_ops.BatchMatMulV3(
            x=net, y=tf.constant(np.eye(net.shape[1], dtype=np.float32)), Tout=tf.float32
        )
    )

    @contextlib.contextmanager
    def patch(held: Held) -> Iterator[None]:
        with patched(held), mock.patch.object(gate, "require"):
            yield

    return patch


def _collections(change: Callable[[Any, bool], None]) -> Patch:
    """Changes the collections of a hub module; ``change`` is given them, and whether it is that for training."""

    def patch(_: Held) -> AbstractContextManager[Any]:
        # The one that is there now, which may be wrong already.
        before = hub_module._fill_collections

        def fill(meta_graph: Any, *arguments: Any) -> None:
            before(meta_graph, *arguments)
            change(meta_graph.collection_def, arguments[-1])

        return mock.patch.object(hub_module, "_fill_collections", fill)

    return patch


def _one_update_less(collections: Any, training: bool) -> None:
    if training:
        del collections[v1.GraphKeys.UPDATE_OPS].node_list.value[5]


def _update_in_inference(collections: Any, training: bool) -> None:
    if not training:
        collections[v1.GraphKeys.UPDATE_OPS].node_list.value.append(v1.no_op().name)


def _collection_of_losses(collections: Any, training: bool) -> None:
    first = v1.get_default_graph().get_operations()[0].outputs[0]
    collections["losses"].node_list.value.append(first.name)


def _no_loss(collections: Any, training: bool) -> None:
    collections.pop(v1.GraphKeys.REGULARIZATION_LOSSES, None)


def _hub_signatures(change: Callable[[Held], Any]) -> Patch:
    right = hub_module.hub_signatures

    def signatures(task: Task, version: int) -> Held:
        named = right(task, version)
        change(named)
        return named

    return _replace(hub_module, "hub_signatures", signatures)


def _without_momentum(signatures: Held) -> None:
    name = "image_feature_vector_with_bn_hparams"
    signatures[name] = dataclasses.replace(signatures[name], inputs=("images",))


def _hub_outputs(change: Callable[[Held], Any]) -> Patch:
    right = hub_module._outputs

    def outputs(*arguments: Any) -> Held:
        named = right(*arguments)
        change(named)
        return named

    return _replace(hub_module, "_outputs", outputs)


def _swap_end_points(outputs: Held) -> None:
    _swapped("broken_nasnet/Cell_0", "broken_nasnet/Cell_1")(outputs)


def _fixed_batch(states: list[Any]) -> list[Any]:
    """What works for three examples only."""
    return [tf.gather(states[0], [0, 1, 2]), *states[1:]]


def _image_size() -> Patch:
    right = hub_messages.image_size_attachment
    return _replace(hub_messages, "image_size_attachment", lambda size: right(size + 1))


_VALUES = "variables with other values"
_DECISIONS = "random decisions that differ"
_END_POINTS = "end points, relative difference"
_OUTPUT = "output, relative difference"
_MOMENTUM = "moving averages at momentum 0.75, relative difference"
_SHARES = "shares kept, distance in standard errors"
_DEFAULT = "moving averages at default momentum 0.99, relative difference"
_IN_INFERENCE = "random numbers drawn in inference"
_SHARED = "random decisions of another shape"
_REPEATED = "random numbers that repeat"
_L2 = "regularization losses, relative difference"
_UNDER_L2 = "variables under L2 that differ"
_GRADIENTS = "gradients that reach the wrong variables"
_STOPS = "operations that stop gradients"
_STORED = "values stored that no variable has"
_SIGNATURES = "signatures that differ"
_TRAINING = "output in training mode, relative difference"
_SERVING: tuple[Task, int] = ("classification", 5)
_FEATURES: tuple[Task, int] = ("feature_vector", 4)
_CELL = "cell_0/comb_iter_0/left"
_SEPARABLE = f"{_CELL}/separable_5x5_1"
_GRAPH = ("inference", "training")


def _value(what: str, name: str, begins: str, change: Callable[[Held], None], also: tuple[str, ...] = ()) -> Break:
    return Break(what, _VALUES, name, begins, ("inference", "training", "L2", *also), values=change)


def _kernel(layer: str, name: str, begins: str) -> Break:
    return _value(f"a kernel times 1.001: {layer}", name, begins, _scaled(name))


def _graph(what: str, begins: str, patch: Patch, **fields: Any) -> Break:
    return Break(what, _END_POINTS, "", begins, ("inference",), patch=_inference(patch), **fields)


def _hub(wrong: Break) -> Break:
    return dataclasses.replace(wrong, artifact=("classification", 3))


#: In the order of the page that shows them.
BREAKS: tuple[Break, ...] = (
    # Values.
    _kernel("first convolution", "conv0/weights", "Stem"),
    _kernel("depthwise", f"{_SEPARABLE}/depthwise_weights", "Cell_0"),
    _kernel("pointwise", f"{_SEPARABLE}/pointwise_weights", "Cell_0"),
    _kernel("1x1 at a cell's beginning", "cell_1/1x1/weights", "Cell_1"),
    _kernel("1x1 of the previous state", "cell_1/prev_1x1/weights", "Cell_1"),
    _kernel("path of a factorized reduction", "cell_0/path2_conv/weights", "Cell_0"),
    _kernel("fully connected", "final_layer/FC/weights", "Logits"),
    _value(
        "two kernels of the same shape swapped",
        "cell_0/comb_iter_0/left/separable_5x5_1/pointwise_weights",
        "Cell_0",
        _swapped(f"{_SEPARABLE}/pointwise_weights", f"{_CELL}/separable_5x5_2/pointwise_weights"),
    ),
    _value(
        "moving mean and variance swapped",
        "cell_1/beginning_bn/moving_mean",
        "Cell_1",
        _swapped("cell_1/beginning_bn/moving_mean", "cell_1/beginning_bn/moving_variance"),
    ),
    _value("a gamma times 1.001", "cell_0/final_path_bn/gamma", "Cell_0", _scaled("cell_0/final_path_bn/gamma")),
    Break(
        "plain weights in the place of their averages",
        _VALUES,
        "conv0/weights",
        "Stem",
        (*_GRAPH, "L2"),
        averages=False,
    ),
    # Inference.
    _graph("epsilon 1e-5", "Stem", _replace(batch_norm, "EPSILON", 1e-5)),
    _graph("images taken as they are, in [0, 1]", "Stem", _images(lambda net: (net + 1) / 2)),
    _graph("images expected in [0, 255]", "Stem", _images(lambda net: (net + 1) / 255 - 1)),
    _graph("RGB read as BGR", "Stem", _images(lambda net: net[..., ::-1])),
    _graph("symmetric padding where a layer strides", "Stem", _replace(network, "_separable", _symmetric_padding)),
    _graph("factorized reduction shifted to the other side", "Cell_0", _shifted_reduction("cell_0")),
    _graph("average pooling that counts the padding", "Cell_1", _pooling("cell_1", _counting_padding)),
    _graph("maximum in the place of average pooling", "Cell_0", _pooling("cell_0", _maximum)),
    _graph(
        "states of a cell concatenated in another order",
        "Cell_1",
        _cell("cell_1", lambda states: states[::-1]),
        artifact=_SERVING,
    ),
    _graph(
        "no ReLU before the global pooling",
        "global_pool",
        _replace(network, "_head", _head_without_relu),
        artifact=_SERVING,
    ),
    Break(
        "logits shifted by one class",
        _OUTPUT,
        also=("inference",),
        patch=_inference(_head(lambda net: tf.roll(net, 1, 1))),
    ),
    Break(
        "batch statistics in inference",
        "variables changed by inference",
        begins="Stem",
        also=(*_GRAPH, "values"),
        patch=_batch_statistics(),
    ),
    # Moving averages.
    Break(
        "momentum ignored",
        _MOMENTUM,
        also=("training",),
        patch=_decay(lambda _: DEFAULT_MOMENTUM),
        along="epsilon 1e-5",
    ),
    Break(
        "moving averages frozen",
        "variables changed by training",
        "first wrong: cell_0/",
        also=("training",),
        patch=_decay(lambda m: 0 * m + 1),
        along="dropout in inference",
    ),
    Break(
        "biased variance in the moving average",
        _MOMENTUM,
        "/moving_variance",
        patch=_biased_variance(),
        also=("training",),
        along="images taken as they are, in [0, 1]",
    ),
    Break("default momentum 0.9", _DEFAULT, momentum=0.9, along="RGB read as BGR"),
    # Drop path and dropout.
    Break(
        "drop path on identities",
        _DECISIONS,
        "comb_iter_",
        also=("training",),
        artifact=_FEATURES,
        patch=_drop_path_on_identities(),
    ),
    Break(
        "drop path in inference",
        _IN_INFERENCE,
        also=("inference",),
        patch=_dropping(drop_path=_drop_path_always),
        along="drop path on identities",
        artifact=_FEATURES,
        begins="Stem",
    ),
    Break(
        "drop path of the whole batch",
        _SHARED,
        "cell_stem_0/comb_iter_0/left",
        patch=_dropping(drop=_whole_batch),
        along="epsilon 1e-5",
    ),
    Break(
        "drop path that does not rescale",
        _TRAINING,
        also=("training",),
        patch=_dropping(drop=_not_rescaled),
        along="symmetric padding where a layer strides",
    ),
    Break(
        "drop path's schedule one cell early",
        _SHARES,
        also=("training",),
        artifact=_SERVING,
        patch=_dropping(drop_path=lambda self, cell, net: _Dropping.drop_path(self, cell + 1, net)),
        along="states of a cell concatenated in another order",
    ),
    Break(
        "drop path that drops what it should keep",
        _SHARES,
        also=("training",),
        artifact=_SERVING,
        patch=_dropping(drop=_drops_what_it_keeps),
        along="no ReLU before the global pooling",
    ),
    Break(
        "the same seed for every decision",
        _REPEATED,
        patch=_dropping(drop=_seeded),
        along="images taken as they are, in [0, 1]",
    ),
    Break(
        "the same decisions in every call",
        _REPEATED,
        patch=_dropping(drop=_stateless),
        along="images expected in [0, 255]",
    ),
    Break(
        "no dropout",
        _DECISIONS,
        "dropout",
        patch=_dropping(drop=_no_dropout),
        also=("training",),
        along="maximum in the place of average pooling",
    ),
    Break(
        "dropout in inference",
        _IN_INFERENCE,
        also=("inference",),
        patch=_dropping(drop=_dropout_always),
        begins="Logits",
    ),
    Break(
        "dropout of whole examples",
        _SHARED,
        "dropout",
        patch=_dropping(drop=_whole_examples),
        along="factorized reduction shifted to the other side",
    ),
    # Gradients and the loss.
    Break(
        "no L2",
        _L2,
        patch=_regularization(0.0),
        also=("L2",),
        along="no ReLU before the global pooling",
        artifact=_SERVING,
    ),
    Break(
        "L2 with twice the weight",
        _L2,
        patch=_regularization(2.0),
        also=("L2",),
        along="maximum in the place of average pooling",
    ),
    Break(
        "L2 of the classifier's biases",
        _UNDER_L2,
        "final_layer/FC/biases",
        also=("L2",),
        patch=_kernels(lambda name, right: right or name.endswith("FC/biases")),
        along="RGB read as BGR",
    ),
    Break(
        "L2 of all kernels but one",
        _UNDER_L2,
        f"{_SEPARABLE}/depthwise_weights",
        also=("L2",),
        patch=_kernels(lambda name, right: right and name != f"{_SEPARABLE}/depthwise_weights"),
        along="symmetric padding where a layer strides",
    ),
    Break(
        "a variable that is not listed as trainable",
        "trainable variables that differ",
        "cell_1/1x1/weights",
        patch=_unlisted("cell_1/1x1/weights"),
        also=("training", "variables changed by training"),
        along="factorized reduction shifted to the other side",
    ),
    Break(
        "a variable that is listed as trainable, but is not",
        _GRADIENTS,
        "cell_1/1x1/weights",
        patch=_frozen("cell_1/1x1/weights"),
        along="average pooling that counts the padding",
    ),
    Break(
        "a gradient stopped before the previous state",
        _GRADIENTS,
        "cell_0/final_path_bn/beta",
        patch=_stopped_previous("cell_0"),
        also=("gradients",),
        along="states of a cell concatenated in another order",
        artifact=_SERVING,
    ),
    Break(
        "a gradient stopped at an identity",
        _STOPS,
        patch=_stopped_identity("cell_1"),
        along="logits shifted by one class",
    ),
    # What a file holds.
    Break(
        "a feature vector with the classifier's variables",
        "variables named differently",
        "final_layer/FC/",
        also=("L2", "gradients", "trainable variables that differ", "values"),
        artifact=_FEATURES,
        patch=_replace(saved_model, "variables", lambda config, task: variables(config, "classification")),
    ),
    Break(
        "a feature vector that hides the classifier's values",
        _STORED,
        artifact=_FEATURES,
        patch=_leftover,
        along="drop path on identities",
    ),
    Break(
        "no signature serving_default",
        _SIGNATURES,
        "serving_default",
        artifact=_SERVING,
        patch=_replace(saved_model, "FIRST_SERVING_VERSION", 6),
        along="no ReLU before the global pooling",
    ),
    Break(
        "a signature with another input",
        _SIGNATURES,
        "images",
        artifact=_SERVING,
        patch=_replace(saved_model, "SERVING_INPUT", "images"),
        along="states of a cell concatenated in another order",
    ),
    Break(
        "an operation that TensorFlow 1.15 lacks",
        "findings of the gate for TensorFlow 1.15",
        "BatchMatMulV3",
        patch=_unknown_operation(),
        along="average pooling that counts the padding",
    ),
    # TF1 Hub modules.
    _hub(_value("TF1 Hub: a kernel times 1.001", "cell_1/1x1/weights", "Cell_1", _scaled("cell_1/1x1/weights"))),
    _hub(
        Break(
            "TF1 Hub: logits shifted by one class",
            "{} default, relative difference",
            "",
            "Logits",
            _GRAPH,
            patch=_head(lambda net: tf.roll(net, 1, 1)),
        )
    ),
    _hub(
        Break(
            "TF1 Hub: drop path of the whole batch",
            _SHARED,
            patch=_dropping(drop=_whole_batch),
            along="TF1 Hub: default momentum 0.9",
        )
    ),
    _hub(
        Break(
            "TF1 Hub: a gradient stopped at an identity",
            _STOPS,
            patch=_stopped_identity("cell_1"),
            along="TF1 Hub: default momentum 0.9",
        )
    ),
    _hub(
        Break(
            "TF1 Hub: L2 of the classifier's biases",
            _UNDER_L2,
            "final_layer/FC/biases",
            also=("L2",),
            patch=_kernels(lambda name, right: right or name.endswith("FC/biases")),
            along="TF1 Hub: default momentum 0.9",
        )
    ),
    _hub(
        Break(
            "TF1 Hub: no L2",
            _L2,
            "of 0",
            also=("L2",),
            patch=_collections(_no_loss),
            along="TF1 Hub: two end points swapped",
        )
    ),
    _hub(Break("TF1 Hub: default momentum 0.9", _DEFAULT, momentum=0.9)),
    _hub(
        Break(
            "TF1 Hub: no tag set {train}",
            "tag sets that differ",
            patch=_replace(hub_module, "TAG_SETS", (frozenset(),)),
        )
    ),
    _hub(
        Break(
            "TF1 Hub: an update operation left out",
            "update operations of {train}, difference",
            patch=_collections(_one_update_less),
            also=("training", "variables changed by training"),
            along="TF1 Hub: logits shifted by one class",
        )
    ),
    _hub(
        Break(
            "TF1 Hub: an update operation for inference",
            "update operations of {}",
            patch=_collections(_update_in_inference),
            along="TF1 Hub: a kernel times 1.001",
        )
    ),
    _hub(
        Break(
            "TF1 Hub: a collection that hub.Module refuses",
            "collections that readers refuse",
            "losses",
            patch=_collections(_collection_of_losses),
            along="TF1 Hub: a kernel times 1.001",
        )
    ),
    _hub(
        Break(
            "TF1 Hub: a signature left out",
            "signatures of {} that differ",
            "image_feature_vector",
            also=("signatures of {train} that differ",),
            patch=_hub_signatures(lambda named: named.pop("image_feature_vector")),
            along="TF1 Hub: two end points swapped",
        )
    ),
    _hub(
        Break(
            "TF1 Hub: a signature without its momentum",
            "signatures of {} that differ",
            "image_feature_vector_with_bn_hparams/batch_norm_momentum",
            also=("signatures of {train} that differ",),
            patch=_hub_signatures(_without_momentum),
            along="TF1 Hub: default momentum 0.9",
        )
    ),
    _hub(
        Break(
            "TF1 Hub: two end points swapped",
            "outputs of {} default, relative difference",
            "",
            "Cell_0",
            _GRAPH,
            patch=_hub_outputs(_swap_end_points),
        )
    ),
    _hub(
        Break(
            "TF1 Hub: a batch of three only",
            "loads and runs",
            "GatherV2",
            patch=_inference(_cell("cell_1", _fixed_batch)),
        )
    ),
    _hub(
        Break(
            "TF1 Hub: another image size attached",
            "image sizes attached that differ",
            "33",
            patch=_image_size(),
            along="TF1 Hub: a kernel times 1.001",
        )
    ),
)


#: What is written: the breaks of each artifact.
ARTIFACTS: tuple[tuple[Break, ...], ...] = tuple(
    (first, *(other for other in BREAKS if other.along == first.what)) for first in BREAKS if not first.along
)


def table() -> str:
    """The table of breaks, in Markdown."""
    rows = [f"| {wrong.what} | {wrong.check} | {wrong.begins.rpartition('/')[2]} |" for wrong in BREAKS]
    return "\n".join(["| what is wrong | the check that says so | begins in |", "|---|---|---|", *rows]) + "\n"


def _write(good: Path, prefix: Path, output: Path, numbers: list[int]) -> None:
    """Writes those of `ARTIFACTS`, each into a folder of its number below ``output``."""
    metadata = json.loads((good / artifact.METADATA_FILE).read_text(encoding="utf-8"))
    config = ModelConfig.from_dict(metadata["model"])
    for number in numbers:
        breaks, folder = ARTIFACTS[number], output / str(number)
        task, version = breaks[0].artifact
        if not all(wrong.values for wrong in breaks) or version != metadata["version"]:
            held = _variables(prefix, config, all(wrong.averages for wrong in breaks))
            momentum = next(
                (wrong.momentum for wrong in breaks if wrong.momentum != DEFAULT_MOMENTUM), DEFAULT_MOMENTUM
            )
            with contextlib.ExitStack() as patches:
                for wrong in breaks:
                    if wrong.patch:
                        patches.enter_context(wrong.patch(held))
                WRITERS[config.versions[version]](config, task, held).write(version, folder, momentum)
        else:
            shutil.copytree(good, folder)
        for wrong in breaks:
            if wrong.values:
                bundles.change(folder, wrong.values)
        own = {"task": task, "version": version, "format": config.versions[version]}
        artifact.write_metadata(folder, metadata | own)


def _variables(prefix: Path, config: ModelConfig, averages: bool) -> Held:
    with mock.patch.object(checkpoint, "AVERAGE", checkpoint.AVERAGE if averages else "/None"):
        read = checkpoint.Checkpoint(prefix, config, variables(config, "classification"))
        return read.tensors()


if __name__ == "__main__":
    if len(sys.argv) == 1:
        print(table(), end="")
    else:
        _write(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), [int(number) for number in sys.argv[4:]])
