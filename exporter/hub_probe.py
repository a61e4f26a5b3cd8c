"""Loads a TF1 Hub module in both of its tag sets, and writes down what it does."""

import contextlib
import gc
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
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
from exporter.found_arrays import Found
from exporter.gradients import PLAIN, pulled, reached, small_graph
from exporter.hub_messages import ATTACHMENTS, attached_image_size
from exporter.layout import STATISTICS
from exporter.same_network import tensor_keys

v1 = tf.compat.v1

#: Operations that declare variables; modules of long ago have the last ones.
_VARIABLES = ("VarHandleOp", "VariableV2", "Variable")
#: Arrays that follow from the training graph up to the default output and the losses, and the variables' values.
_OF_GRADIENTS = ("gradients/names", "gradients/not_finite", "l2/", "regularization_loss")


def probe_hub(path: Path, images: np.ndarray, known: Mapping[str, np.ndarray]) -> Found:
    """What the module gives for ``images``, float32 [batch, size, size, 3].

    Arrays of the tag set ``{}``, imported as ``hub.Module`` does: ``signature/NAME/OUTPUT``; and as ``hub.load`` gives
    it: ``single``, the output of ``default`` for the first image alone, ``signature_inputs``, names of signatures and
    inputs, ``names`` and ``digests`` of the variables, and ``after_inference``. Of the tag set ``{"train"}``, imported
    in the same way, with every random number replaced by one: ``train/signature/NAME/OUTPUT``, their inputs,
    ``trainable``, ``regularization_loss``, ``update_ops`` (their number), ``gradients/…``, and of the moving statistics
    ``before/NAME``, ``moved/NAME`` (one run of the update operations at `TRAINING_MOMENTUM`, where that can be set),
    ``moved_by_default/NAME`` (one more). ``tag_sets`` and ``collections`` list what the file has, ``draws/…`` its
    random decisions (`exporter.draws.arrays`). ``image_sizes`` are those attached in each tag set, [height, width] or
    zeros; ``l2/…`` is as in `exporter.probe`. ``keys``, ``train/keys`` and ``gradients/keys`` tell what these depend on
    (`exporter.same_network.tensor_keys`): what is ``known`` from another module of the same values is not run again.

    Where a tag set is missing, there are the first two lists, and ``names`` is empty.
    """
    saved_model = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
    meta_graphs = {frozenset(graph.meta_info_def.tags): graph for graph in saved_model.meta_graphs}
    yield "tag_sets", np.array(sorted(",".join(sorted(tags)) for tags in meta_graphs))
    yield "collections", np.array(sorted({key for graph in meta_graphs.values() for key in graph.collection_def}))
    if not {frozenset(), frozenset({"train"})} <= set(meta_graphs):
        yield "names", np.array([], str)
        return
    yield "image_sizes", np.array([_image_size(graph) for graph in meta_graphs.values()])
    inference, training = meta_graphs[frozenset()], meta_graphs[frozenset({"train"})]
    yield "inference_update_ops", np.array(len(_collection(inference, v1.GraphKeys.UPDATE_OPS)))
    yield from _decisions(training, inference)
    # Graphs are circles of objects; two at a time need more memory than many a machine has.
    gc.collect()
    names, digests = yield from _loaded(path, images[:1])
    gc.collect()
    if not (known and names == known["names"].tolist() and np.array_equal(digests, known["digests"])):
        known = {}
    yield from _inference(path, inference, images, names, known)
    gc.collect()
    training = _keeping_all(training)
    yield from _steps(path, training, images, known)
    gc.collect()
    yield from _gradients(path, training, images.shape[1], known)
    inputs = [f"{name}/{key}" for name, signature in training.signature_def.items() for key in signature.inputs]
    yield "train/signature_inputs", np.array(inputs)
    yield "update_ops", np.array(len(_collection(training, v1.GraphKeys.UPDATE_OPS)))


def _inference(
    path: Path, meta_graph: Any, images: np.ndarray, names: Sequence[str], known: Mapping[str, np.ndarray]
) -> Found:
    signatures = meta_graph.signature_def
    keys = _keys(meta_graph, _outputs(signatures))
    yield "keys", _listed(keys)
    if outputs := _known_outputs("", keys, known):
        yield from _of("signature", outputs)
        yield "after_inference", known["after_inference"]
        return
    # In inference, a momentum must have no effect.
    fed = _images_feed(signatures, images) | _momenta(signatures, TRAINING_MOMENTUM)
    with _running(meta_graph, path) as (session, variables):
        yield from _of("signature", session.run(_outputs(signatures), fed))
        after = session.run(variables)
        yield "after_inference", np.array([digest(after[name]) if name in after else "" for name in names])


