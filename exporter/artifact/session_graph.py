"""Adds the graph of a TF2 SavedModel that is run in a session: its signatures, and how variables are restored.

`tf.saved_model.load` loads the objects instead, and never builds this graph.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2, saver_pb2

from exporter.artifact.objects import Trace
from exporter.graph import nodes
from exporter.graph.nodes import FLOAT, RESOURCE, STRING
from exporter.models.variables import VariableSpec

_INIT = "__saved_model_init_op"


def add(
    meta_graph: Any, specs: Sequence[VariableSpec], keys: Mapping[str, str], signatures: Mapping[str, Trace]
) -> None:
    """Adds the graph to ``meta_graph``, whose library already has the functions.

    Args:
        keys: the key of each variable in the file of variables, by name.
    """
    graph = meta_graph.graph_def
    for spec in specs:
        nodes.variable(graph, spec)
    for name, trace in signatures.items():
        meta_graph.signature_def[name].CopyFrom(_signature(graph, name, trace))
    nothing = nodes.add(graph, "NoOp", "NoOp")
    meta_graph.collection_def["saved_model_main_op"].node_list.value.append(nothing)
    done = meta_graph.signature_def[_INIT].outputs[_INIT]
    done.name = nothing
    done.tensor_shape.unknown_rank = True
    meta_graph.saver_def.CopyFrom(_saver(graph, specs, keys))


def _signature(graph: Any, name: str, trace: Trace) -> meta_graph_pb2.SignatureDef:
    """Adds the call of a signature's function."""
    signature = meta_graph_pb2.SignatureDef(method_name=tf.saved_model.PREDICT_METHOD_NAME)
    inputs = []
    for argument, spec in trace.arguments[1].items():
        inputs.append(nodes.add(graph, "Placeholder", f"{name}_{argument}", dtype=FLOAT, shape=_shape(spec)))
        signature.inputs[argument].CopyFrom(_tensor(inputs[-1], 0, spec))
    call = nodes.add(
        graph,
        "StatefulPartitionedCall",
        "StatefulPartitionedCall",
        [*inputs, *trace.captured],
        f=nodes.function(trace.name),
        Tin=[FLOAT] * len(inputs) + [RESOURCE] * len(trace.captured),
        Tout=[FLOAT] * len(trace.outputs),
    )
    for place, (output, spec) in enumerate(trace.outputs.items()):
        signature.outputs[output].CopyFrom(_tensor(call, place, spec))
    return signature


def _saver(graph: Any, specs: Sequence[VariableSpec], keys: Mapping[str, str]) -> saver_pb2.SaverDef:
    """Adds what reads and writes the file of variables: one operation, and one more for each variable."""
    count = len(specs)
    filename = nodes.add(graph, "Placeholder", "saver_filename", dtype=STRING, shape=nodes.shape([]))
    names = nodes.constant(
        graph, "save/tensor_names", STRING, [count], string_val=[keys[spec.name].encode() for spec in specs]
    )
    slices = nodes.constant(graph, "save/shape_and_slices", STRING, [count], string_val=[b""] * count)
    values = [nodes.read(graph, spec) for spec in specs]
    types = [FLOAT] * count
    nodes.add(graph, "SaveV2", "save/SaveV2", [filename, names, slices, *values], dtypes=types)
    saved = nodes.add(graph, "Identity", "save/Identity", [filename, "^save/SaveV2"], T=STRING)
    restored = nodes.add(graph, "RestoreV2", "save/RestoreV2", [filename, names, slices], dtypes=types)
    assignments = [
        nodes.add(graph, "AssignVariableOp", f"{spec.name}/Restore", [spec.name, f"{restored}:{place}"], dtype=FLOAT)
        for place, spec in enumerate(specs)
    ]
    restore = nodes.add(graph, "NoOp", "save/restore_all", [f"^{name}" for name in assignments])
    return saver_pb2.SaverDef(
        filename_tensor_name=f"{filename}:0",
        save_tensor_name=f"{saved}:0",
        restore_op_name=restore,
        version=saver_pb2.SaverDef.V2,
    )


def _shape(spec: tf.TensorSpec) -> Any:
    return nodes.shape([-1 if size is None else size for size in spec.shape])


def _tensor(node: str, place: int, spec: tf.TensorSpec) -> meta_graph_pb2.TensorInfo:
    return meta_graph_pb2.TensorInfo(name=f"{node}:{place}", dtype=FLOAT, tensor_shape=_shape(spec).shape)
