"""Reads ``saved_model.pb`` and checks that its parts fit together, since anyone may have written it.

TensorFlow's protocol buffers accept any number as a data type, a dimension or the index of an object.
"""

from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import saved_model_pb2

from exporter.errors import ArtifactError
from exporter.validation import shown

#: The most values that a tensor of TensorFlow can have.
_MOST_VALUES = 2**63 - 1
_DATA_TYPES = frozenset(types_pb2.DataType.values()) - {types_pb2.DT_INVALID}


def parsed(folder: Path) -> saved_model_pb2.SavedModel:
    """The ``SavedModel`` of the artifact in ``folder``.

    It has at least one MetaGraph; data types and shapes are valid, and the objects and functions that are referred to
    exist.

    Raises:
        ArtifactError: it is damaged.
    """
    path = folder / "saved_model.pb"
    try:
        saved_model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    except DecodeError as error:
        raise ArtifactError(f"{path} is damaged: it is not a SavedModel's protocol buffer") from error
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {error.strerror}") from error
    if not saved_model.meta_graphs:
        raise ArtifactError(f"{path} is damaged: it is not a SavedModel's protocol buffer, as it holds no MetaGraph")
    for meta_graph in saved_model.meta_graphs:
        for problem in (*_problems_of_signatures(meta_graph), *_problems_of_objects(meta_graph.object_graph_def)):
            raise ArtifactError(f"{path} is damaged: {problem}")
    return saved_model


def _problems_of_signatures(meta_graph: Any) -> Iterator[str]:
    for name, signature in meta_graph.signature_def.items():
        if name.startswith("__"):
            continue  # TensorFlow's own signatures name operations, which have no data type
        for key, info in (*signature.inputs.items(), *signature.outputs.items()):
            yield from _problems_of_tensor(f"{shown(key)} of signature {shown(name)}", info.dtype, info.tensor_shape)


def _problems_of_objects(objects: Any) -> Iterator[str]:
    count = len(objects.nodes)

    def unknown(owner: str, numbers: Any) -> Iterator[str]:
        for number in numbers:
            if not 0 <= number < count:
                yield f"{owner} refers to object {number} of {count}"

    def absent(owner: str, names: Any) -> Iterator[str]:
        for name in names:
            if name not in objects.concrete_functions:
                yield f"{owner} refers to function {shown(name)}, which it does not have"

    for index, node in enumerate(objects.nodes):
        owner, kind = f"object {index}", node.WhichOneof("kind")
        yield from unknown(owner, [child.node_id for child in node.children])
        if kind == "variable":
            yield from _problems_of_tensor(f"variable {shown(node.variable.name)}", *_of_variable(node.variable))
        elif kind == "function":
            yield from absent(owner, node.function.concrete_functions)
        elif kind == "bare_concrete_function":
            yield from absent(owner, [node.bare_concrete_function.concrete_function_name])
    for name, function in objects.concrete_functions.items():
        yield from unknown(f"function {shown(name)}", function.bound_inputs)


def _of_variable(variable: Any) -> tuple[int, Any]:
    return variable.dtype, variable.shape


def _problems_of_tensor(owner: str, dtype: int, shape: Any) -> Iterator[str]:
    if dtype not in _DATA_TYPES:
        yield f"{owner} has the data type {dtype}, which TensorFlow does not have"
    sizes = [dimension.size for dimension in shape.dim]
    if any(size < -1 for size in sizes) or prod(size for size in sizes if size > 0) > _MOST_VALUES:
        yield f"{owner} has the shape {shown(sizes)}, which no tensor has"
