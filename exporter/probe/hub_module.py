"""Loads a TF1 Hub module in both of its tag sets, and writes down what it does."""

import contextlib
import gc
from collections.abc import Generator, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_hub as hub
from tensorflow.core.framework import variable_pb2

from exporter.artifact.hub_messages import ATTACHMENTS, attached_image_size
from exporter.errors import ArtifactError
from exporter.files.arrays import Found, LazyArrays, by_variable, digest
from exporter.models.formats import HUB_MODULE_FILE, TRAINING_MOMENTUM
from exporter.models.signatures import IMAGE_INPUT, MOMENTUM_INPUT
from exporter.models.variables import STATISTICS
from exporter.probe import drop_path, saved_model_file
from exporter.probe.gradients import PLAIN, pulled, reached, small_graph
from exporter.probe.jobs import DRAWS
from exporter.probe.output import ProbeOutput
from exporter.probe.reuse import Earlier, listed, tensor_keys
from exporter.probe.saved_model import reason
from exporter.progress import Say

v1 = tf.compat.v1

#: Operations that declare variables; modules of long ago have the last ones.
_VARIABLES = ("VarHandleOp", "VariableV2", "Variable")
#: Arrays that follow from the training graph up to the default output and the losses, and the variables' values.
_OF_GRADIENTS = ("gradients/names", "gradients/not_finite", "l2/", "regularization_loss")


def probe(
    path: Path, images: np.ndarray, report: Say, scratch: Path, earlier: Mapping[Path, str | None]
) -> ProbeOutput:
    """Loads a TF1 Hub module and runs it; see `exporter.probe.saved_model.probe`."""
    saved_model = saved_model_file.read(path)
    # What two modules have in common, their graphs tell.
    network = HUB_MODULE_FILE
    same = Earlier([LazyArrays(folder) for folder, other in earlier.items() if other == network])

    def arrays() -> Found:
        try:
            yield from probe_hub(saved_model, path, images, same, report)
        except Exception as error:
            raise ArtifactError(f"{path} cannot be used as a TF1 Hub module: {reason(error)}") from error
        yield from saved_model_file.arrays(path, saved_model)

    return ProbeOutput(arrays(), saved_model_file.findings(saved_model), network)


def probe_hub(saved_model: Any, path: Path, images: np.ndarray, earlier: Earlier, report: Say) -> Found:
    """What the module gives for ``images``, float32 [batch, size, size, 3].

    Arrays of the tag set ``{}``, imported as ``hub.Module`` does: ``signature/NAME/OUTPUT``; and as ``hub.load`` gives
    it: ``single``, the output of ``default`` for the first image alone, ``signature_inputs``, names of signatures and
    inputs, ``names`` and ``digests`` of the variables, and ``after_inference``. Of the tag set ``{"train"}``, imported
    in the same way, with every random number replaced by one: ``train/signature/NAME/OUTPUT``, their inputs,
    ``trainable``, ``regularization_loss``, ``update_ops`` (their number), ``gradients/…``, and of the moving statistics
    ``before/NAME``, ``moved/NAME`` (one run of the update operations at `TRAINING_MOMENTUM`, where that can be set),
    ``moved_by_default/NAME`` (one more). ``tag_sets`` and ``collections`` list what the file has, ``draws/…`` its
    random decisions (`exporter.probe.drop_path.arrays`). ``image_sizes`` are those attached in each tag set, [height,
    width] or zeros; ``l2/…`` is as in `exporter.probe.saved_model`. ``keys``, ``train/keys``, ``updates/keys`` and
    ``gradients/keys`` tell
    what these depend on (`exporter.probe.reuse.tensor_keys`): what an ``earlier`` module gave is not run again.

    Where a tag set is missing, there are the first two lists, and ``names`` is empty.
    """
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
    earlier = earlier.holding(names, digests)
    held = dict(zip(names, digests.tolist(), strict=True))
    yield from _inference(path, inference, images, held, earlier, report)
    gc.collect()
    training = _keeping_all(training)
    keys = _training_keys(training)
    yield from _steps(path, training, images, keys, earlier)
    gc.collect()
    yield from _gradients(path, training, images.shape[1], keys, earlier)
    inputs = [f"{name}/{key}" for name, signature in training.signature_def.items() for key in signature.inputs]
    yield "train/signature_inputs", np.array(inputs)
    yield "update_ops", np.array(len(_collection(training, v1.GraphKeys.UPDATE_OPS)))


def _inference(
    path: Path, meta_graph: Any, images: np.ndarray, digests: Mapping[str, str], earlier: Earlier, report: Say
) -> Found:
    signatures = meta_graph.signature_def
    (keys,) = _keys(meta_graph, _outputs(signatures))
    yield "keys", listed(keys)
    if taken := earlier.outputs("", keys):
        report("running the artifact, but not what ran before")
        before, outputs = taken
        yield from _of("signature", outputs)
        after = by_variable(before, "names", "after_inference")
        yield "after_inference", np.array([after[name] for name in digests])
        return
    report("running the artifact")
    # In inference, a momentum must have no effect.
    fed = _images_feed(signatures, images) | _momenta(signatures, TRAINING_MOMENTUM)
    with _running(meta_graph, path) as (session, variables):
        yield from _of("signature", session.run(_outputs(signatures), fed))
        held = session.run(variables)
        yield "after_inference", np.array([digest(held[name]) if name in held else "" for name in digests])


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


