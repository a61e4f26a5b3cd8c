"""The forward pass of both networks once more, in NumPy alone: the arbiter between two graphs that disagree.

It shares the table of cells and the fields of a configuration with `exporter.graph.network`, and nothing else: no
TensorFlow,
no TF-Slim, and names, padding and matching of states worked out a second time. A mistake made once in the graphs is
therefore not made here as well, and what TensorFlow computes is compared with arithmetic that can be read.

Sources, cited below where a fact is used: the papers of NASNet-A (Zoph et al. 2018, "Learning Transferable
Architectures for Scalable Image Recognition") and PNASNet-5 (Liu et al. 2018, "Progressive Neural Architecture
Search"); the TF-Slim networks that the checkpoints were trained with ("TF-Slim"); and TensorFlow's definitions of its
operations ("TensorFlow"). Feature maps are [batch, height, width, channels] throughout.
"""

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

from exporter.models.cells import FAMILIES, Branch, Cell
from exporter.models.config import ModelConfig

Array = NDArray[Any]
#: ``variable(name)`` is the value of a variable of the checkpoint, or raises KeyError.
Variable = Callable[[str], Array]
Padding = Literal["SAME", "VALID"]

#: Added to the variance in every batch norm. TF-Slim's networks set it to what is its own default, too; PyTorch's is
#: 1e-5.
EPSILON = 1e-3


def outputs(
    config: ModelConfig, variables: Mapping[str, Array], images: Array, dtype: DTypeLike = np.float32
) -> dict[str, Array]:
    """Every end point of a classification network in inference, in the order of the network.

    Args:
        variables: the values by their names in the checkpoint; those of `exporter.models.variables.variables`, of
        which none is
            left out and no other is read.
        images: float32 [batch, size, size, 3], RGB in [0, 1], of at least one image.
        dtype: float32, or float64 to tell which of two float32 implementations is nearer to the truth.

    Returns:
        ``Stem``, ``Cell_i`` and ``Reduction_Cell_k`` [batch, height, width, channels], ``global_pool`` [batch,
        features], ``Logits`` and ``Predictions`` [batch, num_classes], all of ``dtype``.

    Raises:
        KeyError: ``variables`` lacks one that the network has.
        ValueError: a variable has a shape that does not fit.
    """

    def variable(name: str) -> Array:
        return np.asarray(variables[name], dtype)

    # One image at a time: inference looks at each alone, and one feature map fits a processor's cache where three do
    # not.
    runs = [dict(_end_points(config, variable, image[np.newaxis])) for image in np.asarray(images, dtype)]
    return {name: np.concatenate([run[name] for run in runs]) for name in runs[0]}


