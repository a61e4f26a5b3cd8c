"""Rewrites a SavedModel of today's TensorFlow so that older readers take it, without changing what it computes."""

from collections.abc import Iterable, Iterator
from typing import Any

from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.framework import op_def_registry

#: Attributes that newer TensorFlow adds and that bear no meaning for a stored graph.
_REMOVED_ATTRIBUTES = {"VarHandleOp": ("debug_name",), "AssignVariableOp": ("validate_shape",)}
#: Operations that newer TensorFlow adds only to save memory at run time.
_REPLACED_BY_NO_OP = frozenset({"DisableCopyOnRead"})


def downgrade(saved_model: saved_model_pb2.SavedModel) -> None:
    """Changes ``saved_model`` in place: what only newer readers know is removed, defaults are left out.

    What remains is for `exporter.graph.compatibility` to judge.
    """
    for node in nodes(saved_model):
        if node.op in _REPLACED_BY_NO_OP:
            control_inputs = [name for name in node.input if name.startswith("^")]
            node.op = "NoOp"
            node.ClearField("attr")
            node.ClearField("experimental_type")
            del node.input[:]
            node.input.extend(control_inputs)
        for name in _REMOVED_ATTRIBUTES.get(node.op, ()):
            node.attr.pop(name, None)
        _strip_defaults(node)
    for meta_graph in saved_model.meta_graphs:
        meta_graph.meta_info_def.stripped_default_attrs = True


def nodes(saved_model: saved_model_pb2.SavedModel) -> Iterator[Any]:
    """Every NodeDef of every graph and function."""
    for meta_graph in saved_model.meta_graphs:
        yield from meta_graph.graph_def.node
        yield from _function_nodes(meta_graph.graph_def.library.function)


def _function_nodes(functions: Iterable[Any]) -> Iterator[Any]:
    for function in functions:
        yield from function.node_def


def _strip_defaults(node: Any) -> None:
    definition = op_def_registry.get(node.op)
    if definition is None:
        return
    for attribute in definition.attr:
        has_default = attribute.HasField("default_value") and attribute.name in node.attr
        if has_default and node.attr[attribute.name] == attribute.default_value:
            del node.attr[attribute.name]
