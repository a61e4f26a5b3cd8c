"""The worker job that loads an artifact as its users do, and writes down what it does."""

import contextlib
import gc
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_hub as hub
from tensorflow.core.protobuf import saved_model_pb2

from exporter.errors import ArtifactError
from exporter.files.arrays import Found, LazyArrays, digest
from exporter.models.formats import TRAINING_MOMENTUM
from exporter.probe import drop_path, end_points, saved_model_file
from exporter.probe.gradients import PLAIN, pulled, pulled_taped, reached, small_graph, taped
from exporter.probe.jobs import DRAWS
from exporter.probe.output import ProbeOutput
from exporter.probe.reuse import network_key
from exporter.progress import Say

v1 = tf.compat.v1


#: Arrays that are about the file and not about the network.
OF_FILE = ("signature/", "stored", "gradients/stops")


def probe(
    path: Path, images: np.ndarray, report: Say, scratch: Path, earlier: Mapping[Path, str | None]
) -> ProbeOutput:
    """Loads a SavedModel and runs it.

    Args:
        images: float32 [batch, size, size, 3] in [0, 1].
        scratch: an existing folder for files that need not stay.
        earlier: the folders that earlier probes of artifacts wrote, and the ``network`` of each.

    Returns:
        What it gives, as its arrays are asked for; see `exporter.probe.run.probe` for their names.

    Raises:
        ArtifactError: at once or as arrays are asked for: it is damaged, or cannot be used as its format promises.
    """
    saved_model = saved_model_file.read(path)
    network = network_key(saved_model)
    same = [LazyArrays(folder) for folder, other in earlier.items() if other == network]

    def arrays() -> Found:
        yield from probe_saved_model(path, images, report, scratch, same)
        yield from saved_model_file.arrays(path, saved_model)

    return ProbeOutput(arrays(), saved_model_file.findings(saved_model), network)


def probe_saved_model(
    path: Path, images: np.ndarray, report: Say, scratch: Path, earlier: Sequence[LazyArrays]
) -> Found:
    try:
        loaded = hub.load(str(path))
    except Exception as error:
        raise ArtifactError(f"{path} does not load with hub.load: {reason(error)}") from error
    try:
        # Before anything ran that could change them.
        held = {"digests": _digests(loaded), "names": np.array([_name(variable) for variable in loaded.variables])}
        same = (found for found in earlier if all(np.array_equal(found[name], held[name]) for name in held))
        if before := next(same, None):
            report("running the artifact, but not the network, which ran before")
            own = held | dict(_called(loaded, images)) | {"after_inference": _digests(loaded)}
            # It may have other signatures.
            of_network = (name for name in before if name not in own and not name.startswith(OF_FILE))
            yield from own.items()
            yield from ((name, before.file(name)) for name in of_network)
            return
        report("running the artifact")
        yield from held.items()
        yield from _called(loaded, images)
        yield from _network(loaded, images)
        yield "after_inference", _digests(loaded)
        yield from _decisions(loaded)
        # Two large networks at a time need more memory than many a machine has.
        del loaded
        gc.collect()
        with _keeping_all(path, scratch) as copy:
            yield from _training(hub.load(str(copy)), images)
    except (AttributeError, TypeError, ValueError, tf.errors.OpError) as error:
        raise ArtifactError(f"{path} cannot be used as a reusable SavedModel: {reason(error)}") from error


def reason(error: Exception) -> str:
    return f"{type(error).__name__}: " + " ".join(str(error).split())[:300]


def _name(variable: Any) -> str:
    return variable.name.removesuffix(":0")


def _handles(loaded: Any) -> dict[Any, str]:
    return {variable.handle.ref(): _name(variable) for variable in loaded.variables}


def _called(loaded: Any, images: np.ndarray) -> Found:
    """What users of the object call."""
    yield "trainable", np.array([_name(variable) for variable in loaded.trainable_variables])
    yield "output", loaded(tf.constant(images)).numpy()
    inputs = []
    for name, function in loaded.signatures.items():
        (argument,) = function.structured_input_signature[1]
        inputs.append(f"{name}/{argument}")
        for output, value in function(**{argument: tf.constant(images)}).items():
            yield f"signature/{name}/{output}", value.numpy()
    yield "signature_inputs", np.array(inputs, str)


def _network(loaded: Any, images: np.ndarray) -> Found:
    yield "regularization_loss", np.array([loss().numpy() for loss in loaded.regularization_losses])
    yield from _l2(loaded).items()
    # One image runs as those before it did; called as an object, it would be prepared anew.
    batches = (images, images[:1])
    (_, found), (single, _) = end_points.run(
        _function(loaded, training=False), _values(loaded), _handles(loaded), batches
    )
    yield "output_single", single
    for name, value in found.items():
        yield f"end_point/{name}", value