def _loaded(path: Path, image: np.ndarray) -> Generator[tuple[str, Any], None, tuple[list[str], np.ndarray]]:
    """The module as ``hub.load`` gives it, for one image; returns the names and digests of its variables."""
    loaded = hub.load(str(path), tags=[])
    taken = {name: function.structured_input_signature[1] for name, function in loaded.signatures.items()}
    yield "signature_inputs", np.array([f"{name}/{key}" for name, keys in taken.items() for key in keys])
    names = [variable.name.removesuffix(":0") for variable in loaded.variables]
    yield "names", np.array(names)
    digests = np.array([digest(np.asarray(variable.read_value())) for variable in loaded.variables])
    yield "digests", digests
    yield "single", loaded.signatures["default"](**{IMAGE_INPUT: tf.constant(image)})["default"].numpy()
    return names, digests


def _steps(path: Path, meta_graph: Any, images: np.ndarray, known: Mapping[str, np.ndarray]) -> Found:
    """The signatures' outputs, and what two runs of the update operations do."""
    signatures = meta_graph.signature_def
    fed = _images_feed(signatures, images)
    keys = _keys(meta_graph, _outputs(signatures))
    yield "train/keys", _listed(keys)
    outputs = _known_outputs("train/", keys, known)
    with _running(meta_graph, path) as (session, variables):
        yield from _of("train/signature", outputs or session.run(_outputs(signatures), fed))
        held = session.run(variables)
        names = list(variables)
        statistics = [name for name in names if name.rsplit("/", 1)[-1] in STATISTICS]
        yield from _of("before", held, statistics)
        digests = _digests(held)
        updates = v1.get_collection(v1.GraphKeys.UPDATE_OPS)
        momenta, defaults = _momenta(signatures, TRAINING_MOMENTUM), _default_momenta(signatures)
        # With the same things fetched and fed, the second run has nothing to prepare, which takes longer than to run.
        for key, momentum in (("moved", momenta), ("moved_by_default", defaults)):
            held = {}  # the last one's, before there are more
            session.run(updates, fed | momentum)
            held = session.run(variables)
            yield from _of(key, held, statistics)
        yield "train/names", np.array(names)
        yield "train/digests", digests
        yield "after_training", _digests(held)
        trainable = v1.get_collection(v1.GraphKeys.TRAINABLE_VARIABLES)
        yield "trainable", np.array([variable.op.name for variable in trainable])


def _gradients(path: Path, meta_graph: Any, size: int, known: Mapping[str, np.ndarray]) -> Found:
    """What L2 terms pull at, and what a loss of the default output reaches."""
    default = meta_graph.signature_def["default"]
    named = {"default": default.outputs["default"].name}
    named |= {name: name for name in _collection(meta_graph, v1.GraphKeys.REGULARIZATION_LOSSES)}
    keys = _listed(_keys(meta_graph, named))
    yield "gradients/keys", keys
    if known and keys.size and np.array_equal(np.sort(keys), np.sort(known["gradients/keys"])):
        yield from ((name, known[name]) for name in known if name.startswith(_OF_GRADIENTS))
        return
    with (
        small_graph(meta_graph.graph_def, default.inputs[IMAGE_INPUT].name, size) as (graph, fed),
        v1.Session(graph=graph, config=PLAIN) as session,
    ):
        names = _restore(session, meta_graph, path)
        sources = {name: [graph.get_tensor_by_name(f"{name}:0")] for name in names}
        losses = [
            graph.get_tensor_by_name(name) for name in _collection(meta_graph, v1.GraphKeys.REGULARIZATION_LOSSES)
        ]
        yield "regularization_loss", np.array(session.run(losses), np.float64)
        value = lambda name, dtype: _read(sources[name][0], dtype)  # noqa: E731
        yield from pulled(losses, sources, value, session).items()
        output = graph.get_tensor_by_name(named["default"])
        yield from reached(output, sources, fed, session).items()


def _keys(meta_graph: Any, tensors: Mapping[str, str]) -> dict[str, str]:
    """The keys of tensors, by what they are called here; none where the graph has none."""
    keys = tensor_keys(meta_graph.graph_def, tensors.values())
    return {name: keys[tensor] for name, tensor in tensors.items()} if keys else {}


def _listed(keys: Mapping[str, str]) -> np.ndarray:
    return np.array([f"{key} {name}" for name, key in keys.items()], str)


