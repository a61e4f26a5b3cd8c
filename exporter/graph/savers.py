"""Finds the file operations that belong to a SavedModel's own saver and that nothing else can run.

Almost every SavedModel has ``SaveV2``, ``MergeV2Checkpoints`` and ``RestoreV2``, either in the graph of its MetaGraph
or in two functions that only this graph calls. Loaders do not run them, with one exception: for SavedModels of
TensorFlow 1, ``hub.load`` runs the saver's ``restore_op_name`` and feeds it the path of the artifact's own variables.

Such an operation belongs to the saver if no signature, collection, object, gradient or other function can run it, and
if the operations that run to restore variables write no file and read only the file whose path is fed.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import DecodeError
from tensorflow.core.framework import variable_pb2

_WRITES = frozenset({"SaveV2", "MergeV2Checkpoints"})
_READS = "RestoreV2"
#: The operations by which TensorFlow's savers read and write files.
OPERATIONS = _WRITES | {_READS}
#: The operations that may follow them in a saver. If any other operation needs one of them, the graph computes with it.
_FOLLOW = frozenset({"Identity", "NoOp", "Pack", "Reshape", "Cast", "ShardedFilename", "StringJoin"}) | {
    *("Assign", "AssignVariableOp", "LookupTableImport", "LookupTableImportV2")
}
_HANDLES = frozenset({"VarHandleOp", "VariableV2", "Variable", "HashTableV2", "MutableHashTableV2"})
#: Definitions of savers, which importing a graph does not run.
_SAVERS_COLLECTION = "savers"
#: TensorFlow's optimizer may replace a call of a function with this attribute by a call of another one.
_STANDS_IN = "api_implements"


@dataclass(frozen=True)
class Savers:
    """The ``nodes`` of a MetaGraph's graph and the ``functions`` of its library that belong to its saver, by name."""

    nodes: frozenset[str] = field(default=frozenset())
    functions: frozenset[str] = field(default=frozenset())


def of(meta_graph: Any, called: Collection[str]) -> Savers:
    """The nodes and functions with file operations that only the saver of a MetaGraph can run.

    Args:
        called: what the nodes of all its functions call; see `calls`.
    """
    library = meta_graph.graph_def.library
    functions = {
        function.signature.name
        for function in library.function
        if any(node.op in OPERATIONS for node in function.node_def)
    }
    nodes = meta_graph.graph_def.node
    using = {node.name for node in nodes if node.op in OPERATIONS or functions.intersection(calls(node))}
    if not using or max(Counter(node.name for node in nodes).values()) > 1:
        return Savers()
    own = functions - set(called) - set(_called_elsewhere(meta_graph))
    graph = _Graph(nodes)
    computing = [node.name for node in nodes if node.op not in _FOLLOW and node.name not in using]
    alone = using - graph.needed_for({*computing, *_run(meta_graph)})
    restoring = alone & graph.needed_for(_restoring(meta_graph))
    alone -= {name for name in restoring if not _restores(name, graph, meta_graph)}
    outside = {name for node in nodes if node.name not in alone for name in calls(node)}
    return Savers(frozenset(alone), frozenset(own - outside))


def calls(node: Any) -> Iterator[str]:
    """The names of all that a node may call: its operation, and the functions that its attributes name."""
    yield node.op
    for value in node.attr.values():
        yield from _functions(value)


def _functions(value: Any) -> Iterator[str]:
    kind = value.WhichOneof("value")
    for function in [value.func] if kind == "func" else value.list.func if kind == "list" else ():
        yield function.name
        for inner in function.attr.values():
            yield from _functions(inner)


class _Graph:
    """The nodes of a graph by name, and which of them depend on which. Unknown names are ignored."""

    def __init__(self, nodes: Iterable[Any]):
        self.nodes = {node.name: node for node in nodes}

    def needed_for(self, names: Iterable[str]) -> set[str]:
        """These nodes, and all nodes that they depend on."""
        found: set[str] = set()
        waiting = [name for name in map(_source, names) if name in self.nodes]
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting += [source for source in map(_source, self.nodes[name].input) if source in self.nodes]
        return found


