"""One MetaGraph of a TF1 Hub module: what it declares, and a session in which it runs with the module's values."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.core.framework import variable_pb2

from exporter.artifact.hub_messages import ATTACHMENTS, attached_image_size
from exporter.models.signatures import MOMENTUM_INPUT
from exporter.probe import drop_path

v1 = tf.compat.v1

#: Operations that declare variables; modules of long ago have the last ones.
_VARIABLES = ("VarHandleOp", "VariableV2", "Variable")


@contextlib.contextmanager
def running(meta_graph: Any, path: Path, config: Any = None) -> Iterator[tuple[Any, dict[str, Any]]]:
    """A session of a MetaGraph's graph, the default one, and its variables by name, with the artifact's values.

    Args:
        config: a ``ConfigProto`` for the session.
    """
    with tf.Graph().as_default() as graph, v1.Session(graph=graph, config=config) as session:
        # Before the graph is imported, since each run of something new takes time that grows with the graph.
        restore(session, meta_graph, path)
        v1.train.import_meta_graph(_without_saver(meta_graph), clear_devices=True)
        yield session, {variable.op.name: variable for variable in v1.global_variables()}


def _without_saver(meta_graph: Any) -> Any:
    """A copy that names a saver. Without one, TensorFlow makes its own, with operations for each variable."""
    copy = type(meta_graph)()
    copy.CopyFrom(meta_graph)
    if not copy.HasField("saver_def"):
        copy.saver_def.filename_tensor_name = copy.saver_def.save_tensor_name = copy.saver_def.restore_op_name = "none"
    return copy


def restore(session: Any, meta_graph: Any, path: Path) -> list[str]:
    """Restores a session's variables from an artifact, by operations that it adds itself; returns their names.

    They are the graph's variables as well, since variables with the same shared name are one.
    """
    declared = _declared(meta_graph, path)
    alone = v1.GraphDef(versions=meta_graph.graph_def.versions)
    alone.node.extend(declared)
    for node in alone.node:
        node.attr["shared_name"].s = node.attr["shared_name"].s or node.name.encode()
        node.device = ""
    names = [node.name for node in declared]
    restored = tf.import_graph_def(alone, name="restored", return_elements=[f"{name}:0" for name in names])
    values = _stored(declared, path)
    session.run([_assigned(variable, value) for variable, value in zip(restored, values, strict=True)])
    return names


def values(meta_graph: Any, path: Path) -> dict[str, Any]:
    """The value of each variable of an artifact, by name, read at once."""
    declared = _declared(meta_graph, path)
    return dict(zip([node.name for node in declared], _stored(declared, path), strict=True))


def _declared(meta_graph: Any, path: Path) -> list[Any]:
    """The nodes that declare the variables that the artifact has values of."""
    stored = tf.train.load_checkpoint(_prefix(path)).get_variable_to_shape_map()
    return [node for node in meta_graph.graph_def.node if node.op in _VARIABLES and node.name in stored]


def _stored(declared: Sequence[Any], path: Path) -> list[Any]:
    """Tensors of the values of variables, read where the artifact keeps them."""
    return tf.raw_ops.RestoreV2(
        prefix=_prefix(path),
        tensor_names=[node.name for node in declared],
        shape_and_slices=[""] * len(declared),
        dtypes=[tf.as_dtype(node.attr["dtype"].type) for node in declared],
    )


def _prefix(path: Path) -> str:
    return str(path / "variables" / "variables")


def _assigned(variable: Any, value: Any) -> Any:
    if variable.dtype == tf.resource:
        return tf.raw_ops.AssignVariableOp(resource=variable, value=value)
    return v1.assign(variable, value, validate_shape=False)


def read(variable: Any, dtype: Any) -> Any:
    """A tensor that gives a variable's value."""
    return tf.raw_ops.ReadVariableOp(resource=variable, dtype=dtype) if variable.dtype == tf.resource else variable


def outputs(signatures: Any) -> dict[str, str]:
    """The tensors of every output of every signature, by ``SIGNATURE/OUTPUT``."""
    return {
        f"{name}/{output}": tensor.name
        for name, signature in signatures.items()
        for output, tensor in signature.outputs.items()
    }


def keeping_all(meta_graph: Any) -> Any:
    """A copy in which every random number is one, so that drop path and dropout keep everything, rescaled."""
    copy = type(meta_graph)()
    copy.CopyFrom(meta_graph)
    drop_path.keep_all([copy.graph_def], in_function=False)
    return copy


def image_size(meta_graph: Any) -> tuple[int, int]:
    """Height and width of images according to the module's attachments; zeros if they do not tell."""
    attachments = (
        meta_graph.collection_def[ATTACHMENTS].bytes_list.value if ATTACHMENTS in meta_graph.collection_def else []
    )
    sizes = [size for attachment in attachments if (size := attached_image_size(attachment))]
    return sizes[0] if sizes else (0, 0)


def collection(meta_graph: Any, key: str) -> list[str]:
    """The names of the nodes in a collection."""
    return list(meta_graph.collection_def[key].node_list.value) if key in meta_graph.collection_def else []


def variables(meta_graph: Any, key: str) -> list[str]:
    """The names of the variables in a collection."""
    if key not in meta_graph.collection_def:
        return []
    protos = map(variable_pb2.VariableDef.FromString, meta_graph.collection_def[key].bytes_list.value)
    return [proto.variable_name.partition(":")[0] for proto in protos]


def momentum_inputs(signatures: Any) -> set[str]:
    """The tensors that take a momentum in any signature."""
    inputs = (signature.inputs for signature in signatures.values())
    return {named[MOMENTUM_INPUT].name for named in inputs if MOMENTUM_INPUT in named}


def default_momenta(signatures: Any) -> dict[str, Any]:
    """The values of `momentum_inputs` when nothing is fed; empty unless all of them are constants of the graph."""
    graph = v1.get_default_graph()
    found = {}
    for name in momentum_inputs(signatures):
        op = graph.get_tensor_by_name(name).op
        found[name] = tf.get_static_value(op.inputs[0]) if op.type == "PlaceholderWithDefault" else None
    return {} if None in found.values() else found
