"""Loads a TF1 Hub module with each of its tag sets, runs it, and records the results."""

import gc
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_hub as hub

from exporter.errors import ArtifactError, reason
from exporter.files.arrays import digest
from exporter.graph import unoptimized
from exporter.models.formats import HUB_MODULE_FILE, TRAINING_MOMENTUM
from exporter.models.signatures import IMAGE_INPUT, MOMENTUM_INPUT
from exporter.models.variables import STATISTICS
from exporter.probe import drop_path, linked_copy, saved_model_file
from exporter.probe.eager import GraphOnlyError
from exporter.probe.gradients import reached, reached_in_session, small_graph, weighed, weighed_in_session
from exporter.probe.jobs import DRAWS
from exporter.probe.meta_graph import (
    collection,
    default_momenta,
    image_size,
    keeping_all,
    momentum_inputs,
    outputs,
    read,
    restore,
    running,
    values,
    variables,
)
from exporter.probe.observations import Gradients, ProbedFile, Variables
from exporter.probe.reuse import PreviousProbes, tensor_keys
from exporter.probe.updates import Updates
from exporter.probe.writer import ProbeWriter
from exporter.progress import Say

v1 = tf.compat.v1

#: By what is computed, the keys of the tensors that it depends on, by their names.
_Keys = Mapping[str, Mapping[str, str]]


def probe(
    path: Path,
    images: np.ndarray,
    found: ProbeWriter,
    previous: Mapping[Path, str | None],
    say: Say,
    scratch: Path,
) -> ProbedFile:
    """Loads a TF1 Hub module and runs it; see `exporter.probe.saved_model.probe`."""
    file = saved_model_file.read(path)
    # Whether two modules have something in common is found by comparing their graphs.
    same = PreviousProbes.of_network(previous, HUB_MODULE_FILE)
    try:
        probe_hub_module(file.saved_model, path, images, found, same, say, scratch)
    except Exception as error:
        raise ArtifactError(f"{path} cannot be used as a TF1 Hub module: {reason(error)}") from error
    saved_model_file.write_facts(path, file, found)
    return ProbedFile(file.problems, HUB_MODULE_FILE)


def probe_hub_module(
    saved_model: Any,
    path: Path,
    images: np.ndarray,
    found: ProbeWriter,
    previous: PreviousProbes,
    say: Say,
    scratch: Path,
) -> None:
    """Writes what the module gives for ``images``, float32 [batch, size, size, 3].

    In inference, the tag set ``{}`` is imported as ``hub.Module`` does, and loaded as ``hub.load`` gives it. In
    training, ``{"train"}`` is imported, with every random number replaced by one. What depends on the same tensors
    (`exporter.probe.reuse.tensor_keys`) and values as in one of the previous modules is not run again; and
    ``hub.load``, which makes a function of each signature, is given the default one alone where all outputs do.

    Where a tag set is missing, only what the MetaGraphs list is written.

    Args:
        saved_model: the ``SavedModel`` protobuf of the artifact in ``path``.
        scratch: where temporary files go.
    """
    meta_graphs = {frozenset(graph.meta_info_def.tags): graph for graph in saved_model.meta_graphs}
    tag_sets = sorted(",".join(sorted(tags)) for tags in meta_graphs)
    found.meta_graphs(tag_sets, sorted({key for graph in meta_graphs.values() for key in graph.collection_def}))
    if not {frozenset(), frozenset({"train"})} <= set(meta_graphs):
        return
    found.attached_image_sizes([image_size(graph) for graph in meta_graphs.values()])
    signatures = [signature for graph in meta_graphs.values() for signature in graph.signature_def.values()]
    found.momentum_settable(any(MOMENTUM_INPUT in signature.inputs for signature in signatures))
    inference, training = meta_graphs[frozenset()], meta_graphs[frozenset({"train"})]
    updates = [len(collection(graph, v1.GraphKeys.UPDATE_OPS)) for graph in (inference, training)]
    found.update_operations(inference=updates[0], training=updates[1])
    _write_decisions(training, inference, found)
    # Graphs are freed by the garbage collector only, and two of them need more memory than many machines have.
    gc.collect()
    (output_keys,) = _keys(inference, outputs(inference.signature_def))
    inputs = [f"{name}/{key}" for name, signature in inference.signature_def.items() for key in signature.inputs]
    if previous.with_outputs(output_keys):
        with linked_copy.written(path, _with_default_alone(saved_model, inference), scratch) as copy:
            names, digests, _ = _load(copy, images[:1], found)
    else:
        names, digests, inputs = _load(path, images[:1], found)
    found.signature_inputs(inputs)
    gc.collect()
    previous = previous.with_variables(names, digests)
    _infer(path, inference, images, output_keys, names, found, previous, say)
    gc.collect()
    training = keeping_all(training)
    keys = _training_keys(training)
    _train(path, training, images, keys, found, previous)
    gc.collect()
    _write_gradients(path, training, images.shape[1], keys, found, previous)
    found.main_signature("default")


