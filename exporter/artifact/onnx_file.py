"""Reads ``model.onnx`` without running it: the variables in it, its inputs and outputs, what it says of itself."""

import json
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import TensorProto, external_data_helper, helper, numpy_helper

from exporter.artifact.jobs import Inspection, SignatureFacts, TensorFacts, VariableFacts, VariablesFacts
from exporter.artifact.onnx import DEPTHWISE_AXES, KERNEL_AXES
from exporter.errors import ArtifactError
from exporter.files.arrays import digest
from exporter.models.formats import ONNX, ONNX_FILE
from exporter.models.signatures import END_POINTS_PROPERTY

#: The places of the values of variables among the inputs of each operator that has any.
_PLACES = {"Conv": (1, 2), "BatchNormalization": (1, 2, 3, 4), "Gemm": (1, 2), "MatMul": (1,)}


@dataclass(frozen=True)
class Variable:
    """A variable as checkpoints have it: ``axes`` are those of the initializer, transposed to the checkpoint's."""

    initializer: TensorProto
    axes: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        dims = tuple(self.initializer.dims)
        return tuple(dims[axis] for axis in self.axes)

    @property
    def dtype(self) -> str:
        return str(helper.tensor_dtype_to_np_dtype(self.initializer.data_type))

    def value(self) -> NDArray[Any]:
        return np.ascontiguousarray(numpy_helper.to_array(self.initializer).transpose(self.axes))


def read(folder: Path) -> onnx.ModelProto:
    """The model in a folder.

    Raises:
        ArtifactError: it is damaged, or keeps values in other files.
    """
    path = folder / ONNX_FILE
    try:
        model = onnx.load_model(path, load_external_data=False)
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {error.strerror}") from error
    except (DecodeError, ValueError) as error:
        raise ArtifactError(f"{path} is damaged: it is no ONNX model") from error
    if not model.HasField("graph") or not model.graph.output:
        raise ArtifactError(f"{path} is damaged: it has no graph with outputs")
    for tensor in model.graph.initializer:
        if external_data_helper.uses_external_data(tensor):
            raise ArtifactError(f"{path} keeps {tensor.name} in another file: expected all values in {ONNX_FILE}")
    return model


def variables(model: onnx.ModelProto) -> dict[str, Variable]:
    """The variables by name: the initializers of at least one dimension that layers take as their weights."""
    held = {tensor.name: tensor for tensor in model.graph.initializer}
    found: dict[str, Variable] = {}
    for node in model.graph.node:
        for place in _PLACES.get(node.op_type, ()):
            name = node.input[place] if place < len(node.input) else ""
            if name in held and held[name].dims:
                found.setdefault(name, Variable(held[name], _axes(node, held[name], place)))
    return found


class StoredVariables:
    """The variables that ``model.onnx`` stores, as `exporter.diff.stored.Stored` wants them.

    Raises:
        ArtifactError: it is damaged.
    """

    def __init__(self, folder: Path, count: int):
        self._found = variables(read(folder))

    @property
    def names(self) -> list[str]:
        return sorted(self._found)

    def read(self, name: str) -> NDArray[Any]:
        return self._found[name].value()

    def kind(self, name: str) -> str:
        return f"{self._found[name].dtype} {list(self._found[name].shape)}"


def unread(model: onnx.ModelProto) -> list[str]:
    """The names of initializers that no node reads, directly or as an output."""
    read = {name for node in model.graph.node for name in node.input} | {output.name for output in model.graph.output}
    return [tensor.name for tensor in model.graph.initializer if tensor.name not in read]


def digests(found: dict[str, Variable]) -> dict[str, str]:
    """The sha256 of the value of each variable in the checkpoint's axes, see `exporter.files.arrays.digest`."""
    return {name: digest(variable.value()) for name, variable in found.items()}


def properties(model: onnx.ModelProto) -> dict[str, str]:
    """``metadata_props``."""
    return {entry.key: entry.value for entry in model.metadata_props}


def end_points(model: onnx.ModelProto) -> dict[str, str]:
    """The tensor of each end point by its name, where the model says so; outputs are not among them."""
    try:
        said = json.loads(properties(model).get(END_POINTS_PROPERTY, "{}"))
    except ValueError:
        return {}
    known = {name for node in model.graph.node for name in node.output}
    return {name: tensor for name, tensor in said.items() if tensor in known} if isinstance(said, dict) else {}


def tensor_facts(value: onnx.ValueInfoProto) -> TensorFacts:
    """Type and shape of an input or output; a free dimension, such as ``batch``, is None."""
    tensor = value.type.tensor_type
    try:
        dtype = str(helper.tensor_dtype_to_np_dtype(tensor.elem_type))
    except KeyError:
        dtype = "unknown"
    if not tensor.HasField("shape"):
        return TensorFacts(dtype, None)
    return TensorFacts(dtype, tuple(dim.dim_value if dim.HasField("dim_value") else None for dim in tensor.shape.dim))


def inputs(model: onnx.ModelProto) -> dict[str, TensorFacts]:
    """The inputs that a user has to give, by name."""
    held = {tensor.name for tensor in model.graph.initializer}
    return {value.name: tensor_facts(value) for value in model.graph.input if value.name not in held}


def describe(folder: Path) -> Inspection:
    """What ``nasexport inspect`` shows of an ONNX model.

    Raises:
        ArtifactError: it is damaged.
    """
    model = read(folder)
    found = variables(model)
    opsets = ", ".join(f"opset {each.version}{each.domain and f' of {each.domain}'}" for each in model.opset_import)
    signature = SignatureFacts(inputs(model), {output.name: tensor_facts(output) for output in model.graph.output})
    listed = tuple(VariableFacts(name, variable.dtype, variable.shape, None) for name, variable in found.items())
    sizes = {facts.shape[1] for facts in signature.inputs.values() if facts.shape and len(facts.shape) == 4}
    return Inspection(
        path=str(folder),
        format=ONNX.name,
        handle=None,
        tag_sets=(),
        signatures={"": {"graph": signature}},
        functions={},
        image_size=next(iter(sizes), None) if len(sizes) == 1 else None,
        variables=VariablesFacts(len(found), 0, sum(prod(variable.shape) for variable in found.values()), listed),
        bytes=(folder / ONNX_FILE).stat().st_size,
        oldest_tensorflow=None,
        findings=(),
        written_by=None,
        tensorflow_version="",
        source=None,
        options=None,
        verified=None,
        readers=f"runtimes of ONNX with IR version {model.ir_version} and {opsets}",
    )


def _axes(node: onnx.NodeProto, tensor: TensorProto, place: int) -> tuple[int, ...]:
    """What takes an initializer's axes to the checkpoint's, by what its layer does with it."""
    attributes = {attribute.name: attribute for attribute in node.attribute}
    axes = tuple(range(len(tensor.dims)))
    if node.op_type == "Conv" and len(axes) == 4:
        depthwise = "group" in attributes and attributes["group"].i > 1
        return tuple(int(axis) for axis in np.argsort(DEPTHWISE_AXES if depthwise else KERNEL_AXES))
    if node.op_type == "Gemm" and place == 1 and "transB" in attributes and attributes["transB"].i:
        return axes[::-1]
    return axes
