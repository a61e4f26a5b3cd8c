"""Keras networks that are wrong on purpose: the rows of `tests.support.breaks` that are theirs."""

from typing import Any

import numpy as np

from tests.support import keras_faults
from tests.support.broken import Break, kind
from tests.support.keras_faults import Edit, arguments

_VALUES = "variables with other values"
_TRAINABLE = "trainable variables that differ"
_STORED = "values stored that no variable has"
_INTERFACE = "inputs and outputs that differ"
_PROPERTIES = "properties that differ"
_END_POINTS = "end points, relative difference"
_DECISIONS = "random decisions that differ"
_SHAPES = "random decisions of another shape"
_REPEATS = "random numbers that repeat"
_SHARES = "shares kept, distance in standard errors"
_TRAINING = "output in training mode, relative difference"
_MOMENTUM = "moving averages at default momentum 0.99, relative difference"
_UNDER_L2 = "variables under L2 that differ"
_L2_WEIGHTS = "L2 weights, relative difference"
_UNCHANGED = "variables changed by training"
_OTHER_SHAPES = (
    "output, shape and type",
    "output for one image, shape and type",
    "output in training mode, shape and type",
)
_KERNEL, _PLACE = "conv0/weights", "layers/conv2d/vars/0"
_BRANCH = "cell_0/comb_iter_0/left"
_DROP_PATH = f"{_BRANCH.replace('/', '__')}__drop_path"
#: Artifacts that have several things wrong with them, by the first.
_SAID, _DROPPED = "a value that no layer has", "no dropout"


def _row(
    what: str,
    check: str,
    edit: Edit,
    *,
    said: str = "",
    begins: str = "",
    also: tuple[str, ...] = (),
    along: str = "",
) -> Break:
    # What is wrong in inference is wrong in training.
    kinds = tuple(map(kind, (*also, _END_POINTS, _TRAINING) if begins else also))
    name, first = f"Keras: {what}", along and f"Keras: {along}"
    return Break(name, check, said, begins, kinds, ("classification", "keras"), edit=edit, along=first)


def _value(what: str, edit: Any) -> Break:
    return _row(what, _VALUES, keras_faults.value(_PLACE, edit), said=_KERNEL, begins="Stem", also=(_L2_WEIGHTS,))


def _graph(what: str, edit: Edit, begins: str = "Stem") -> Break:
    return _row(what, _END_POINTS, edit, begins=begins)


def _doubled(layer: dict[str, Any]) -> None:
    """Takes the penalty as TensorFlow's, which halves the squares."""
    for name, given in layer["config"].items():
        if name.endswith("_regularizer") and given:
            given["config"]["l2"] *= 2


BREAKS: tuple[Break, ...] = (
    _value("a kernel times 1.001", lambda value: value * np.float32(1.001)),
    _value("a kernel with height and width swapped", lambda value: value.transpose(1, 0, 2, 3)),
    _value("a kernel in float16", lambda value: value.astype(np.float16)),
    _row(_SAID, _STORED, keras_faults.added("layers/more/vars/0")),
    _graph("padding counted in average pools", keras_faults.json_changed("config.json", keras_faults.padded_by_keras)),
    _graph(
        "the odd pixel of padding before",
        arguments(name="cell_stem_1__comb_iter_2__left__avg_pool__pad", padding=[[1, 0], [1, 0]]),
    ),
    _graph(
        "the largest value for the mean in pools",
        keras_faults.layers(lambda layer: layer.update(class_name="MaxPooling2D"), "AveragePooling2D"),
    ),
    _graph("the last row and column left out, not the first", arguments("Cropping2D", cropping=[[0, 1], [0, 1]])),
    _graph("a ReLU left out", keras_faults.kind("Identity", name="cell_0__relu"), "Cell_1"),
    _graph("images not rescaled to [-1, 1]", arguments(name="images", scale=1.0, offset=0.0)),
    _graph("epsilon 1e-5", arguments("BatchNormalization", epsilon=1e-5)),
    _row(
        "class 0 dropped",
        _INTERFACE,
        keras_faults.without_background,
        said="output logits",
        begins="Logits",
        also=(_VALUES, _L2_WEIGHTS, *_OTHER_SHAPES),
    ),
    _row(
        "another central crop in what it says of itself",
        _PROPERTIES,
        keras_faults.json_changed("metadata.json", lambda said: said["preprocessing"].update(central_crop=0.9)),
        said="preprocessing",
        along=_SAID,
    ),
    _row("momentum 0.9", _MOMENTUM, arguments("BatchNormalization", momentum=0.9), along=_SAID),
    _row(
        "a batch norm that is not trained",
        _TRAINABLE,
        arguments(name="conv0_bn", trainable=False),
        said="conv0_bn/",
        also=("gradients", _TRAINING, _UNCHANGED),
    ),
    _row(
        "drop path of single pixels", _SHAPES, arguments(name=_DROP_PATH, noise_shape=None), said=_BRANCH, along=_SAID
    ),
    _row(
        "drop path that draws the same every time",
        _REPEATS,
        arguments(name=_DROP_PATH.replace("left", "right"), seed=1),
        said=_BRANCH.replace("left", "right"),
        along=_SAID,
    ),
    _row(_DROPPED, _DECISIONS, keras_faults.kind("Identity", name="dropout"), said="dropout", also=(_TRAINING,)),
    _row(
        "drop path of another share",
        _SHARES,
        arguments(name=_DROP_PATH, rate=0.05),
        said=_BRANCH,
        also=(_TRAINING,),
        along=_DROPPED,
    ),
    _row(
        "a kernel without L2",
        _UNDER_L2,
        arguments(name="conv0", kernel_regularizer=None),
        said=_KERNEL,
        also=(_L2_WEIGHTS,),
        along=_DROPPED,
    ),
    _row(
        "L2 taken to halve the squares",
        _L2_WEIGHTS,
        keras_faults.layers(_doubled, "Conv2D", "SeparableConv2D", "Dense"),
        also=(_UNDER_L2,),
    ),
)