def _write_decisions(training: Any, inference: Any, found: ProbeWriter) -> None:
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(training.graph_def, name="")
    in_inference = sum(drop_path.is_draw(node) for node in inference.graph_def.node)
    found.random_decisions(drop_path.draw(graph, DRAWS), in_inference)


def _with_default_alone(saved_model: Any, inference: Any) -> Any:
    """The protobuf of a module with this MetaGraph alone, and of its signatures with the default one."""
    alone = type(saved_model)(saved_model_schema_version=saved_model.saved_model_schema_version)
    alone.meta_graphs.append(inference)
    signatures = alone.meta_graphs[0].signature_def
    for name in [name for name in signatures if name != "default"]:
        del signatures[name]
    return alone


def _load(path: Path, image: np.ndarray, found: ProbeWriter) -> tuple[list[str], list[str], list[str]]:
    """The module as ``hub.load`` gives it, for one image.

    Returns:
        The names and digests of its variables, and the inputs of its signatures.
    """
    loaded = hub.load(str(path), tags=[])
    inputs = {name: function.structured_input_signature[1] for name, function in loaded.signatures.items()}
    names = [variable.name.removesuffix(":0") for variable in loaded.variables]
    digests = [digest(np.asarray(variable.read_value())) for variable in loaded.variables]
    found.variables(names, digests)
    single = loaded.signatures["default"](**{IMAGE_INPUT: tf.constant(image)})["default"]
    found.single_output(single.numpy())
    return names, digests, [f"{name}/{key}" for name, keys in inputs.items() for key in keys]


def _infer(
    path: Path,
    meta_graph: Any,
    images: np.ndarray,
    keys: Mapping[str, str],
    names: list[str],
    found: ProbeWriter,
    previous: PreviousProbes,
    say: Say,
) -> None:
    """The outputs of the signatures in inference, by their keys, and the variables after it."""
    signatures = meta_graph.signature_def
    found.output_keys(keys)
    if same := previous.with_outputs(keys):
        say("running the artifact, but not what ran before")
        other, there = same
        found.link_signatures(other, there)
        after = other.variables.after_by_name
        found.digests_after_inference([after[name] for name in names])
        return
    say("running the artifact")
    # In inference, a momentum must have no effect.
    feed = _images_feed(signatures, images) | _momenta(signatures, TRAINING_MOMENTUM)
    with running(meta_graph, path) as (session, by_name):
        found.signatures(session.run(outputs(signatures), feed))
        values = session.run(by_name)
        found.digests_after_inference([digest(values[name]) if name in values else "" for name in names])


def _train(
    path: Path, meta_graph: Any, images: np.ndarray, keys: _Keys, found: ProbeWriter, previous: PreviousProbes
) -> None:
    """The outputs of the signatures in training, and what the update operations do, run twice."""
    signatures = meta_graph.signature_def
    found.output_keys(keys["outputs"], training=True)
    found.update_keys(keys["updates"])
    inputs = [f"{name}/{key}" for name, signature in signatures.items() for key in signature.inputs]
    found.signature_inputs(inputs, training=True)
    names = variables(meta_graph, v1.GraphKeys.GLOBAL_VARIABLES)
    found.trainable(variables(meta_graph, v1.GraphKeys.TRAINABLE_VARIABLES))
    statistics = [name for name in names if name.rsplit("/", 1)[-1] in STATISTICS]
    same_outputs = previous.with_outputs(keys["outputs"], training=True)
    if same_outputs:
        found.link_signatures(*same_outputs, training=True)
    same_updates = previous.with_updates(keys["updates"])
    if same_outputs and same_updates and set(names) <= set(same_updates.training_variables.names):
        found.link_moving_statistics(same_updates, statistics)
        before, after = same_updates.training_variables.by_name, same_updates.training_variables.after_by_name
        found.training_variables(Variables(names, [before[name] for name in names], [after[name] for name in names]))
        return
    feed = _images_feed(signatures, images)
    updates = _updates(meta_graph)
    with running(meta_graph, path, unoptimized.CONFIG) as (session, by_name):
        values = session.run(by_name)
        found.moving_statistics("before", {name: values[name] for name in statistics})
        digests = _digests(values, names)
        fetched = {
            "updates": v1.get_collection(v1.GraphKeys.UPDATE_OPS),
            "outputs": {} if same_outputs else outputs(signatures),
            "batch": updates.statistics if updates else {},
        }
        values = {}  # before there are more
        step = session.run(fetched, feed | _momenta(signatures, TRAINING_MOMENTUM))
        values = session.run(by_name)
        found.moving_statistics("after_set_momentum", {name: values[name] for name in statistics})
        if not same_outputs:
            found.signatures(step["outputs"], training=True)
        defaults = default_momenta(signatures)
        if not updates:
            step = {}
            # With the same things fetched and fed, it has nothing to prepare, which takes longer than to run.
            session.run(fetched, feed | defaults)
            values = session.run(by_name)
    if updates:
        # The network would give the same statistics of the batch again.
        given = {name: tf.constant(value) for name, value in values.items() if name in updates.statistics}
        given |= {name.partition(":")[0]: tf.constant(value, tf.float32) for name, value in defaults.items()}
        values |= updates.moved(given, step["batch"])
    found.moving_statistics("after_default_momentum", {name: values[name] for name in statistics})
    found.training_variables(Variables(names, digests, _digests(values, names)))


