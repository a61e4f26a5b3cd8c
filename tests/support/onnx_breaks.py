"""ONNX models that are wrong on purpose: the rows of `tests.support.breaks` that are theirs."""

import numpy as np

from tests.support import onnx_faults
from tests.support.broken import Break, kind
from tests.support.onnx_faults import Edit

_VALUES = "variables with other values"
_NAMES = "variables named differently"
_UNREAD = "values stored that nothing reads"
_INTERFACE = "inputs and outputs that differ"
_PROPERTIES = "properties that differ"
_OPSET = "problems for runtimes of opset 17"
_RUNS = "loads and runs"
_END_POINTS = "end points, relative difference"
_SHAPES = ("output, shape and type", "output for one image, shape and type")
_KERNEL = "conv0/weights"


def _row(what: str, check: str, edit: Edit, *, said: str = "", begins: str = "", also: tuple[str, ...] = ()) -> Break:
    kinds = tuple(map(kind, (*also, _END_POINTS) if begins else also))
    return Break(f"ONNX: {what}", check, said, begins, kinds, ("classification", "onnx"), edit=edit)


def _value(what: str, edit: Edit, also: tuple[str, ...] = ()) -> Break:
    return _row(what, _VALUES, edit, said=_KERNEL, begins="Stem", also=also)


def _graph(what: str, edit: Edit, begins: str = "Stem") -> Break:
    return _row(what, _END_POINTS, edit, begins=begins)


BREAKS: tuple[Break, ...] = (
    _value("a kernel times 1.001", onnx_faults.changed(_KERNEL, lambda value: value * np.float32(1.001))),
    _value(
        "a kernel with height and width swapped",
        onnx_faults.changed(_KERNEL, lambda value: value.transpose(0, 1, 3, 2)),
    ),
    _value("a kernel in float16", onnx_faults.half(_KERNEL), also=(_NAMES,)),
    _row("a value that nothing reads", _UNREAD, onnx_faults.unread, said="aux_11/aux_bn0/gamma"),
    _graph("the odd pixel of padding before", onnx_faults.attribute("Conv", "pads", onnx_faults.late_first)),
    _graph("padding counted in average pools", onnx_faults.attribute("AveragePool", "count_include_pad", lambda _: 1)),
    _graph("the largest value for the mean in pools", onnx_faults.max_pools),
    _graph("a ReLU left out", onnx_faults.operator("cell_0/cell_output/Relu", "Identity"), "Cell_1"),
    _graph("images not rescaled to [-1, 1]", onnx_faults.changed("one", np.zeros_like)),
    _graph("epsilon 1e-5", onnx_faults.attribute("BatchNormalization", "epsilon", lambda _: 1e-5)),
    _graph("two end points swapped", onnx_faults.swapped_end_points("Cell_0", "Cell_1"), "Cell_0"),
    _row(
        "class 0 dropped",
        _INTERFACE,
        onnx_faults.without_background,
        said="output logits",
        begins="Logits",
        also=(_VALUES, *_SHAPES),
    ),
    _row("a batch of three only", _RUNS, onnx_faults.fixed_batch, said="inputs"),
    _row("an IR version that older runtimes refuse", _OPSET, onnx_faults.newer, said="IR version 11"),
    _row(
        "another central crop in what it says of itself",
        _PROPERTIES,
        onnx_faults.property_changed("preprocessing", lambda said: {**said, "central_crop": 0.9}),
        said="preprocessing",
    ),
)
