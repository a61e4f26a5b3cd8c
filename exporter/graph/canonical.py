"""Makes a written graph independent of the process that wrote it: the same network always gives the same bytes.

TensorFlow numbers functions with a counter of the whole process, and lists them in the order of a hash table. Both
depend on what was traced before, so a version written alone would differ from the same one written after another.
"""

import hashlib
import re
from collections.abc import Iterable
from typing import Any

from tensorflow.core.protobuf import saved_model_pb2

from exporter.graph.downgrade import nodes

_NUMBERED = re.compile(r"(?P<stem>.+)_(?P<number>\d+)")
#: The attribute with the name of a function's argument; for a captured tensor it is a number that differs by process.
_ARGUMENT_NAME = "_user_specified_name"


def canonicalize(saved_model: saved_model_pb2.SavedModel, handle: str) -> None:
    """Renames and sorts the functions of ``saved_model`` in place.

    A function keeps its name but for the number at its end, which is made of ``handle`` and of its place among those of
    the same name: a graph may import several artifacts, and names must not clash there.
    """
    renamed: dict[str, str] = {}
    for meta_graph in saved_model.meta_graphs:
        functions = meta_graph.graph_def.library.function
        renamed |= _renamed([function.signature.name for function in functions], handle)
        for function in functions:
            function.signature.name = renamed[function.signature.name]
            for argument in function.arg_attr.values():
                if _ARGUMENT_NAME in argument.attr and argument.attr[_ARGUMENT_NAME].s.isdigit():
                    del argument.attr[_ARGUMENT_NAME]
        functions.sort(key=lambda function: function.signature.name)
        _rename_in_objects(meta_graph.object_graph_def, renamed)
    for node in nodes(saved_model):
        node.op = renamed.get(node.op, node.op)
        for value in node.attr.values():
            kind = value.WhichOneof("value")
            for called in [value.func] if kind == "func" else value.list.func if kind == "list" else ():
                called.name = renamed.get(called.name, called.name)


def _renamed(names: Iterable[str], handle: str) -> dict[str, str]:
    stems: dict[str, list[tuple[int, str]]] = {}
    for name in names:
        if match := _NUMBERED.fullmatch(name):
            stems.setdefault(match["stem"], []).append((int(match["number"]), name))
    first = int(hashlib.sha256(handle.encode()).hexdigest()[:8], 16) * 1000
    return {
        name: f"{stem}_{first + place}"
        for stem, numbered in stems.items()
        for place, (_, name) in enumerate(sorted(numbered))
    }


def _rename_in_objects(objects: Any, renamed: dict[str, str]) -> None:
    """Renames functions in the four places where the object graph refers to them by name."""
    for name in list(objects.concrete_functions):
        if name in renamed:
            objects.concrete_functions[renamed[name]].CopyFrom(objects.concrete_functions[name])
            del objects.concrete_functions[name]
    for node in objects.nodes:
        kind = node.WhichOneof("kind")
        if kind == "function":
            node.function.concrete_functions[:] = [renamed.get(name, name) for name in node.function.concrete_functions]
        elif kind == "bare_concrete_function":
            bare = node.bare_concrete_function
            bare.concrete_function_name = renamed.get(bare.concrete_function_name, bare.concrete_function_name)
        elif kind == "captured_tensor":
            function = node.captured_tensor.concrete_function
            node.captured_tensor.concrete_function = renamed.get(function, function)