def _steps(
    path: Path, meta_graph: Any, images: np.ndarray, keys: Mapping[str, Mapping[str, str]], earlier: Earlier
) -> Found:
    """The signatures' outputs, and what two runs of the update operations do."""
    signatures = meta_graph.signature_def
    yield "train/keys", listed(keys["outputs"])
    yield "updates/keys", listed(keys["updates"])
    _, outputs = earlier.outputs("train/", keys["outputs"]) or (None, {})
    names, trainable = (
        _variables(meta_graph, key) for key in (v1.GraphKeys.GLOBAL_VARIABLES, v1.GraphKeys.TRAINABLE_VARIABLES)
    )
    statistics = [name for name in names if name.rsplit("/", 1)[-1] in STATISTICS]
    yield "train/names", np.array(names)
    yield "trainable", np.array(trainable)
    before = earlier.same("updates/keys", listed(keys["updates"]))
    if outputs and before and set(names) <= set(before["train/names"].tolist()):
        yield from _of("train/signature", outputs)
        for key in ("before", "moved", "moved_by_default"):
            yield from ((f"{key}/{name}", before.file(f"{key}/{name}")) for name in statistics)
        for key in ("train/digests", "after_training"):
            of_each = by_variable(before, "train/names", key)
            yield key, np.array([of_each[name] for name in names])
        return
    fed = _images_feed(signatures, images)
    with _running(meta_graph, path) as (session, variables):
        yield from _of("train/signature", outputs or session.run(_outputs(signatures), fed))
        held = session.run(variables)
        yield from _of("before", held, statistics)
        yield "train/digests", _digests(held, names)
        updates = v1.get_collection(v1.GraphKeys.UPDATE_OPS)
        momenta, defaults = _momenta(signatures, TRAINING_MOMENTUM), _default_momenta(signatures)
        # With the same things fetched and fed, the second run has nothing to prepare, which takes longer than to run.
        for key, momentum in (("moved", momenta), ("moved_by_default", defaults)):
            held = {}  # the last one's, before there are more
            session.run(updates, fed | momentum)
            held = session.run(variables)
            yield from _of(key, held, statistics)
        yield "after_training", _digests(held, names)


def _gradients(
    path: Path, meta_graph: Any, size: int, keys: Mapping[str, Mapping[str, str]], earlier: Earlier
) -> Found:
    """What L2 terms pull at, and what a loss of the default output reaches."""
    default = meta_graph.signature_def["default"]
    yield "gradients/keys", listed(keys["gradients"])
    if before := earlier.same("gradients/keys", listed(keys["gradients"])):
        yield from ((name, before.file(name)) for name in before if name.startswith(_OF_GRADIENTS))
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
        output = graph.get_tensor_by_name(default.outputs["default"].name)
        yield from reached(output, sources, fed, session).items()


def _keys(meta_graph: Any, *groups: Mapping[str, str]) -> list[dict[str, str]]:
    """For each group of tensors their keys, by what they are called here; none where the graph has none."""
    fed = {meta_graph.signature_def["default"].inputs[IMAGE_INPUT].name: IMAGE_INPUT}
    keys = tensor_keys(meta_graph.graph_def, [tensor for group in groups for tensor in group.values()], fed)
    return [{name: keys[tensor] for name, tensor in group.items()} if keys else {} for group in groups]


def _training_keys(meta_graph: Any) -> dict[str, dict[str, str]]:
    """The keys of the outputs, of what moves statistics, and of what gradients start from."""
    signatures = meta_graph.signature_def
    updates = [*_collection(meta_graph, v1.GraphKeys.UPDATE_OPS), *_momentum_inputs(signatures)]
    losses = _collection(meta_graph, v1.GraphKeys.REGULARIZATION_LOSSES)
    started = {"default": signatures["default"].outputs["default"].name} | {name: name for name in losses}
    groups = {"outputs": _outputs(signatures), "updates": {name: name for name in updates}, "gradients": started}
    return dict(zip(groups, _keys(meta_graph, *groups.values()), strict=True))


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


def _digests(values: Mapping[str, np.ndarray], names: Iterable[str]) -> np.ndarray:
    return np.array([digest(values[name]) for name in names])


def _images_feed(signatures: Any, images: np.ndarray) -> dict[str, Any]:
    return {signatures["default"].inputs[IMAGE_INPUT].name: images}


def _keeping_all(meta_graph: Any) -> Any:
    """A copy in which every random number is one, so that drop path and dropout keep everything, rescaled."""
    copy = type(meta_graph)()
    copy.CopyFrom(meta_graph)
    drop_path.keep_all([copy.graph_def], in_function=False)
    return copy


def _decisions(meta_graph: Any, inference: Any) -> Found:
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(meta_graph.graph_def, name="")
    found = drop_path.sites(graph)
    in_inference = sum(drop_path.is_draw(node) for node in inference.graph_def.node)
    yield from drop_path.arrays(found, drop_path.draw(graph, found, DRAWS), in_inference).items()


def _image_size(meta_graph: Any) -> tuple[int, int]:
    attachments = (
        meta_graph.collection_def[ATTACHMENTS].bytes_list.value if ATTACHMENTS in meta_graph.collection_def else []
    )
    sizes = [size for attachment in attachments if (size := attached_image_size(attachment))]
    return sizes[0] if sizes else (0, 0)


def _collection(meta_graph: Any, key: str) -> list[str]:
    return list(meta_graph.collection_def[key].node_list.value) if key in meta_graph.collection_def else []


def _variables(meta_graph: Any, key: str) -> list[str]:
    """The names of the variables in a collection."""
    if key not in meta_graph.collection_def:
        return []
    protos = map(variable_pb2.VariableDef.FromString, meta_graph.collection_def[key].bytes_list.value)
    return [proto.variable_name.partition(":")[0] for proto in protos]


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


def _of(prefix: str, values: Mapping[str, Any], names: Iterable[str] | None = None) -> Found:
    return ((f"{prefix}/{name}", values[name]) for name in (values if names is None else names))
