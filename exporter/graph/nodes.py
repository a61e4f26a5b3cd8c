"""Adds nodes to a stored graph as protobufs, without building a TensorFlow graph."""

from collections.abc import Iterable, Sequence
from typing import Any

from tensorflow.core.framework import attr_value_pb2, graph_pb2, types_pb2

from exporter.models.variables import VariableSpec

FLOAT = types_pb2.DT_FLOAT
STRING = types_pb2.DT_STRING
RESOURCE = types_pb2.DT_RESOURCE


def add(graph: graph_pb2.GraphDef, op: str, name: str, inputs: Iterable[str] = (), **attributes: Any) -> str:
    """Adds a node and returns its name.

    Args:
        attributes: an `AttrValue`, or an int, which is a type, a string, or a list of types.
    """
    node = graph.node.add(op=op, name=name, input=inputs)
    for key, value in attributes.items():
        if isinstance(value, attr_value_pb2.AttrValue):
            node.attr[key].CopyFrom(value)
        elif isinstance(value, str):
            node.attr[key].s = value.encode()
        elif isinstance(value, int):
            node.attr[key].type = value
        else:
            node.attr[key].list.type.extend(value)
    return name


def shape(dimensions: Sequence[int]) -> attr_value_pb2.AttrValue:
    """The attribute of a shape; -1 is a dimension of any size."""
    value = attr_value_pb2.AttrValue()
    value.shape.SetInParent()
    for dimension in dimensions:
        value.shape.dim.add(size=dimension)
    return value


def function(name: str) -> attr_value_pb2.AttrValue:
    """The attribute of a function to call."""
    return attr_value_pb2.AttrValue(func=attr_value_pb2.NameAttrList(name=name))


def constant(graph: graph_pb2.GraphDef, name: str, type_: int, dimensions: Sequence[int], **values: Any) -> str:
    """Adds a constant; ``values`` are fields of a `TensorProto`: one value stands for as many as there are."""
    value = attr_value_pb2.AttrValue()
    value.tensor.dtype = type_
    value.tensor.tensor_shape.CopyFrom(shape(dimensions).shape)
    for field, content in values.items():
        getattr(value.tensor, field).extend(content)
    return add(graph, "Const", name, dtype=type_, value=value)


def variable(graph: graph_pb2.GraphDef, spec: VariableSpec) -> str:
    """Adds a variable's handle, under its name."""
    return add(graph, "VarHandleOp", spec.name, dtype=FLOAT, shape=shape(spec.shape), shared_name=spec.name)


def read(graph: graph_pb2.GraphDef, spec: VariableSpec) -> str:
    """Adds an operation that reads a variable, with the name that TensorFlow 1.15 expects it to have."""
    return add(graph, "ReadVariableOp", f"{spec.name}/Read/ReadVariableOp", [spec.name], dtype=FLOAT)
