"""Loads a TF2 SavedModel as its users do, runs it, and records the results."""

import contextlib
import gc
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_hub as hub

from exporter.errors import ArtifactError, reason
from exporter.files.arrays import digest
from exporter.models.formats import TRAINING_MOMENTUM
from exporter.probe import default_momentum, drop_path, end_points, keeping_copy, saved_model_file
from exporter.probe.eager import GraphOnlyError
from exporter.probe.gradients import reached, reached_by_tape, weighed, weighed_by_tape
from exporter.probe.jobs import DRAWS
from exporter.probe.observations import Gradients, ProbedFile, Variables
from exporter.probe.reuse import PreviousProbes, network_key
from exporter.probe.writer import ProbeWriter
from exporter.progress import Say

v1 = tf.compat.v1


def probe(
    path: Path,
    images: np.ndarray,
    found: ProbeWriter,
    previous: Mapping[Path, str | None],
    say: Say,
    scratch: Path,
) -> ProbedFile:
    """Loads a TF2 SavedModel and runs it.

    Args:
        images: float32 [batch, size, size, 3] in [0, 1].
        found: takes what it gives.
        previous: the folders that previous probes wrote, and the ``network`` of each.
        scratch: an existing folder for files that need not stay.

    Raises:
        ArtifactError: it is damaged, or cannot be used as its format promises.
    """
    file = saved_model_file.read(path)
    network = network_key(file.saved_model)
    same = PreviousProbes.of_network(previous, network)
    probe_saved_model(path, file.saved_model, images, found, same, say, scratch)
    saved_model_file.write_facts(path, file, found)
    return ProbedFile(file.problems, network)


def probe_saved_model(
    path: Path,
    saved_model: Any,
    images: np.ndarray,
    found: ProbeWriter,
    previous: PreviousProbes,
    say: Say,
    scratch: Path,
) -> None:
    """Runs a TF2 SavedModel on ``images``, float32 [batch, size, size, 3], and records the results.

    If a network with the same values of variables was probed before, only the object's call and its signatures are
    run.

    Args:
        saved_model: the ``SavedModel`` protobuf of the artifact in ``path``; it is changed.
        previous: probes of artifacts with the same `exporter.probe.reuse.network_key`.
        scratch: a folder for files that need not stay.

    Raises:
        ArtifactError: it does not load, or is no reusable SavedModel.
    """
    once = keeping_copy.infers_as_it_is(saved_model)
    with keeping_copy.written(path, saved_model, scratch) as copy:
        loaded = _loaded(copy if once else path, path)
        try:
            # Before anything runs that could change them.
            names, digests = [_name(variable) for variable in loaded.variables], _digests(loaded)
            found.variables(names, digests)
            # An object that takes no momentum fails below.
            found.momentum_settable(True)
            same = previous.with_same_variables(names, digests)
            say("running the artifact" + (", but not the network, which ran before" if same else ""))
            _call(loaded, images, found)
            if not same:
                _run_network(loaded, images, found)
            after = _digests(loaded)
            found.digests_after_inference(after)
            if same:
                found.link_network(same)
                return
            inference, training = (_function(loaded, training).graph for training in (False, True))
            found.random_decisions(drop_path.draw(training, DRAWS), len(drop_path.sites(inference)))
            if not once or after != digests:
                # Two large networks at a time need more memory than many a machine has.
                del loaded, inference, training
                gc.collect()
                loaded = _loaded(copy, path)
            found.training_variables(Variables(names, digests, _train(loaded, images, found)))
        except (AttributeError, TypeError, ValueError, tf.errors.OpError) as error:
            raise ArtifactError(f"{path} cannot be used as a reusable SavedModel: {reason(error)}") from error


def _loaded(file: Path, path: Path) -> Any:
    """What users get of the artifact in ``path``, or of its copy in ``file``."""
    try:
        return hub.load(str(file))
    except Exception as error:
        told = reason(error).replace(str(file), str(path))
        raise ArtifactError(f"{path} does not load with hub.load: {told}") from error


def _name(variable: Any) -> str:
    return variable.name.removesuffix(":0")


def _is_replica_mean(variable: Any) -> bool:
    """Whether each replica moves a variable of its own, and reads the mean of all."""
    return (variable.synchronization, variable.aggregation) == (
        tf.VariableSynchronization.ON_READ,
        tf.VariableAggregation.MEAN,
    )


def _handles(loaded: Any) -> dict[Any, str]:
    return {variable.handle.ref(): _name(variable) for variable in loaded.variables}