class _Known(Mapping[str, np.ndarray]):
    """Outputs that are known under other names, each read when it is asked for."""

    def __init__(self, places: Mapping[str, str], known: Mapping[str, np.ndarray]):
        self._places, self._known = places, known

    def __getitem__(self, name: str) -> np.ndarray:
        return self._known[self._places[name]]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def _known_outputs(tags: str, keys: Mapping[str, str], known: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
    """The outputs with these keys; none where one of them is not known."""
    places: dict[str, str] = {}
    for listed in known[f"{tags}keys"].tolist() if known else ():
        key, _, name = listed.partition(" ")
        places[key] = f"{tags}signature/{name}"
    if not keys or not set(keys.values()) <= set(places):
        return {}
    return _Known({name: places[key] for name, key in keys.items()}, known)


@contextlib.contextmanager
def _running(meta_graph: Any, path: Path) -> Iterator[tuple[Any, dict[str, Any]]]:
    """A session of a MetaGraph's graph, the default one, and its variables by name, with the artifact's values."""
    with tf.Graph().as_default() as graph, v1.Session(graph=graph) as session:
        # Before the graph is there: each new run costs time that grows with it.
        _restore(session, meta_graph, path)
        v1.train.import_meta_graph(_without_saver(meta_graph), clear_devices=True)
        yield session, {variable.op.name: variable for variable in v1.global_variables()}


def _without_saver(meta_graph: Any) -> Any:
    """A copy that TensorFlow takes to have a saver: it would make one, with operations for each variable."""
    copy = type(meta_graph)()
    copy.CopyFrom(meta_graph)
    if not copy.HasField("saver_def"):
        copy.saver_def.filename_tensor_name = copy.saver_def.save_tensor_name = copy.saver_def.restore_op_name = "none"
    return copy


def _restore(session: Any, meta_graph: Any, path: Path) -> list[str]:
    """Gives a session's variables the values that the artifact has, by operations of its own; their names.

    Variables are the same where their operations say so, wherever those are in the graph.
    """
    prefix = str(path / "variables" / "variables")
    stored = tf.train.load_checkpoint(prefix).get_variable_to_shape_map()
    declared = [node for node in meta_graph.graph_def.node if node.op in _VARIABLES and node.name in stored]
    alone = v1.GraphDef(versions=meta_graph.graph_def.versions)
    alone.node.extend(declared)
    for node in alone.node:
        node.attr["shared_name"].s = node.attr["shared_name"].s or node.name.encode()
        node.device = ""
    names = [node.name for node in declared]
    held = tf.import_graph_def(alone, name="restored", return_elements=[f"{name}:0" for name in names])
    values = tf.raw_ops.RestoreV2(
        prefix=prefix,
        tensor_names=names,
        shape_and_slices=[""] * len(names),
        dtypes=[tf.as_dtype(node.attr["dtype"].type) for node in declared],
    )
    session.run([_assigned(variable, value) for variable, value in zip(held, values, strict=True)])
    return names


def _assigned(variable: Any, value: Any) -> Any:
    if variable.dtype == tf.resource:
        return tf.raw_ops.AssignVariableOp(resource=variable, value=value)
    return v1.assign(variable, value, validate_shape=False)


def _read(variable: Any, dtype: Any) -> Any:
    return tf.raw_ops.ReadVariableOp(resource=variable, dtype=dtype) if variable.dtype == tf.resource else variable


def _outputs(signatures: Any) -> dict[str, str]:
    """The tensors of every output of every signature, by ``SIGNATURE/OUTPUT``."""
    return {
        f"{name}/{output}": tensor.name
        for name, signature in signatures.items()
        for output, tensor in signature.outputs.items()
    }


def _digests(values: Mapping[str, np.ndarray]) -> np.ndarray:
    return np.array([digest(value) for value in values.values()])


def _images_feed(signatures: Any, images: np.ndarray) -> dict[str, Any]:
    return {signatures["default"].inputs[IMAGE_INPUT].name: images}


def _keeping_all(meta_graph: Any) -> Any:
    """A copy in which every random number is one, so that drop path and dropout keep everything, rescaled."""
    copy = type(meta_graph)()
    copy.CopyFrom(meta_graph)
    draws.keep_all([copy.graph_def], in_function=False)
    return copy


def _decisions(meta_graph: Any, inference: Any) -> Found:
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(meta_graph.graph_def, name="")
    found = draws.sites(graph)
    in_inference = sum(draws.is_draw(node) for node in inference.graph_def.node)
    yield from draws.arrays(found, draws.draw(graph, found, DRAWS), in_inference).items()


def _image_size(meta_graph: Any) -> tuple[int, int]:
    attachments = (
        meta_graph.collection_def[ATTACHMENTS].bytes_list.value if ATTACHMENTS in meta_graph.collection_def else []
    )
    sizes = [size for attachment in attachments if (size := attached_image_size(attachment))]
    return sizes[0] if sizes else (0, 0)


def _collection(meta_graph: Any, key: str) -> list[str]:
    return list(meta_graph.collection_def[key].node_list.value) if key in meta_graph.collection_def else []


def _momentum_inputs(signatures: Any) -> set[str]:
    inputs = (signature.inputs for signature in signatures.values())
    return {named[MOMENTUM_INPUT].name for named in inputs if MOMENTUM_INPUT in named}


def _momenta(signatures: Any, momentum: float) -> dict[str, float]:
    return dict.fromkeys(_momentum_inputs(signatures), momentum)


def _default_momenta(signatures: Any) -> dict[str, Any]:
    """The values that those inputs have when nothing is fed; none where the graph does not tell without a run."""
    graph = v1.get_default_graph()
    found = {}
    for name in _momentum_inputs(signatures):
        op = graph.get_tensor_by_name(name).op
        found[name] = tf.get_static_value(op.inputs[0]) if op.type == "PlaceholderWithDefault" else None
    return {} if None in found.values() else found


def _of(prefix: str, values: Mapping[str, np.ndarray], names: Iterable[str] | None = None) -> Found:
    return ((f"{prefix}/{name}", values[name]) for name in (values if names is None else names))
