"""The objects of a TF2 SavedModel, which a reader makes anew: protobufs of ``saved_object_graph.proto``."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tensorflow.core.framework import function_pb2, variable_pb2
from tensorflow.core.protobuf import saved_object_graph_pb2, struct_pb2, trackable_object_graph_pb2
from tensorflow.python.saved_model import nested_structure_coder

from exporter.graph.nodes import FLOAT, shape
from exporter.models.variables import VariableSpec

_VALUE = "VARIABLE_VALUE"


@dataclass(frozen=True)
class Trace:
    """A traced function.

    ``captured`` names the variables that it takes after its own arguments; ``arguments`` are those that it was traced
    with, positional ones and then named ones; ``outputs`` is the structure of its outputs, `tf.TensorSpec` in place of
    tensors.
    """

    definition: function_pb2.FunctionDef
    captured: tuple[str, ...]
    arguments: tuple[tuple[Any, ...], dict[str, Any]]
    outputs: Any

    @property
    def name(self) -> str:
        return self.definition.signature.name


def structure(value: Any) -> struct_pb2.StructuredValue:
    """The protobuf of nested tuples, lists and dictionaries of numbers, strings and `tf.TensorSpec`."""
    return nested_structure_coder.encode_structure(value)


class Objects:
    """Objects as they are added, each with a number; the root comes first.

    Attributes:
        saved: what the SavedModel holds of them.
    """

    def __init__(self) -> None:
        self.saved = saved_object_graph_pb2.SavedObjectGraph()
        self._variables: dict[str, int] = {}
        self.root = self._user_object("_generic_user_object", {})

    def variable(self, spec: VariableSpec) -> int:
        """Adds a variable. One that is not trained is a moving average: each replica of a distributed training moves
        its own, and what is read and saved is their mean, as of TF-Slim's and Keras's.
        """
        number, node = self._add({})
        node.variable.dtype, node.variable.trainable, node.variable.name = FLOAT, spec.trainable, spec.name
        node.variable.shape.CopyFrom(shape(spec.shape).shape)
        if not spec.trainable:
            node.variable.synchronization = variable_pb2.VARIABLE_SYNCHRONIZATION_ON_READ
            node.variable.aggregation = variable_pb2.VARIABLE_AGGREGATION_MEAN
        self._variables[spec.name] = number
        return number

    def listed(self, name: str, members: Sequence[int]) -> None:
        """Adds a list as the root's attribute of that name."""
        self.attach(name, self._user_object("trackable_list_wrapper", _numbered(members)))

    def mapped(self, name: str, members: Mapping[str, int]) -> None:
        """Adds a map of signatures as the root's attribute of that name."""
        self.attach(name, self._user_object("signature_map", members))

    def attach(self, name: str, number: int) -> None:
        """Makes an object the root's attribute of that name."""
        self.saved.nodes[self.root].children.add(node_id=number, local_name=name)

    def function(
        self,
        traces: Sequence[Trace],
        specification: inspect.FullArgSpec,
        input_signature: tuple[Any, ...] | None = None,
    ) -> int:
        """Adds a function that can be called as ``specification`` says; the arguments choose among the traces."""
        number, node = self._add({})
        node.function.concrete_functions.extend(self._concrete(trace) for trace in traces)
        node.function.function_spec.fullargspec.CopyFrom(structure(specification))
        node.function.function_spec.input_signature.CopyFrom(structure(input_signature))
        return number

    def signature(self, trace: Trace) -> int:
        """Adds a function that is called with named tensors."""
        number, node = self._add({})
        node.bare_concrete_function.concrete_function_name = self._concrete(trace)
        node.bare_concrete_function.argument_keywords.extend(trace.arguments[1])
        node.bare_concrete_function.allowed_positional_arguments = len(trace.arguments[1])
        return number

    def keys(self) -> dict[str, str]:
        """Under which key the file of variables has each, by name: the path to it from the root."""
        numbers = {number: name for name, number in self._variables.items()}
        (variables,) = (
            child.node_id for child in self.saved.nodes[self.root].children if child.local_name == "variables"
        )
        return {
            numbers[child.node_id]: f"variables/{child.local_name}/.ATTRIBUTES/{_VALUE}"
            for child in self.saved.nodes[variables].children
        }

    def trackable(self) -> trackable_object_graph_pb2.TrackableObjectGraph:
        """The same objects as the file of variables tells of them, in the same order."""
        graph = trackable_object_graph_pb2.TrackableObjectGraph()
        keys = self.keys()
        for saved in self.saved.nodes:
            node = graph.nodes.add(children=saved.children)
            if saved.WhichOneof("kind") == "variable":
                name = saved.variable.name
                node.attributes.add(name=_VALUE, full_name=name, checkpoint_key=keys[name])
        return graph

    def _concrete(self, trace: Trace) -> str:
        concrete = self.saved.concrete_functions[trace.name]
        concrete.bound_inputs[:] = [self._variables[name] for name in trace.captured]
        concrete.canonicalized_input_signature.CopyFrom(structure(trace.arguments))
        concrete.output_signature.CopyFrom(structure(trace.outputs))
        return trace.name

    def _user_object(self, identifier: str, children: Mapping[str, int]) -> int:
        number, node = self._add(children)
        node.user_object.identifier = identifier
        node.user_object.version.producer = node.user_object.version.min_consumer = 1
        return number

    def _add(self, children: Mapping[str, int]) -> tuple[int, Any]:
        node = self.saved.nodes.add()
        for name, number in children.items():
            node.children.add(node_id=number, local_name=name)
        return len(self.saved.nodes) - 1, node


def _numbered(members: Sequence[int]) -> dict[str, int]:
    return {str(place): number for place, number in enumerate(members)}
