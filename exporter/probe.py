"""The worker job that loads an artifact as its users do, and writes down what it does."""

import contextlib
import gc
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_hub as hub
from tensorflow.core.protobuf import saved_model_pb2

from exporter import draws, end_points, gate
from exporter.digests import digest
from exporter.dropping import DRAWS
from exporter.errors import ArtifactError
from exporter.formats import HUB_MODULE_FILE, TRAINING_MOMENTUM
from exporter.found_arrays import save
from exporter.gradients import PLAIN, reached, stops, taped, weight_of
from exporter.hub_probe import probe_hub
from exporter.synthetic import VERIFICATION_IMAGES
from exporter.worker import Say

v1 = tf.compat.v1


def probe(request: dict[str, Any], report: Say) -> dict[str, Any]:
    """Loads ``request["path"]`` with ``hub.load`` and writes ``request["output"]``, an ``.npz`` of what it gives.

    For the arrays of a TF1 Hub module see `exporter.hub_probe`. Those of a TF2 SavedModel: ``output`` on
    `VERIFICATION_IMAGES` and ``output_single`` on the first of them alone; ``end_point/NAME`` of those found in the
    graph; ``signature/NAME/OUTPUT``, ``signature_inputs``; ``regularization_loss``, ``l2/…`` (see `_l2`); ``names``,
    ``trainable`` and ``digests`` of ``obj.variables`` in order, ``stored`` (how many values the file has);
    ``after_inference`` digests; ``draws/…`` of its random decisions (see `exporter.draws.arrays`); and, where those
    keep everything: ``training/output``, of the moving statistics ``before/NAME``, ``moved/NAME`` (one step with
    `TRAINING_MOMENTUM`), ``moved_by_default/NAME`` (one more step), and ``gradients/names`` of the variables that a
    gradient reaches. ``gradients/stops`` are the operations that stop one.

    The result lists the findings of the gate.
    """
    path = Path(request["path"])
    report("loading the artifact")
    images = VERIFICATION_IMAGES.at(request["image_size"])
    output = Path(request["output"])
    if (path / HUB_MODULE_FILE).exists():
        arrays = _probed_hub(path, images, report)
    else:
        arrays = _probed(path, images, report, output.parent)
    saved_model = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
    arrays |= {"stored": np.array(_stored(path)), "gradients/stops": np.array(stops(saved_model), str)}
    save(output, arrays)
    return {"findings": [str(finding) for finding in gate.check(saved_model)], "tensorflow": tf.__version__}


def _stored(path: Path) -> int:
    """How many values lie in an artifact's file of variables."""
    stored = tf.train.load_checkpoint(str(path / "variables" / "variables")).get_variable_to_shape_map()
    return len(set(stored) - {"_CHECKPOINTABLE_OBJECT_GRAPH"})


def _probed_hub(path: Path, images: np.ndarray, report: Say) -> dict[str, Any]:
    report("running the artifact")
    try:
        return probe_hub(path, images)
    except Exception as error:
        raise ArtifactError(f"{path} cannot be used as a TF1 Hub module: {_reason(error)}") from error


