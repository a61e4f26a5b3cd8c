"""Ways to make an artifact wrong: other values, or the exporter's own writers with one part replaced.

A `Patch` replaces the part while it is open, given the variables that the writers are given.
"""

import contextlib
import copy
import dataclasses
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any
from unittest import mock

import numpy as np
import tensorflow as tf
import tf_slim as slim

from exporter.artifact import hub_messages, hub_module, saved_model
from exporter.graph import compatibility, layers, network
from exporter.models import architecture, variables
from exporter.models.config import Task
from exporter.models.formats import TRAINING_DECAY

v1 = tf.compat.v1

Operations = network.SlimOperations
Walk = architecture._Walk

Held = dict[str, Any]
Patch = Callable[[Held], AbstractContextManager[Any]]


# Values of a good artifact.


def scaled(name: str, factor: float = 1.001) -> Callable[[Held], None]:
    def change(values: Held) -> None:
        values[name] = values[name] * np.float32(factor)

    return change


def swapped(name: str, other: str) -> Callable[[Held], None]:
    def change(values: Held) -> None:
        values[name], values[other] = values[other], values[name]

    return change


# Writers with one part replaced.


def inference(patch: Patch) -> Patch:
    """Makes a graph for inference wrong, and leaves that for training as it is."""

    def patched(held: Held) -> AbstractContextManager[Any]:
        right = network.build

        def build(*arguments: Any, training: bool = False, **options: Any) -> Any:
            with contextlib.nullcontext() if training else patch(held):
                return right(*arguments, training=training, **options)

        return mock.patch.object(network, "build", build)

    return patched


def replace(target: Any, name: str, replacement: Any) -> Patch:
    return lambda held: mock.patch.object(target, name, replacement)


def _in(scope: str) -> bool:
    """Whether a layer is being built within that scope."""
    return v1.get_variable_scope().name.startswith(scope)


def operations_with(**methods: Any) -> Patch:
    """A graph of operations that have other methods."""
    return replace(network, "SlimOperations", type("Wrong", (Operations,), methods))


def images(change: Callable[[Any], Any]) -> Patch:
    """Changes what the first layer gets, which is meant to be in [-1, 1]."""
    return operations_with(images=lambda self: change(Operations.images(self)))


def batch_statistics() -> Patch:
    """Trains where it should infer."""
    right = network.batch_norm

    @slim.add_arg_scope
    def batch_norm(net: Any, *, scope: str, getter: Any, moving: Any) -> Any:
        return right(net, scope=scope, getter=getter, moving=moving or network.Moving(TRAINING_DECAY))

    return replace(network, "batch_norm", batch_norm)


def changed_decay(change: Callable[[Any], Any]) -> Patch:
    """Another decay of the moving averages than the one that is asked for."""
    right = network.Moving
    return replace(network, "Moving", lambda decay: right(change(decay)))


def biased_variance() -> Patch:
    right = tf.raw_ops.FusedBatchNormV3

    def fused_batch_norm(x: Any, **kwargs: Any) -> Any:
        outputs = right(x=x, **kwargs)
        if kwargs["is_training"]:
            count = tf.cast(tf.size(x) / tf.shape(x)[3], tf.float32)
            return outputs._replace(batch_variance=outputs.batch_variance * (count - 1) / count)
        return outputs

    return replace(tf.raw_ops, "FusedBatchNormV3", fused_batch_norm)


def shifted_reduction(scope: str) -> Patch:
    """The second path of a factorized reduction looks at the pixels before instead of those after."""

    def factorized_reduction(self: Any, net: Any, filters: int) -> Any:
        if not _in(scope):
            return Operations.factorized_reduction(self, net, filters)
        pad = tf.pad
        with mock.patch.object(
            network.tf, "pad", lambda net, _: pad(net, [[0, 0], [2, 0], [2, 0], [0, 0]])[:, :-1, :-1]
        ):
            return Operations.factorized_reduction(self, net, filters)

    return operations_with(factorized_reduction=factorized_reduction)