def _source(tensor: str) -> str:
    return tensor.removeprefix("^").partition(":")[0]


def _run(meta_graph: Any) -> Iterator[str]:
    """The names of the tensors and nodes that signatures and collections refer to, which users may run."""
    for signature in meta_graph.signature_def.values():
        for info in (*signature.inputs.values(), *signature.outputs.values()):
            yield from _tensors(info)
    for key, collection in meta_graph.collection_def.items():
        yield from collection.node_list.value
        for value in () if key == _SAVERS_COLLECTION else collection.bytes_list.value:
            try:
                variable = variable_pb2.VariableDef.FromString(value)
            except DecodeError:
                continue  # another message, which names nothing that is run
            yield from (variable.variable_name, variable.initial_value_name)
            yield from (variable.initializer_name, variable.snapshot_name)


def _tensors(info: Any) -> Iterator[str]:
    kind = info.WhichOneof("encoding")
    if kind == "name":
        yield info.name
    elif kind == "coo_sparse":
        sparse = info.coo_sparse
        yield from (sparse.values_tensor_name, sparse.indices_tensor_name, sparse.dense_shape_tensor_name)
    elif kind == "composite_tensor":
        for component in info.composite_tensor.components:
            yield from _tensors(component)


def _restoring(meta_graph: Any) -> tuple[str, str]:
    """The names that `hub.load` runs to restore the variables of a SavedModel of TensorFlow 1."""
    return meta_graph.saver_def.restore_op_name, meta_graph.saver_def.filename_tensor_name


def _restores(name: str, graph: _Graph, meta_graph: Any) -> bool:
    """Whether the only thing that a node does with files is to read the one whose path is fed to the saver."""
    node, filename = graph.nodes[name], _source(meta_graph.saver_def.filename_tensor_name)
    inputs = [_source(tensor) for tensor in node.input if not tensor.startswith("^")]
    if node.op in OPERATIONS:
        return node.op == _READS and bool(inputs) and _origin(inputs[0], graph) == filename
    called = set(calls(node))
    functions = [function for function in meta_graph.graph_def.library.function if function.signature.name in called]
    given = {source for source in inputs if source not in graph.nodes or graph.nodes[source].op not in _HANDLES}
    return given <= {filename} and all(map(_only_reads_arguments, functions))


def _origin(name: str, graph: _Graph) -> str:
    """The node that a node's output comes from, through any number of identities."""
    seen = set()
    while name not in seen and name in graph.nodes and graph.nodes[name].op == "Identity" and graph.nodes[name].input:
        seen.add(name)
        name = _source(graph.nodes[name].input[0])
    return name


def _only_reads_arguments(function: Any) -> bool:
    """Whether a function only reads files, and takes their paths from its arguments."""
    arguments = {argument.name for argument in function.signature.input_arg}
    touching = [node for node in function.node_def if node.op in OPERATIONS]
    return all(node.op == _READS and node.input and node.input[0] in arguments for node in touching)


def _called_elsewhere(meta_graph: Any) -> Iterator[str]:
    """The functions that attributes of other functions name, or that are called by objects, or for a gradient."""
    library, objects = meta_graph.graph_def.library, meta_graph.object_graph_def
    for function in library.function:
        for value in function.attr.values():
            yield value.s.decode(errors="replace")
        if _STANDS_IN in function.attr:
            yield function.signature.name
    for gradient in library.gradient:
        yield from (gradient.function_name, gradient.gradient_func)
    for gradient in library.registered_gradients:
        yield gradient.gradient_func
    yield from objects.concrete_functions
    for node in objects.nodes:
        yield from node.function.concrete_functions
        yield from (node.bare_concrete_function.concrete_function_name, node.captured_tensor.concrete_function)