def _l2(loaded: Any) -> dict[str, Any]:
    """``l2/…``, see `exporter.probe.gradients.pulled`."""
    losses, handles = list(loaded.regularization_losses), _handles(loaded)
    functions = [function for loss in losses for function in loss.concrete_functions]
    if len(functions) != 1 or not end_points.reads_all(functions[0], handles):
        # As other writers have it; a tape finds its way in, slowly.
        return pulled_taped(losses, list(loaded.variables))
    (function,) = functions
    reads = end_points.reads(function, handles)
    fed = end_points.values_fed(function, _values(loaded), handles)
    with function.graph.as_default(), v1.Session(graph=function.graph, config=PLAIN) as session:
        return pulled([end_points.output(function)], reads, lambda name, _: reads[name][0], session, fed)


def _training(loaded: Any, images: np.ndarray) -> Found:
    """What training does where drop path and dropout keep everything, rescaled."""
    yield from _statistics("before", loaded)
    output = loaded(tf.constant(images), training=True, batch_norm_momentum=TRAINING_MOMENTUM)
    yield "training/output", output.numpy()
    yield from _statistics("moved", loaded)
    loaded(tf.constant(images), training=True)
    yield from _statistics("moved_by_default", loaded)
    yield "after_training", _digests(loaded)
    yield from _gradients(loaded, images[:1]).items()


def _gradients(loaded: Any, images: np.ndarray) -> dict[str, Any]:
    """``gradients/…``, see `exporter.probe.gradients.reached`."""
    function, handles = _function(loaded, training=True), _handles(loaded)
    reads = end_points.reads(function, handles)
    if not {_name(variable) for variable in loaded.trainable_variables} <= set(reads):
        # The network is in functions that this one calls, as other writers have it; a tape finds its way in, slowly.
        return taped(lambda: loaded(tf.constant(images), training=True), loaded.variables)
    # As for a tape, which does not look at a variable that says it is not trained.
    trained = {_name(variable) for variable in loaded.variables if variable.trainable}
    reads = {name: tensors for name, tensors in reads.items() if name in trained}
    fed = end_points.fed(function, _values(loaded), handles, images)
    images_input = function.graph.inputs[0].name
    with small_graph(function.graph.as_graph_def(), images_input, images.shape[1]) as (graph, image):
        sources = {name: [graph.get_tensor_by_name(read.name) for read in tensors] for name, tensors in reads.items()}
        with v1.Session(graph=graph, config=PLAIN) as session:
            return reached(graph.get_tensor_by_name(end_points.output(function).name), sources, fed | image, session)


def _decisions(loaded: Any) -> Found:
    inference, training = (_function(loaded, training).graph for training in (False, True))
    found = drop_path.sites(training)
    yield from drop_path.arrays(found, drop_path.draw(training, found, DRAWS), len(drop_path.sites(inference))).items()


def _function(loaded: Any, training: bool) -> Any:
    """The traced function for that value of ``training``."""
    # ``type(loaded)`` has a ``__call__`` of its own, which forwards to this one.
    for function in loaded.__call__.concrete_functions:
        if training in [value for value in function.structured_input_signature[0] if isinstance(value, bool)]:
            return function
    raise ValueError(f"it has no function that was traced for training={training}")


@contextlib.contextmanager
def _keeping_all(path: Path, scratch: Path) -> Iterator[Path]:
    """A copy of the artifact in which every random number is one; its variables are links.

    It lies in ``scratch``, whose owner removes it should this process be killed.
    """
    saved_model = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
    for meta_graph in saved_model.meta_graphs:
        drop_path.keep_all([meta_graph.graph_def], in_function=False)
        drop_path.keep_all(meta_graph.graph_def.library.function, in_function=True)
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        copy = Path(folder)
        for part in path.iterdir():
            if part.is_dir():
                (copy / part.name).symlink_to(part.absolute(), target_is_directory=True)
        (copy / "saved_model.pb").write_bytes(saved_model.SerializeToString())
        yield copy


def _statistics(key: str, loaded: Any) -> Found:
    trainable = {variable.name for variable in loaded.trainable_variables}
    for variable in loaded.variables:
        if variable.name not in trainable:
            yield f"{key}/{_name(variable)}", _value(variable)


def _digests(loaded: Any) -> np.ndarray:
    return np.array([digest(_value(variable)) for variable in loaded.variables])


def _values(loaded: Any) -> dict[str, np.ndarray]:
    return {_name(variable): _value(variable) for variable in loaded.variables}


def _value(variable: Any) -> np.ndarray:
    """What a variable holds now, without a copy: where that is still in use, TensorFlow writes new values elsewhere."""
    return np.asarray(variable.read_value())
