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
from exporter.graph import unoptimized
from exporter.models.formats import TRAINING_MOMENTUM
from exporter.probe import default_momentum, drop_path, end_points, keeping_copy, saved_model_file
from exporter.probe.eager import GraphOnlyError
from exporter.probe.gradients import reached, reached_by_tape, weighed, weighed_by_tape
from exporter.probe.jobs import DRAWS
from exporter.probe.observations import Gradients, ProbedFile, Variables
from exporter.probe.reuse import PreviousProbes, network_key
from exporter.probe.updates import Updates, assigning
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
            contents = _Contents()
            names, digests = [_name(variable) for variable in loaded.variables], contents.digests(loaded)
            found.variables(names, digests)
            # An object that takes no momentum fails below.
            found.momentum_settable(True)
            same = previous.with_same_variables(names, digests)
            say("running the artifact" + (", but not the network, which ran before" if same else ""))
            any_number = _takes_any_number(loaded)
            _call(loaded, images, found, any_number)
            if not same:
                _run_network(loaded, images, found, any_number)
            after = contents.digests(loaded)
            found.digests_after_inference(after)
            if same:
                found.link_network(same)
                return
            inference, training = (_function(loaded, training).graph for training in (False, True))
            found.random_decisions(drop_path.draw(training, DRAWS), len(drop_path.sites(inference)))
            if not once or after != digests:
                # Two large networks at a time need more memory than many a machine has.
                del loaded, inference, training
                contents.forget()
                gc.collect()
                loaded = _loaded(copy, path)
            _train(loaded, images, found)
            found.training_variables(Variables(names, digests, contents.digests(loaded)))
            found.gradients(_gradients(loaded, images[:1]))
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


def _takes_any_number(loaded: Any) -> bool:
    """Whether all calls in inference are calls of one function, which takes any number of images."""
    functions = _functions(loaded, training=False)
    return len(functions) == 1 and functions[0].graph.inputs[0].shape[:1].as_list() == [None]


def _call(loaded: Any, images: np.ndarray, found: ProbeWriter, any_number: bool) -> None:
    """Runs what users of the object call: the object itself, and its signatures."""
    found.trainable([_name(variable) for variable in loaded.trainable_variables])
    found.replica_means([_name(variable) for variable in loaded.variables if _is_replica_mean(variable)])
    if any_number:
        # A call with more would run the function that `_run_network` runs with more, which takes longer.
        found.single_output(loaded(tf.constant(images[:1])).numpy())
    else:
        found.output(loaded(tf.constant(images)).numpy())
    inputs = []
    for name, function in loaded.signatures.items():
        (argument,) = function.structured_input_signature[1]
        inputs.append(f"{name}/{argument}")
        outputs = function(**{argument: tf.constant(images)})
        found.signatures({f"{name}/{output}": value.numpy() for output, value in outputs.items()})
    found.signature_inputs(inputs)


def _run_network(loaded: Any, images: np.ndarray, found: ProbeWriter, any_number: bool) -> None:
    """Runs the function that is called in inference: for that number of images of which `_call` runs none."""
    found.regularization_losses(np.array([loss().numpy() for loss in loaded.regularization_losses]))
    found.l2_weights(_l2_weights(loaded))
    batches = (images,) if any_number else (images, images[:1])
    (output, shown), *rest = end_points.run(
        _function(loaded, training=False), _values(loaded), _handles(loaded), batches
    )
    found.end_points(shown)
    if any_number:
        found.output(output)
    for single, _ in rest:
        found.single_output(single)


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


def _train(loaded: Any, images: np.ndarray, found: ProbeWriter) -> None:
    """Trains two steps with drop path and dropout that keep everything, rescaled."""
    before = _statistics(loaded)
    found.moving_statistics("before", before)
    tensor = tf.constant(images)
    with unoptimized.calls():
        output = loaded(tensor, training=True, batch_norm_momentum=tf.constant(TRAINING_MOMENTUM))
        found.training_output(output.numpy())
        found.moving_statistics("after_set_momentum", _statistics(loaded))
        default = default_momentum.of(loaded.__call__, tensor)
        if default is None:
            loaded(tensor, training=True)
            last = _statistics(loaded)
        else:
            last = _second_step(loaded, tensor, before, default)
        found.moving_statistics("after_default_momentum", last)


def _second_step(loaded: Any, images: Any, before: Mapping[str, np.ndarray], momentum: float) -> dict[str, np.ndarray]:
    """The moving statistics after a step with that momentum, which follows one with `TRAINING_MOMENTUM`.

    The network would give the same statistics of the batch again. They follow from how far the first step moved what
    was ``before``, and the artifact's own operations move the averages towards them.
    """
    after = _statistics(loaded)
    try:
        (function,) = _functions(loaded, training=True)
        given, variables = _given(loaded, function)
        graph_def, place = function.graph.as_graph_def(), function.graph.inputs[1].op.name
        updates = Updates(graph_def, assigning(graph_def, variables), variables, [place])
    except (GraphOnlyError, ValueError):
        # In artifacts of other writers; it takes as long as the first step.
        loaded(images, training=True, batch_norm_momentum=tf.constant(momentum))
        return _statistics(loaded)
    batch = {name: _moved_towards(before[name], after[name]) for name in updates.statistics}
    return after | updates.moved({**given, place: tf.constant(momentum)}, batch)


def _moved_towards(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """What a step with `TRAINING_MOMENTUM` moved an average towards."""
    return before + (after - before) / np.float32(1 - TRAINING_MOMENTUM)


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
    """The first function that was traced for that value of ``training``."""
    if not (functions := _functions(loaded, training)):
        raise ValueError(f"it has no function that was traced for training={training}")
    return functions[0]


def _functions(loaded: Any, training: bool) -> list[Any]:
    """The functions that were traced for that value of ``training``."""
    # ``type(loaded)`` has a ``__call__`` of its own, which forwards to this one.
    return [
        function
        for function in loaded.__call__.concrete_functions
        if any(value is training for value in function.structured_input_signature[0])
    ]


def _statistics(loaded: Any) -> dict[str, np.ndarray]:
    trainable = {variable.name for variable in loaded.trainable_variables}
    return {_name(variable): _value(variable) for variable in loaded.variables if variable.name not in trainable}


class _Contents:
    """The digests of variables at several times; what lies where it lay is the same, and is digested once."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, tuple[int, ...]], tuple[np.ndarray, str]] = {}

    def digests(self, loaded: Any) -> list[str]:
        """Those of an object's variables, in their order."""
        found = []
        for variable in loaded.variables:
            value = _value(variable)
            place = value.__array_interface__["data"][0], value.shape
            if place not in self._known:
                self._known[place] = value, digest(value)
            found.append(self._known[place][1])
        return found

    def forget(self) -> None:
        """Gives up the memory of variables that nobody else needs."""
        self._known = {}


def _values(loaded: Any) -> dict[str, np.ndarray]:
    return {_name(variable): _value(variable) for variable in loaded.variables}


def _value(variable: Any) -> np.ndarray:
    """A variable's current value, without a copy. Later assignments do not change it while it is in use."""
    return np.asarray(variable.read_value())
