"""Every variable of a network, in order of creation, without TensorFlow.

This is what a checkpoint must hold. The graph (`exporter.graph.network`) asks for its variables by name and shape and
gets only those listed here, so the two cannot drift apart unnoticed; tests compare both with inventories recorded from
the original networks.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, prod

from exporter.models.cells import FAMILIES, Branch, Cell
from exporter.models.config import ModelConfig, Task

STATISTICS = ("moving_mean", "moving_variance")
KERNELS = ("weights", "depthwise_weights", "pointwise_weights")

#: Two of the parts of a network, see `part`; all others are features.
AUXILIARY_HEAD, CLASSIFIER = "aux_#", "final_layer"
_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True)
class VariableSpec:
    """One float32 variable: its name in the checkpoint, its shape, and the part of the network it belongs to.

    ``role`` is "feature", "classifier" or "auxiliary_head".
    """

    name: str
    shape: tuple[int, ...]
    role: str

    @property
    def trainable(self) -> bool:
        return self.name.rsplit("/", 1)[1] not in STATISTICS

    @property
    def is_kernel(self) -> bool:
        """Whether the L2 penalty covers it: every kernel, the classifier's included, and nothing else."""
        return self.name.rsplit("/", 1)[1] in KERNELS

    @property
    def size(self) -> int:
        return prod(self.shape)


@dataclass(frozen=True)
class _State:
    """A feature map: ``size`` pixels in height and width, ``channels`` deep."""

    size: int
    channels: int


Variables = Iterator[tuple[str, tuple[int, ...]]]


def variables(config: ModelConfig, task: Task) -> list[VariableSpec]:
    """The variables that an artifact of ``task`` holds, in the order the original graph creates them."""
    roles = {"feature"} if task == "feature_vector" else {"feature", "classifier"}
    return [spec for spec in all_variables(config) if spec.role in roles]


def all_variables(config: ModelConfig) -> list[VariableSpec]:
    """All variables of the training graph, auxiliary head included, in the order the original graph creates them."""
    roles = {AUXILIARY_HEAD: "auxiliary_head", CLASSIFIER: "classifier"}
    return [VariableSpec(name, shape, roles.get(part(name), "feature")) for name, shape in _network(config)]


def part(name: str) -> str:
    """The part of a network that a name lies in: its outermost scope, such as ``cell_#``, with # for its number."""
    return _NUMBER.sub("#", name.partition("/")[0])


def parameters(config: ModelConfig, task: Task) -> int:
    """The number of parameters of ``task``, moving statistics included."""
    return sum(spec.size for spec in variables(config, task))


def features(config: ModelConfig) -> int:
    """The length of a feature vector: what the classifier has as its input."""
    return next(spec for spec in all_variables(config) if spec.role == "classifier").shape[0]


def cells(config: ModelConfig) -> list[tuple[str, Cell]]:
    """The scope of each cell and what it does, in the order of the network; the first two are the stem's."""
    family = FAMILIES[config.family]
    found = [("cell_stem_0", family.reduction), ("cell_stem_1", family.reduction)]
    for index in range(config.num_cells):
        reduces = index in config.reductions
        if reduces and family.inserts_reductions:
            found.append((f"reduction_cell_{config.reductions.index(index)}", family.reduction))
        in_place = reduces and not family.inserts_reductions
        found.append((f"cell_{index}", family.reduction if in_place else family.normal))
    return found


def end_points(config: ModelConfig) -> list[str]:
    """The end points of a classification network, by the names of the published modules, in its order."""
    scopes = [scope for scope, _ in cells(config)][2:]
    return ["Stem", *(scope.title() for scope in scopes), "global_pool", "Logits", "Predictions"]


def main_end_point(task: Task) -> str:
    """The end point that is the main output of a task: the logits, or the feature vector."""
    return "Logits" if task == "classification" else "global_pool"