def _end_points(config: ModelConfig, variable: Variable, images: Array) -> Iterator[tuple[str, Array]]:
    family = FAMILIES[config.family]
    filters = config.num_conv_filters
    # TF-Slim's ImageNet stem: one convolution, and two reduction cells of a quarter and half of the filters.
    net = convolution(2 * images - 1, variable("conv0/weights"), stride=2, padding="VALID")
    conv0 = _batch_norm(variable, "conv0_bn", net)
    before = _cell(variable, "cell_stem_0", family.reduction, conv0, None, filters // 4, stride=2)
    current = _cell(variable, "cell_stem_1", family.reduction, before, conv0, filters // 2, stride=2)
    yield "Stem", current
    for index in range(config.num_cells):
        reduces = index in config.reductions
        # Both papers: twice the filters wherever height and width are halved.
        filters *= 2 if reduces else 1
        if reduces and family.inserts_reductions:
            number = config.reductions.index(index)
            reduced = _cell(variable, f"reduction_cell_{number}", family.reduction, current, before, filters, stride=2)
            yield f"Reduction_Cell_{number}", reduced
            if not config.skip_reduction_layer_input:
                before = current
            current = reduced
        strided = reduces and not family.inserts_reductions
        cell, stride = (family.reduction, 2) if strided else (family.normal, 1)
        before, current = current, _cell(variable, f"cell_{index}", cell, current, before, filters, stride)
        yield f"Cell_{index}", current

    features = _relu(current).mean(axis=(1, 2))
    yield "global_pool", features
    # Dropout, which would come here, is nothing in inference: TensorFlow rescales what it keeps while training.
    logits = features @ variable("final_layer/FC/weights") + variable("final_layer/FC/biases")
    yield "Logits", logits
    # Less the largest, which cancels, so that no exponential overflows.
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    yield "Predictions", exponentials / exponentials.sum(axis=1, keepdims=True)


def _cell(
    variable: Variable, scope: str, cell: Cell, current: Array, before: Array | None, filters: int, stride: int
) -> Array:
    """A cell on ``current`` and the state ``before`` it, which only the very first cell lacks (TF-Slim).

    All that is concatenated has the output's size: no cell passes on state 0, and the only one that passes on state 1,
    NASNet-A's normal cell, has no stride. TF-Slim would reduce such a state; neither network needs it.
    """
    states = [
        _projection(variable, f"{scope}/1x1", f"{scope}/beginning_bn", _relu(current)),
        # TF-Slim: the first cell takes its own input a second time, as it is, with whatever channels it has.
        current if before is None else _matched(variable, scope, before, current, filters),
    ]
    for index, branches in enumerate(cell.combinations):
        operands = []
        for side, branch in zip(("left", "right"), branches, strict=True):
            # Only a cell's two inputs have the full size; the sums have that of the output.
            branch_stride = stride if branch.state in (0, 1) else 1
            branch_scope = f"{scope}/comb_iter_{index}/{side}"
            operands.append(_branch(variable, branch_scope, branch, states[branch.state], filters, branch_stride))
        states.append(operands[0] + operands[1])
    return np.concatenate([states[state] for state in cell.concatenated], axis=3)


def _matched(variable: Variable, scope: str, before: Array, current: Array, filters: int) -> Array:
    """The state before, brought to the size of the current one and to ``filters`` channels.

    TF-Slim looks at the width first: a factorized reduction sets the channels, too. What already fits stays, without a
    ReLU.
    """
    if before.shape[2] != current.shape[2]:
        return _factorized_reduction(variable, scope, _relu(before))
    if before.shape[3] != filters:
        return _projection(variable, f"{scope}/prev_1x1", f"{scope}/prev_bn", _relu(before))
    return before


def _factorized_reduction(variable: Variable, scope: str, net: Array) -> Array:
    """Halves height and width, half of the channels from the even pixels, half from those one down and to the right.

    TF-Slim: an average pool of one pixel at stride 2 is a choice of pixels. The second path pads one row and column of
    zeros at the bottom and right and drops the first ones, so that both have the same size where it is odd.
    """
    shifted = np.pad(net, ((0, 0), (0, 1), (0, 1), (0, 0)))[:, 1:, 1:]
    paths = [
        convolution(path[:, ::2, ::2], variable(f"{scope}/path{number}_conv/weights"))
        for number, path in ((1, net), (2, shifted))
    ]
    return _batch_norm(variable, f"{scope}/final_path_bn", np.concatenate(paths, axis=3))


def _branch(variable: Variable, scope: str, branch: Branch, net: Array, filters: int, stride: int) -> Array:
    """One operation of a combination. Drop path, which may follow it while training, is nothing in inference."""
    if branch.kind == "sep":
        # NASNet-A's paper: every separable convolution twice; TF-Slim: in both families, and the first one strides.
        for layer, layer_stride in ((1, stride), (2, 1)):
            name = f"{branch.kernel}x{branch.kernel}_{layer}"
            net = depthwise(_relu(net), variable(f"{scope}/separable_{name}/depthwise_weights"), layer_stride)
            net = convolution(net, variable(f"{scope}/separable_{name}/pointwise_weights"))
            net = _batch_norm(variable, f"{scope}/bn_sep_{name}", net)
        return net
    if branch.kind == "none":
        if stride == 1 and net.shape[3] == filters:
            return net
        return _projection(variable, f"{scope}/1x1", f"{scope}/bn_1", _relu(net), stride)
    pool = {"avg": average_pool, "max": max_pool}[branch.kind]
    net = pool(net, branch.kernel, stride)
    if net.shape[3] == filters:
        return net
    # TF-Slim: unlike everywhere else, no ReLU comes before this 1x1 convolution.
    return _projection(variable, f"{scope}/1x1", f"{scope}/bn_1", net)


def _projection(variable: Variable, scope: str, batch_norm_scope: str, net: Array, stride: int = 1) -> Array:
    """A 1x1 convolution and its batch norm."""
    return _batch_norm(variable, batch_norm_scope, convolution(net, variable(f"{scope}/weights"), stride))


def _batch_norm(variable: Variable, scope: str, net: Array) -> Array:
    """Normalization with the moving statistics (TensorFlow's fused batch norm in inference)."""
    gamma, beta, mean, variance = (
        variable(f"{scope}/{leaf}") for leaf in ("gamma", "beta", "moving_mean", "moving_variance")
    )
    factor = gamma / np.sqrt(variance + np.asarray(EPSILON, variance.dtype))
    return (net - mean) * factor + beta


def _relu(net: Array) -> Array:
    return np.maximum(net, 0)


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """How many pixels SAME adds before and after ``size`` of them.

    TensorFlow: the output has ``size / stride`` pixels, rounded up, and what they lack is shared out evenly, an odd one
    *after*. At stride 2 an even size is therefore padded on one side more than on the other (a 3x3 kernel: 0 before, 1
    after), where PyTorch's ``padding=1`` would shift every window by a pixel.
    """
    windows = -(-size // stride)
    lacking = max((windows - 1) * stride + kernel - size, 0)
    return lacking // 2, lacking - lacking // 2


def _shifted(
    net: Array, kernel: int, stride: int, padding: Padding = "SAME", fill: float = 0.0
) -> Iterator[tuple[int, int, Array]]:
    """For each pixel (row, column) of a kernel, the inputs under it at every output: [batch, rows, columns, channels].

    ``fill`` is what lies beyond the edges.
    """
    if padding == "SAME":
        rows, columns = (same_padding(size, kernel, stride) for size in net.shape[1:3])
        if any((*rows, *columns)):
            net = np.pad(net, ((0, 0), rows, columns, (0, 0)), constant_values=fill)
    # The last window begins where it still fits; outputs are a stride apart.
    height, width = (size - kernel + 1 for size in net.shape[1:3])
    for row in range(kernel):
        for column in range(kernel):
            yield row, column, net[:, row : row + height : stride, column : column + width : stride]


def convolution(net: Array, kernel: Array, stride: int = 1, padding: Padding = "SAME") -> Array:
    """Convolution without a bias; ``kernel`` is [side, side, channels, filters].

    As everywhere in TensorFlow it is a correlation: the kernel is not mirrored.
    """

    def product(row: int, column: int, inputs: Array) -> Array:
        # As a matrix, because NumPy multiplies stacks of small ones much more slowly.
        matrix = inputs.reshape(-1, kernel.shape[2]) @ kernel[row, column]
        return matrix.reshape(*inputs.shape[:3], kernel.shape[3])

    return _sum(product(*shifted) for shifted in _shifted(net, kernel.shape[0], stride, padding))


def depthwise(net: Array, kernel: Array, stride: int = 1) -> Array:
    """A kernel of its own for each channel, SAME; ``kernel`` is [side, side, channels, 1]."""
    return _sum(inputs * kernel[row, column, :, 0] for row, column, inputs in _shifted(net, kernel.shape[0], stride))


def average_pool(net: Array, kernel: int, stride: int = 1) -> Array:
    """SAME average pool. TensorFlow: the mean of the pixels that are there; padding is not counted."""
    pixels, present = (
        _sum(inputs for _, _, inputs in _shifted(values, kernel, stride)) for values in (net, np.ones_like(net[:1]))
    )
    return pixels / present


def max_pool(net: Array, kernel: int, stride: int = 1) -> Array:
    """SAME max pool. TensorFlow: padding never wins, not even where all pixels are negative."""
    return functools.reduce(np.maximum, (inputs for _, _, inputs in _shifted(net, kernel, stride, fill=-np.inf)))


def _sum(terms: Iterator[Array]) -> Array:
    total = next(terms).copy()
    for term in terms:
        total += term
    return total
