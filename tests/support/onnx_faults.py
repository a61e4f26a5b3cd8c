"""Ways to make an ONNX model wrong: changes of its protocol buffer, after it was written right."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from exporter.artifact.onnx import END_POINTS_PROPERTY

Edit = Callable[[onnx.ModelProto], None]


def node(model: onnx.ModelProto, name: str) -> onnx.NodeProto:
    """The node of that name; each has the name of what it computes."""
    return next(each for each in model.graph.node if each.name == name)


def initializer(model: onnx.ModelProto, name: str) -> onnx.TensorProto:
    return next(each for each in model.graph.initializer if each.name == name)


def changed(name: str, change: Callable[[np.ndarray], Any]) -> Edit:
    """Changes the value of an initializer."""

    def edit(model: onnx.ModelProto) -> None:
        tensor = initializer(model, name)
        tensor.CopyFrom(numpy_helper.from_array(np.asarray(change(numpy_helper.to_array(tensor))), name))

    return edit


def attribute(operator: str, name: str, change: Callable[[Any], Any]) -> Edit:
    """Changes an attribute of all nodes of an operator that have it."""

    def edit(model: onnx.ModelProto) -> None:
        for each in model.graph.node:
            held = [one for one in each.attribute if one.name == name]
            if each.op_type == operator and held:
                held[0].CopyFrom(helper.make_attribute(name, change(helper.get_attribute_value(held[0]))))

    return edit


def late_first(pads: list[int]) -> list[int]:
    """Puts the odd pixel of padding before instead of after."""
    half = len(pads) // 2
    return [*pads[half:], *pads[:half]]


def operator(name: str, other: str) -> Edit:
    """Makes a node one of another operator, which takes the same inputs."""

    def edit(model: onnx.ModelProto) -> None:
        found = node(model, name)
        found.op_type = other
        del found.attribute[:]

    return edit


def max_pools(model: onnx.ModelProto) -> None:
    """Takes the largest value where the mean is meant."""
    for each in model.graph.node:
        if each.op_type == "AveragePool":
            each.op_type = "MaxPool"
            kept = [one for one in each.attribute if one.name != "count_include_pad"]
            del each.attribute[:]
            each.attribute.extend(kept)


def without_background(model: onnx.ModelProto) -> None:
    """Drops class 0, as ports do that are made for 1000 classes."""
    changed("final_layer/FC/weights", lambda value: value[:, 1:])(model)
    changed("final_layer/FC/biases", lambda value: value[1:])(model)
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value -= 1


def half(name: str) -> Edit:
    """Stores an initializer as float16, and casts it back before it is used."""

    def edit(model: onnx.ModelProto) -> None:
        changed(name, lambda value: value.astype(np.float16))(model)
        cast = helper.make_node("Cast", [name], [f"{name}/cast"], to=onnx.TensorProto.FLOAT)
        for each in model.graph.node:
            each.input[:] = [f"{name}/cast" if one == name else one for one in each.input]
        model.graph.node.insert(0, cast)

    return edit


def fixed_batch(model: onnx.ModelProto) -> None:
    """Takes three images and no other number, in its shapes and in a step that splits them up."""
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 3


def unread(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(numpy_helper.from_array(np.zeros(3, np.float32), "aux_11/aux_bn0/gamma"))


def newer(model: onnx.ModelProto) -> None:
    model.ir_version = 11


def property_changed(name: str, change: Callable[[Any], Any]) -> Edit:
    """Changes what the model says of itself."""

    def edit(model: onnx.ModelProto) -> None:
        entry = next(each for each in model.metadata_props if each.key == name)
        entry.value = json.dumps(change(json.loads(entry.value)))

    return edit


def swapped_end_points(one: str, other: str) -> Edit:
    return property_changed(END_POINTS_PROPERTY, lambda said: {**said, one: said[other], other: said[one]})