def _probed(path: Path, images: np.ndarray, report: Say, scratch: Path) -> dict[str, Any]:
    try:
        loaded = hub.load(str(path))
    except Exception as error:
        raise ArtifactError(f"{path} does not load with hub.load: {_reason(error)}") from error
    report("running the artifact")
    try:
        values = {_name(variable): variable.numpy() for variable in loaded.variables}
        arrays = _inference(loaded, images, values) | _decisions(loaded)
        # Two large networks at a time need more memory than many a machine has.
        del loaded, values
        gc.collect()
        with _keeping_all(path, scratch) as copy:
            return arrays | _training(hub.load(str(copy)), images)
    except (AttributeError, TypeError, ValueError, tf.errors.OpError) as error:
        raise ArtifactError(f"{path} cannot be used as a reusable SavedModel: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: " + " ".join(str(error).split())[:300]


def _name(variable: Any) -> str:
    return variable.name.removesuffix(":0")


def _handles(loaded: Any) -> dict[Any, str]:
    return {variable.handle.ref(): _name(variable) for variable in loaded.variables}


def _inference(loaded: Any, images: np.ndarray, values: Mapping[str, np.ndarray]) -> dict[str, Any]:
    arrays = {
        # Before anything ran that could change them.
        "digests": _digests(loaded),
        "output": loaded(tf.constant(images)).numpy(),
        "output_single": loaded(tf.constant(images[:1]), training=False).numpy(),
        "names": np.array([_name(variable) for variable in loaded.variables]),
        "trainable": np.array([_name(variable) for variable in loaded.trainable_variables]),
        "regularization_loss": np.array([loss().numpy() for loss in loaded.regularization_losses]),
    }
    arrays |= _l2(loaded, values)
    inputs = []
    for name, function in loaded.signatures.items():
        (argument,) = function.structured_input_signature[1]
        inputs.append(f"{name}/{argument}")
        for output, value in function(**{argument: tf.constant(images)}).items():
            arrays[f"signature/{name}/{output}"] = value.numpy()
    found = end_points.run(_function(loaded, training=False), values, _handles(loaded), images)
    arrays |= {f"end_point/{name}": value for name, value in found.items()}
    return arrays | {"signature_inputs": np.array(inputs, str), "after_inference": _digests(loaded)}


def _l2(loaded: Any, values: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """``l2/names`` of the variables that the regularization losses have a gradient for, and ``l2/weights``.

    The weight of a variable is what it is multiplied with to give its gradient, on average.
    """
    variables = list(loaded.variables)
    with tf.GradientTape() as tape:
        tape.watch(variables)
        loss = tf.add_n([tf.zeros([]), *(loss() for loss in loaded.regularization_losses)])
    weights = {
        _name(variable): weight_of(values[_name(variable)], np.asarray(gradient))
        for variable, gradient in zip(variables, tape.gradient(loss, variables), strict=True)
        if gradient is not None
    }
    return {"l2/names": np.array(list(weights), str), "l2/weights": np.array(list(weights.values()), np.float64)}


def _training(loaded: Any, images: np.ndarray) -> dict[str, Any]:
    """What training does where drop path and dropout keep everything, rescaled."""
    arrays = _statistics("before", loaded)
    output = loaded(tf.constant(images), training=True, batch_norm_momentum=TRAINING_MOMENTUM)
    arrays |= _statistics("moved", loaded)
    loaded(tf.constant(images), training=True)
    arrays |= _statistics("moved_by_default", loaded)
    arrays |= {"training/output": output.numpy(), "after_training": _digests(loaded)}
    return arrays | _gradients(loaded, images[:1])


def _gradients(loaded: Any, images: np.ndarray) -> dict[str, Any]:
    """``gradients/…``, see `exporter.gradients.reached`."""
    function, handles = _function(loaded, training=True), _handles(loaded)
    reads = end_points.reads(function, handles)
    if not {_name(variable) for variable in loaded.trainable_variables} <= set(reads):
        # The network is in functions that this one calls, as other writers have it; a tape finds its way in, slowly.
        return taped(lambda: loaded(tf.constant(images), training=True), loaded.variables)
    output = function.graph.outputs[0]
    while output.op.type == "Identity":  # which waits for the updates of the moving averages
        (output,) = output.op.inputs
    # As for a tape, which does not look at a variable that says it is not trained.
    trained = {_name(variable) for variable in loaded.variables if variable.trainable}
    reads = {name: tensors for name, tensors in reads.items() if name in trained}
    values = {_name(variable): variable.numpy() for variable in loaded.variables}
    with v1.Session(graph=function.graph, config=PLAIN) as session:
        return reached(output, reads, end_points.fed(function, values, handles, images), session)


def _decisions(loaded: Any) -> dict[str, Any]:
    inference, training = (_function(loaded, training).graph for training in (False, True))
    found = draws.sites(training)
    return draws.arrays(found, draws.draw(training, found, DRAWS), len(draws.sites(inference)))


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
        draws.keep_all([meta_graph.graph_def], in_function=False)
        draws.keep_all(meta_graph.graph_def.library.function, in_function=True)
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        copy = Path(folder)
        for part in path.iterdir():
            if part.is_dir():
                (copy / part.name).symlink_to(part.absolute(), target_is_directory=True)
        (copy / "saved_model.pb").write_bytes(saved_model.SerializeToString())
        yield copy


def _statistics(key: str, loaded: Any) -> dict[str, Any]:
    trainable = {variable.name for variable in loaded.trainable_variables}
    statistics = (variable for variable in loaded.variables if variable.name not in trainable)
    return {f"{key}/{_name(variable)}": variable.numpy() for variable in statistics}


def _digests(loaded: Any) -> np.ndarray:
    return np.array([digest(variable.numpy()) for variable in loaded.variables])