def _given(loaded: Any, function: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """The values of the variables that a function captures, and their names, each by the node that stands for it."""
    by_handle = {variable.handle.ref(): variable for variable in loaded.variables}
    pairs = zip(function.graph.internal_captures, function.captured_inputs, strict=True)
    held = {inside.op.name: by_handle[outside.ref()] for inside, outside in pairs if outside.ref() in by_handle}
    values = {node: variable.read_value() for node, variable in held.items()}
    return values, {node: _name(variable) for node, variable in held.items()}


def _call(loaded: Any, images: np.ndarray, found: ProbeWriter) -> None:
    """Runs what users of the object call: the object itself, and its signatures."""
    found.trainable([_name(variable) for variable in loaded.trainable_variables])
    found.replica_means([_name(variable) for variable in loaded.variables if _is_replica_mean(variable)])
    found.output(loaded(tf.constant(images)).numpy())
    inputs = []
    for name, function in loaded.signatures.items():
        (argument,) = function.structured_input_signature[1]
        inputs.append(f"{name}/{argument}")
        outputs = function(**{argument: tf.constant(images)})
        found.signatures({f"{name}/{output}": value.numpy() for output, value in outputs.items()})
    found.signature_inputs(inputs)


def _run_network(loaded: Any, images: np.ndarray, found: ProbeWriter) -> None:
    found.regularization_losses(np.array([loss().numpy() for loss in loaded.regularization_losses]))
    found.l2_weights(_l2_weights(loaded))
    # For a single image, the session is used again; calling the object would prepare the graph once more.
    batches = (images, images[:1])
    (_, shown), (single, _) = end_points.run(
        _function(loaded, training=False), _values(loaded), _handles(loaded), batches
    )
    found.single_output(single)
    found.end_points(shown)


def _l2_weights(loaded: Any) -> dict[str, float]:
    """See `exporter.probe.gradients.weighed`."""
    losses = list(loaded.regularization_losses)
    functions = [function for loss in losses for function in loss.concrete_functions]
    if len(functions) == 1:
        (function,) = functions
        given, variables = _given(loaded, function)
        with contextlib.suppress(GraphOnlyError):
            output = end_points.output(function).name
            return weighed(function.graph.as_graph_def(), [output], given, variables)[1]
    # In artifacts of other writers; it calls functions as their users do, which takes longer.
    return weighed_by_tape(losses, list(loaded.variables))


def _train(loaded: Any, images: np.ndarray, found: ProbeWriter) -> list[str]:
    """Trains two steps with drop path and dropout that keep everything, rescaled; returns the digests after them."""
    found.moving_statistics("before", _statistics(loaded))
    tensor = tf.constant(images)
    output = loaded(tensor, training=True, batch_norm_momentum=tf.constant(TRAINING_MOMENTUM))
    found.training_output(output.numpy())
    found.moving_statistics("after_set_momentum", _statistics(loaded))
    default = default_momentum.of(loaded.__call__, tensor)
    if default is None:
        loaded(tensor, training=True)
    else:
        loaded(tensor, training=True, batch_norm_momentum=tf.constant(default))
    found.moving_statistics("after_default_momentum", _statistics(loaded))
    after = _digests(loaded)
    found.gradients(_gradients(loaded, images[:1]))
    return after


def _gradients(loaded: Any, images: np.ndarray) -> Gradients:
    """See `exporter.probe.gradients.reached`."""
    function = _function(loaded, training=True)
    given, variables = _given(loaded, function)
    # A tape, too, does not watch variables that say they are not trained.
    trained = {_name(variable) for variable in loaded.variables if variable.trainable}
    variables = {node: name for node, name in variables.items() if name in trained}
    image, output = function.graph.inputs[0].op.name, end_points.output(function).name
    try:
        return reached(function.graph.as_graph_def(), output, image, images.shape[1], given, variables)
    except GraphOnlyError:
        # The network is in functions that this one calls, in artifacts of other writers; see `_l2_weights`.
        return reached_by_tape(lambda: loaded(tf.constant(images), training=True), loaded.variables)


def _function(loaded: Any, training: bool) -> Any:
    """The traced function for that value of ``training``."""
    # ``type(loaded)`` has a ``__call__`` of its own, which forwards to this one.
    for function in loaded.__call__.concrete_functions:
        if training in [value for value in function.structured_input_signature[0] if isinstance(value, bool)]:
            return function
    raise ValueError(f"it has no function that was traced for training={training}")


def _statistics(loaded: Any) -> dict[str, np.ndarray]:
    trainable = {variable.name for variable in loaded.trainable_variables}
    return {_name(variable): _value(variable) for variable in loaded.variables if variable.name not in trainable}


def _digests(loaded: Any) -> list[str]:
    return [digest(_value(variable)) for variable in loaded.variables]


def _values(loaded: Any) -> dict[str, np.ndarray]:
    return {_name(variable): _value(variable) for variable in loaded.variables}


def _value(variable: Any) -> np.ndarray:
    """A variable's current value, without a copy. Later assignments do not change it while it is in use."""
    return np.asarray(variable.read_value())
