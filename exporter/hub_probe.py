"""Loads a TF1 Hub module in both of its tag sets, and writes down what it does."""

import contextlib
import gc
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_hub as hub
from tensorflow.core.protobuf import saved_model_pb2

from exporter import draws
from exporter.digests import digest
from exporter.dropping import DRAWS
from exporter.formats import IMAGE_INPUT, MOMENTUM_INPUT, TRAINING_MOMENTUM
from exporter.gradients import PLAIN, reached, weight_of
from exporter.hub_messages import ATTACHMENTS, attached_image_size
from exporter.layout import STATISTICS

v1 = tf.compat.v1


def probe_hub(path: Path, images: np.ndarray) -> dict[str, Any]:
    """What the module gives for ``images``, float32 [batch, size, size, 3].

    Arrays of the tag set ``{}``: ``signature/NAME/OUTPUT``, imported as ``hub.Module`` does; ``single``, the output of
    ``default`` with ``hub.load``, for the first image alone; ``names`` and ``digests`` of the variables there, and
    ``after_inference``. Of the tag set ``{"train"}``, imported in the same way, with every random number replaced by
    one: ``train/signature/NAME/OUTPUT``, ``trainable``, ``regularization_loss``, ``update_ops`` (their number),
    ``gradients/…``, and of the moving statistics ``before/NAME``, ``moved/NAME`` (one run of the update operations at
    `TRAINING_MOMENTUM`, where that can be set), ``moved_by_default/NAME`` (one more). ``tag_sets`` and ``collections``
    list what the file has, ``draws/…`` its random decisions (`exporter.draws.arrays`). ``signature_inputs`` are names
    of signatures and inputs; ``image_sizes`` are those attached in each tag set, [height, width] or zeros; ``l2/…`` is
    as in `exporter.probe`.

    Where a tag set is missing, there are the first two lists, and ``names`` is empty.
    """
    saved_model = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
    meta_graphs = {frozenset(graph.meta_info_def.tags): graph for graph in saved_model.meta_graphs}
    arrays = {
        "tag_sets": np.array(sorted(",".join(sorted(tags)) for tags in meta_graphs)),
        "collections": np.array(sorted({key for graph in meta_graphs.values() for key in graph.collection_def})),
    }
    if not {frozenset(), frozenset({"train"})} <= set(meta_graphs):
        return arrays | {"names": np.array([], str)}
    arrays["image_sizes"] = np.array([_image_size(graph) for graph in meta_graphs.values()])
    inference = meta_graphs[frozenset()]
    arrays["inference_update_ops"] = np.array(len(_collection(inference, v1.GraphKeys.UPDATE_OPS)))
    training = meta_graphs[frozenset({"train"})]
    arrays |= _decisions(training, inference)
    return arrays | _inference(path, inference, images) | _training(path, training, images)


def _inference(path: Path, meta_graph: Any, images: np.ndarray) -> dict[str, Any]:
    """The module as ``hub.load`` gives it, for one image, and every output of all signatures as ``hub.Module`` does."""
    loaded = hub.load(str(path), tags=[])
    single = loaded.signatures["default"](**{IMAGE_INPUT: tf.constant(images[:1])})["default"]
    arrays = {
        "single": single.numpy(),
        "signature_inputs": np.array(
            [
                f"{name}/{key}"
                for name, function in loaded.signatures.items()
                for key in function.structured_input_signature[1]
            ]
        ),
        "names": np.array([variable.name.removesuffix(":0") for variable in loaded.variables]),
        "digests": np.array([digest(variable.numpy()) for variable in loaded.variables]),
    }
    # Two large networks at a time need more memory than many a machine has.
    del loaded, single
    gc.collect()
    with _imported(meta_graph) as (graph, variables), _session(graph, variables, path) as session:
        # In inference, a momentum must have no effect.
        fed = _images_feed(meta_graph.signature_def, images) | _momentum_feed(meta_graph.signature_def)
        arrays |= _signatures(session, meta_graph.signature_def, fed, "signature")
        after = _digests(_values(session, variables))
    return arrays | {"after_inference": np.array([after.get(name, "") for name in arrays["names"].tolist()])}


def _training(path: Path, meta_graph: Any, images: np.ndarray) -> dict[str, Any]:
    signatures = meta_graph.signature_def
    with _imported(_keeping_all(meta_graph)) as (graph, variables):
        updates = v1.get_collection(v1.GraphKeys.UPDATE_OPS)
        statistics = [v.op.name for v in variables if v.op.name.rsplit("/", 1)[-1] in STATISTICS]
        steps = [("moved", _momentum_feed(signatures)), ("moved_by_default", {})]
        with _session(graph, variables, path) as session:
            fed = _images_feed(signatures, images)
            arrays = _signatures(session, signatures, fed, "train/signature")
            held = _values(session, variables)
            arrays |= _prefixed("before", {name: held[name] for name in statistics})
            digests = _digests(held)
            for key, momentum in steps:
                session.run(updates, fed | momentum)
                held = _values(session, variables)
                arrays |= _prefixed(key, {name: held[name] for name in statistics})
            after = _digests(held)
            del held
        with _session(graph, variables, path, PLAIN) as session:
            losses = v1.losses.get_regularization_losses()
            arrays |= {"regularization_loss": np.array(session.run(losses), np.float64)}
            arrays |= _l2(session, losses, variables)
            output = graph.get_tensor_by_name(signatures["default"].outputs["default"].name)
            sources = {variable.op.name: [variable] for variable in variables}
            arrays |= reached(output, sources, _images_feed(signatures, images[:1]), session)
        trainable = graph.get_collection(v1.GraphKeys.TRAINABLE_VARIABLES)
    return arrays | {
        "trainable": np.array([variable.op.name for variable in trainable]),
        "train/names": np.array(list(digests)),
        "train/digests": np.array(list(digests.values())),
        "after_training": np.array([after[name] for name in digests]),
        "train/signature_inputs": np.array([f"{name}/{key}" for name in signatures for key in signatures[name].inputs]),
        "update_ops": np.array(len(updates)),
    }