def _network(config: ModelConfig) -> Variables:
    family = FAMILIES[config.family]
    filters = config.num_conv_filters
    conv0 = _State((config.image_size - 3) // 2 + 1, config.stem_filters)
    yield "conv0/weights", (3, 3, 3, conv0.channels)
    yield from _batch_norm("conv0_bn", conv0.channels)

    states = [conv0]
    for index, divisor in enumerate((4, 2)):
        previous = states[-2] if index else None
        state = yield from _cell(
            f"cell_stem_{index}", family.reduction, states[-1], previous, filters // divisor, stride=2
        )
        states.append(state)

    auxiliary_cell = config.reductions[1] - 1 if len(config.reductions) > 1 else None
    for index in range(config.num_cells):
        previous = states[-2]
        stride = 1
        if index in config.reductions:
            filters *= 2
            if family.inserts_reductions:
                name = f"reduction_cell_{config.reductions.index(index)}"
                states.append((yield from _cell(name, family.reduction, states[-1], states[-2], filters, stride=2)))
                previous = previous if config.skip_reduction_layer_input else states[-2]
            else:
                stride = 2
        cell = family.normal if stride == 1 else family.reduction
        states.append((yield from _cell(f"cell_{index}", cell, states[-1], previous, filters, stride)))
        if index == auxiliary_cell:
            yield from _auxiliary_head(f"aux_{index}/aux_logits", states[-1], config.num_classes)

    yield "final_layer/FC/weights", (states[-1].channels, config.num_classes)
    yield "final_layer/FC/biases", (config.num_classes,)


def _cell(name: str, cell: Cell, current: _State, previous: _State | None, filters: int, stride: int):
    """Yields a cell's variables and returns its output state."""
    previous_adapted = previous or current
    if previous and previous.size != current.size:
        yield from _factorized_reduction(name, previous.channels, filters)
        previous_adapted = _State(current.size, filters)
    elif previous and previous.channels != filters:
        yield from _convolution(f"{name}/prev_1x1", f"{name}/prev_bn", previous.channels, filters)
        previous_adapted = _State(current.size, filters)
    yield from _convolution(f"{name}/1x1", f"{name}/beginning_bn", current.channels, filters)
    inner = _State(current.size, filters)

    output = _State(ceil(current.size / stride), filters)
    states = [inner, previous_adapted]
    for index, branches in enumerate(cell.combinations):
        for side, branch in zip(("left", "right"), branches, strict=True):
            branch_stride = stride if branch.state < 2 else 1
            scope = f"{name}/comb_iter_{index}/{side}"
            yield from _branch(scope, branch, states[branch.state].channels, filters, branch_stride)
        states.append(output)
    return _State(output.size, sum(states[index].channels for index in cell.concatenated))


def _branch(scope: str, branch: Branch, channels: int, filters: int, stride: int) -> Variables:
    if branch.kind == "sep":
        side = branch.kernel
        for layer, depth in ((1, channels), (2, filters)):
            separable = f"{scope}/separable_{side}x{side}_{layer}"
            yield f"{separable}/depthwise_weights", (side, side, depth, 1)
            yield f"{separable}/pointwise_weights", (1, 1, depth, filters)
            yield from _batch_norm(f"{scope}/bn_sep_{side}x{side}_{layer}", filters)
    elif channels != filters or (branch.kind == "none" and stride > 1):
        yield from _convolution(f"{scope}/1x1", f"{scope}/bn_1", channels, filters)


def _factorized_reduction(scope: str, channels: int, filters: int) -> Variables:
    yield f"{scope}/path1_conv/weights", (1, 1, channels, filters // 2)
    yield f"{scope}/path2_conv/weights", (1, 1, channels, filters - filters // 2)
    yield from _batch_norm(f"{scope}/final_path_bn", filters)


def _auxiliary_head(scope: str, state: _State, num_classes: int) -> Variables:
    pooled = max((state.size - 5) // 3 + 1, 1)
    yield from _convolution(f"{scope}/proj", f"{scope}/aux_bn0", state.channels, 128)
    yield from _convolution(f"{scope}/Conv", f"{scope}/aux_bn1", 128, 768, side=pooled)
    yield f"{scope}/FC/weights", (768, num_classes)
    yield f"{scope}/FC/biases", (num_classes,)


def _convolution(scope: str, batch_norm: str, channels: int, filters: int, side: int = 1) -> Variables:
    yield f"{scope}/weights", (side, side, channels, filters)
    yield from _batch_norm(batch_norm, filters)


def _batch_norm(scope: str, channels: int) -> Variables:
    for leaf in ("gamma", "beta", *STATISTICS):
        yield f"{scope}/{leaf}", (channels,)