def _updates(meta_graph: Any) -> Updates | None:
    """The update operations of a module, which run by themselves; None where these, of other writers, do not."""
    declared = {name: name for name in variables(meta_graph, v1.GraphKeys.GLOBAL_VARIABLES)}
    momenta = [name.partition(":")[0] for name in momentum_inputs(meta_graph.signature_def)]
    try:
        return Updates(meta_graph.graph_def, collection(meta_graph, v1.GraphKeys.UPDATE_OPS), declared, momenta)
    except GraphOnlyError:
        return None


def _write_gradients(
    path: Path, meta_graph: Any, size: int, keys: _Keys, found: ProbeWriter, previous: PreviousProbes
) -> None:
    """Regularization losses, the L2 weights of variables, and what a loss of the default output reaches."""
    default = meta_graph.signature_def["default"]
    found.gradient_keys(keys["gradients"])
    if same := previous.with_gradients(keys["gradients"]):
        found.link_gradients(same)
        return
    losses = collection(meta_graph, v1.GraphKeys.REGULARIZATION_LOSSES)
    output, images = (tensor.name for tensor in (default.outputs["default"], default.inputs[IMAGE_INPUT]))
    held = values(meta_graph, path)
    variables = {name: name for name in held}
    try:
        values_of_losses, weights = weighed(meta_graph.graph_def, losses, held, variables)
        gradients = reached(meta_graph.graph_def, output, images.partition(":")[0], size, held, variables)
    except GraphOnlyError:
        values_of_losses, weights, gradients = _in_session(meta_graph, losses, output, images, size, path)
    found.regularization_losses(np.array(values_of_losses, np.float64))
    found.l2_weights(weights)
    found.gradients(gradients)


def _in_session(
    meta_graph: Any, losses: list[str], output: str, images: str, size: int, path: Path
) -> tuple[list[float], dict[str, float], Gradients]:
    """What `weighed` and `reached` give, where they cannot."""
    with (
        small_graph(meta_graph.graph_def, images, size) as (graph, feed),
        v1.Session(graph=graph, config=unoptimized.CONFIG) as session,
    ):
        names = restore(session, meta_graph, path)
        sources = {name: [graph.get_tensor_by_name(f"{name}:0")] for name in names}
        tensors = [graph.get_tensor_by_name(name) for name in losses]
        value = lambda name, dtype: read(sources[name][0], dtype)  # noqa: E731
        weights = weighed_in_session(tensors, sources, value, session)
        gradients = reached_in_session(graph.get_tensor_by_name(output), sources, feed, session)
        return list(session.run(tensors)), weights, gradients


def _keys(meta_graph: Any, *groups: Mapping[str, str]) -> list[dict[str, str]]:
    """For each group of tensors their keys, by what they are called here; none where the graph has none."""
    fed = {meta_graph.signature_def["default"].inputs[IMAGE_INPUT].name: IMAGE_INPUT}
    keys = tensor_keys(meta_graph.graph_def, [tensor for group in groups for tensor in group.values()], fed)
    return [{name: keys[tensor] for name, tensor in group.items()} if keys else {} for group in groups]


def _training_keys(meta_graph: Any) -> dict[str, dict[str, str]]:
    """The keys of the outputs, of what moves statistics, and of what gradients start from."""
    signatures = meta_graph.signature_def
    updates = [*collection(meta_graph, v1.GraphKeys.UPDATE_OPS), *momentum_inputs(signatures)]
    losses = collection(meta_graph, v1.GraphKeys.REGULARIZATION_LOSSES)
    started = {"default": signatures["default"].outputs["default"].name} | {name: name for name in losses}
    groups = {"outputs": outputs(signatures), "updates": {name: name for name in updates}, "gradients": started}
    return dict(zip(groups, _keys(meta_graph, *groups.values()), strict=True))


def _digests(values: Mapping[str, np.ndarray], names: Iterable[str]) -> list[str]:
    return [digest(values[name]) for name in names]


def _images_feed(signatures: Any, images: np.ndarray) -> dict[str, Any]:
    return {signatures["default"].inputs[IMAGE_INPUT].name: images}


def _momenta(signatures: Any, momentum: float) -> dict[str, float]:
    return dict.fromkeys(momentum_inputs(signatures), momentum)