@contextlib.contextmanager
def _imported(meta_graph: Any) -> Iterator[tuple[Any, list[Any]]]:
    """The graph of a MetaGraph as default, and its variables."""
    with tf.Graph().as_default() as graph:
        v1.train.import_meta_graph(_without_saver(meta_graph), clear_devices=True)
        yield graph, v1.global_variables()


@contextlib.contextmanager
def _session(graph: Any, variables: Sequence[Any], path: Path, config: Any = None) -> Iterator[Any]:
    """A session in which the variables have the values of the artifact in ``path``."""
    with v1.Session(graph=graph, config=config) as session:
        _restore(session, variables, str(path / "variables" / "variables"))
        yield session


def _without_saver(meta_graph: Any) -> Any:
    """A copy that TensorFlow takes to have a saver: it would make one, with operations for each variable."""
    copy = type(meta_graph)()
    copy.CopyFrom(meta_graph)
    if not copy.HasField("saver_def"):
        copy.saver_def.filename_tensor_name = copy.saver_def.save_tensor_name = copy.saver_def.restore_op_name = "none"
    return copy


def _restore(session: Any, variables: Sequence[Any], prefix: str) -> None:
    """Gives each variable its value; a saver does the same with several more operations for each."""
    if not all(hasattr(variable, "handle") for variable in variables):  # those of modules of long ago have none
        v1.train.Saver(variables).restore(session, prefix)
        return
    values = tf.raw_ops.RestoreV2(
        prefix=prefix,
        tensor_names=[variable.op.name for variable in variables],
        shape_and_slices=[""] * len(variables),
        dtypes=[variable.dtype.base_dtype for variable in variables],
    )
    session.run(
        [
            tf.raw_ops.AssignVariableOp(resource=variable.handle, value=value)
            for variable, value in zip(variables, values, strict=True)
        ]
    )


def _signatures(session: Any, signatures: Any, fed: dict[str, Any], key: str) -> dict[str, Any]:
    """Every output of every signature, in one run."""
    fetched = {
        f"{key}/{name}/{output}": tensor.name
        for name, signature in signatures.items()
        for output, tensor in signature.outputs.items()
    }
    return session.run(fetched, fed)


def _images_feed(signatures: Any, images: np.ndarray) -> dict[str, Any]:
    return {signatures["default"].inputs[IMAGE_INPUT].name: images}


def _keeping_all(meta_graph: Any) -> Any:
    """A copy in which every random number is one, so that drop path and dropout keep everything, rescaled."""
    copy = type(meta_graph)()
    copy.CopyFrom(meta_graph)
    draws.keep_all([copy.graph_def], in_function=False)
    return copy


def _decisions(meta_graph: Any, inference: Any) -> dict[str, Any]:
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(meta_graph.graph_def, name="")
    found = draws.sites(graph)
    in_inference = sum(draws.is_draw(node) for node in inference.graph_def.node)
    return draws.arrays(found, draws.draw(graph, found, DRAWS), in_inference)


def _image_size(meta_graph: Any) -> tuple[int, int]:
    attachments = (
        meta_graph.collection_def[ATTACHMENTS].bytes_list.value if ATTACHMENTS in meta_graph.collection_def else []
    )
    sizes = [size for attachment in attachments if (size := attached_image_size(attachment))]
    return sizes[0] if sizes else (0, 0)


def _l2(session: Any, losses: list[Any], variables: list[Any]) -> dict[str, Any]:
    pairs = zip(variables, v1.gradients(losses, variables) if losses else [None] * len(variables), strict=True)
    found = {variable.op.name: (variable, gradient) for variable, gradient in pairs if gradient is not None}
    weights = [weight_of(*pair) for pair in session.run(found).values()]
    return {"l2/names": np.array(list(found), str), "l2/weights": np.array(weights, np.float64)}


def _collection(meta_graph: Any, key: str) -> list[str]:
    return list(meta_graph.collection_def[key].node_list.value) if key in meta_graph.collection_def else []


def _momentum_feed(signatures: Any) -> dict[str, float]:
    names = {
        signature.inputs[MOMENTUM_INPUT].name for signature in signatures.values() if MOMENTUM_INPUT in signature.inputs
    }
    return dict.fromkeys(names, TRAINING_MOMENTUM)


def _prefixed(prefix: str, arrays: dict[str, Any]) -> dict[str, Any]:
    return {f"{prefix}/{name}": value for name, value in arrays.items()}


def _values(session: Any, variables: Sequence[Any]) -> dict[str, np.ndarray]:
    # One run for all, and always this one: each new run of a session costs time that grows with the graph.
    return session.run({variable.op.name: variable for variable in variables})


def _digests(values: Mapping[str, np.ndarray]) -> dict[str, str]:
    return {name: digest(value) for name, value in values.items()}