def symmetric_padding(self: Any, net: Any, filters: int, kernel: int, stride: int, scope: str) -> Any:
    """Padded by the same on both sides where it strides, as other frameworks do."""
    if stride == 1:
        return Operations.separable_convolution(self, net, filters, kernel, stride, scope)
    side = [kernel // 2, kernel // 2]
    padded = tf.pad(net.value, [[0, 0], side, side, [0, 0]])
    return layers.separable_conv2d(padded, filters, kernel, stride=stride, padding="VALID", scope=scope)


def pooling(scope: str, wrong: Callable[[Any, int, int], Any]) -> Patch:
    """Another average pooling in a scope."""
    right = layers.avg_pool2d

    @slim.add_arg_scope
    def avg_pool2d(net: Any, kernel: int, stride: int, padding: str) -> Any:
        if kernel > 1 and _in(scope):
            return wrong(net, kernel, stride)
        return right(net, kernel, stride=stride, padding=padding)

    return replace(layers, "avg_pool2d", avg_pool2d)


def counting_padding(net: Any, kernel: int, stride: int) -> Any:
    side = [kernel // 2, kernel // 2]
    return tf.nn.avg_pool2d(tf.pad(net, [[0, 0], side, side, [0, 0]]), kernel, stride, "VALID")


def maximum(net: Any, kernel: int, stride: int) -> Any:
    return tf.nn.max_pool2d(net, kernel, stride, "SAME")


def changed_cell(scope: str, change: Callable[[Any], Any]) -> Patch:
    """Changes what a cell gives."""

    def concatenate(self: Any, states: Any) -> Any:
        own = v1.get_variable_scope().name == scope
        return Operations.concatenate(self, change(states) if own else states)

    return operations_with(concatenate=concatenate)


def changed_logits(logits: Callable[[Any], Any]) -> Patch:
    """Changes the logits, after all else."""
    right = architecture.build

    def build(*arguments: Any) -> Any:
        end_points = right(*arguments)
        return {**end_points, "Logits": logits(end_points["Logits"])}

    return replace(architecture, "build", build)


def relu_in_cells(self: Any, net: Any) -> Any:
    return Operations.relu(self, net) if v1.get_variable_scope().name else net


def early_schedule() -> Patch:
    """Drop path with the probability of the next cell."""
    right = architecture.drop_path_keep_prob
    return replace(architecture, "drop_path_keep_prob", lambda config, cell: right(config, cell + 1))


def _is_dropout(net: Any) -> bool:
    return net.shape.rank == 2


def _drawn(self: Any, uniform: Any, net: Any, keep_prob: float, noise_shape: Any) -> Any:
    """What is kept by numbers of another origin."""
    other = copy.copy(self)
    other.uniform = uniform
    return Operations.drop(other, net, keep_prob, noise_shape)


def drop_path_always(self: Any, net: Any, keep_prob: float) -> Any:
    return _drawn(self, tf.random.uniform, net, keep_prob, tf.stack([tf.shape(net)[0], 1, 1, 1]))


def dropout_always(self: Any, net: Any, keep_prob: float, noise_shape: Any) -> Any:
    return _drawn(self, tf.random.uniform if _is_dropout(net) else self.uniform, net, keep_prob, noise_shape)


def no_dropout(self: Any, net: Any, keep_prob: float, noise_shape: Any) -> Any:
    return net if _is_dropout(net) else Operations.drop(self, net, keep_prob, noise_shape)


def whole_batch(self: Any, net: Any, keep_prob: float, noise_shape: Any) -> Any:
    return Operations.drop(self, net, keep_prob, noise_shape if _is_dropout(net) else [1, 1, 1, 1])


def whole_examples(self: Any, net: Any, keep_prob: float, noise_shape: Any) -> Any:
    return Operations.drop(self, net, keep_prob, [tf.shape(net)[0], 1] if _is_dropout(net) else noise_shape)


def not_rescaled(self: Any, net: Any, keep_prob: float, noise_shape: Any) -> Any:
    if self.uniform is None or _is_dropout(net):
        return Operations.drop(self, net, keep_prob, noise_shape)
    return net * tf.floor(keep_prob + self.uniform(noise_shape))


def drops_what_it_keeps(self: Any, net: Any, keep_prob: float, noise_shape: Any) -> Any:
    if self.uniform is None or _is_dropout(net):
        return Operations.drop(self, net, keep_prob, noise_shape)
    return net / keep_prob * tf.floor(1 - keep_prob + self.uniform(noise_shape))


def seeded(self: Any, net: Any, keep_prob: float, noise_shape: Any) -> Any:
    uniform = self.uniform and (lambda shape: tf.random.uniform(shape, seed=7))
    return _drawn(self, uniform, net, keep_prob, noise_shape)


def stateless(self: Any, net: Any, keep_prob: float, noise_shape: Any) -> Any:
    # Of one number each, in the order of building: no two decisions are the same, but all calls are.
    seed = [len(tf.compat.v1.get_default_graph().get_operations()), 1]
    draw = lambda shape: tf.raw_ops.StatelessRandomUniform(shape=shape, seed=seed)  # noqa: E731
    return _drawn(self, self.uniform and draw, net, keep_prob, noise_shape)


def drop_path_on_identities() -> Patch:
    right = Walk._branch

    def branch(self: Any, side: str, branch: Any, net: Any, filters: int, stride: int, drop_path: Any) -> Any:
        net = right(self, side, branch, net, filters, stride, drop_path)
        if branch.kind != "none":
            return net
        with tf.name_scope(f"{v1.get_default_graph().get_name_scope()}/{side}/"):  # the same scope once more
            return net.becomes(drop_path(net.value))

    return replace(Walk, "_branch", branch)


def stopped_previous(scope: str) -> Patch:
    """No gradient through the state before, in one cell."""
    right = Walk._match_previous

    def match_previous(self: Any, *arguments: Any) -> Any:
        net = right(self, *arguments)
        return net.becomes(tf.stop_gradient(net.value)) if _in(scope) else net

    return replace(Walk, "_match_previous", match_previous)


def stopped_identity(scope: str) -> Patch:
    """No gradient through an identity: every variable is still reached in another way."""
    right = Walk._branch

    def branch(self: Any, side: str, branch: Any, net: Any, *arguments: Any) -> Any:
        result = right(self, side, branch, net, *arguments)
        stops = _in(scope) and branch.kind == "none"
        return result.becomes(tf.stop_gradient(result.value)) if stops else result

    return replace(Walk, "_branch", branch)


def changed_kernels(change: Callable[[str, bool], bool]) -> Patch:
    """Another opinion on whether a variable is a kernel."""
    right = vars(variables.VariableSpec)["is_kernel"].fget
    return replace(variables.VariableSpec, "is_kernel", property(lambda spec: change(spec.name, right(spec))))


def unlisted(name: str) -> Patch:
    """A variable that says of itself that it is trainable, although it is not listed as one that is."""
    right = saved_model.Objects.listed

    def listed(self: Any, attribute: str, members: Any) -> None:
        if attribute == "trainable_variables":
            members = [number for number in members if self.saved.nodes[number].variable.name != name]
        right(self, attribute, members)

    return replace(saved_model.Objects, "listed", listed)


def frozen(name: str) -> Patch:
    """A variable that says of itself that it is not trainable, although it is listed as one that is."""
    right = saved_model.Objects.variable

    def variable(self: Any, spec: Any) -> int:
        number = right(self, spec)
        if spec.name == name:
            self.saved.nodes[number].variable.trainable = False
        return number

    return replace(saved_model.Objects, "variable", variable)


def shared_otherwise(name: str, synchronization: int, aggregation: int) -> Patch:
    """A variable that replicas of a distributed training share in another way."""
    right = saved_model.Objects.variable

    def variable(self: Any, spec: Any) -> int:
        number = right(self, spec)
        if spec.name == name:
            held = self.saved.nodes[number].variable
            held.synchronization, held.aggregation = synchronization, aggregation
        return number

    return replace(saved_model.Objects, "variable", variable)


def regularization(factor: float) -> Patch:
    right = layers.regularization_loss
    return replace(layers, "regularization_loss", lambda kernels, decay: right(kernels, factor * decay))


def leftover(held: Held) -> AbstractContextManager[Any]:
    """The classifier's variables are saved with a feature vector, out of sight."""
    right = saved_model._stored

    def stored(*arguments: Any) -> Held:
        names = ("final_layer/FC/weights", "final_layer/FC/biases")
        return right(*arguments) | {name: held[name] for name in names}

    return mock.patch.object(saved_model, "_stored", stored)


def unknown_operation() -> Patch:
    """An operation that TensorFlow 1.15 does not have, past the compatibility check."""
    patched = changed_logits(
        lambda net: tf.raw_ops.BatchMatMulV3(
            x=net, y=tf.constant(np.eye(net.shape[1], dtype=np.float32)), Tout=tf.float32
        )
    )

    @contextlib.contextmanager
    def patch(held: Held) -> Iterator[None]:
        with patched(held), mock.patch.object(compatibility, "require"):
            yield

    return patch


def changed_collections(change: Callable[[Any, bool], None]) -> Patch:
    """Changes the collections of a hub module; ``change`` is given them, and whether it is that for training."""

    def patch(_: Held) -> AbstractContextManager[Any]:
        # The one that is there now, which may be wrong already.
        before = hub_module._fill_collections

        def fill(meta_graph: Any, *arguments: Any) -> None:
            before(meta_graph, *arguments)
            change(meta_graph.collection_def, arguments[-1])

        return mock.patch.object(hub_module, "_fill_collections", fill)

    return patch


def one_update_less(collections: Any, training: bool) -> None:
    if training:
        del collections[v1.GraphKeys.UPDATE_OPS].node_list.value[5]


def update_in_inference(collections: Any, training: bool) -> None:
    if not training:
        collections[v1.GraphKeys.UPDATE_OPS].node_list.value.append(v1.no_op().name)


def collection_of_losses(collections: Any, training: bool) -> None:
    first = v1.get_default_graph().get_operations()[0].outputs[0]
    collections["losses"].node_list.value.append(first.name)


def no_loss(collections: Any, training: bool) -> None:
    collections.pop(v1.GraphKeys.REGULARIZATION_LOSSES, None)


def hub_signatures(change: Callable[[Held], Any]) -> Patch:
    right = hub_module.hub_signatures

    def signatures(task: Task, version: int) -> Held:
        named = right(task, version)
        change(named)
        return named

    return replace(hub_module, "hub_signatures", signatures)


def without_momentum(signatures: Held) -> None:
    name = "image_feature_vector_with_bn_hparams"
    signatures[name] = dataclasses.replace(signatures[name], inputs=("images",))


def hub_outputs(change: Callable[[Held], Any]) -> Patch:
    right = hub_module._outputs

    def outputs(*arguments: Any) -> Held:
        named = right(*arguments)
        change(named)
        return named

    return replace(hub_module, "_outputs", outputs)


def swap_end_points(outputs: Held) -> None:
    swapped("broken_nasnet/Cell_0", "broken_nasnet/Cell_1")(outputs)


def fixed_batch(states: list[Any]) -> list[Any]:
    """What works for three examples only."""
    return [states[0].becomes(tf.gather(states[0].value, [0, 1, 2])), *states[1:]]


def image_size() -> Patch:
    right = hub_messages.image_size_attachment
    return replace(hub_messages, "image_size_attachment", lambda size: right(size + 1))
