"""The cells that the architecture searches found, as data.

Source: Zoph et al., "Learning Transferable Architectures for Scalable Image Recognition" (NASNet-A), and Liu et
al., "Progressive Neural Architecture Search" (PNASNet-5), read off the graphs of the published checkpoints.

State 0 of a cell is its input after the first 1x1 convolution, state 1 the output of the cell before it, states 2 to
6 the sums of combinations 0 to 4. An operation is a kind and a kernel size: ``sep5x5``, ``avg3x3``, ``max3x3``, or
``none`` (identity).
"""

import re
from dataclasses import dataclass
from typing import Literal

_OPERATION = re.compile(r"(sep|avg|max)(\d)x\2|none")


@dataclass(frozen=True)
class Branch:
    """One operand of a combination: ``kind`` (sep, avg, max or none) of ``kernel`` pixels, applied to ``state``."""

    kind: str
    kernel: int
    state: int


@dataclass(frozen=True)
class Cell:
    """Five sums of two branches each, and the states whose concatenation is the cell's output."""

    combinations: tuple[tuple[Branch, Branch], ...]
    concatenated: tuple[int, ...]


@dataclass(frozen=True)
class Family:
    """What tells one network family from the other.

    ``reduction`` is the cell used at stride 2. Where ``inserts_reductions`` holds, reduction cells come between the
    numbered cells and are named on their own; otherwise the numbered cell itself runs with stride 2.
    ``stem_cells_in_drop_path`` is what the count of cells in the drop-path schedule adds to ``num_cells``.
    """

    normal: Cell
    reduction: Cell
    inserts_reductions: bool
    stem_cells_in_drop_path: int


def _branch(operation: str, state: int) -> Branch:
    match = _OPERATION.fullmatch(operation)
    assert match, operation
    return Branch(match[1] or "none", int(match[2] or 0), state)


def _cell(*combinations: tuple[str, int, str, int], concatenated: tuple[int, ...]) -> Cell:
    return Cell(tuple((_branch(a, i), _branch(b, j)) for a, i, b, j in combinations), concatenated)


NASNET_NORMAL = _cell(
    ("sep5x5", 0, "sep3x3", 1),
    ("sep5x5", 1, "sep3x3", 1),
    ("avg3x3", 0, "none", 1),
    ("avg3x3", 1, "avg3x3", 1),
    ("sep3x3", 0, "none", 0),
    concatenated=(1, 2, 3, 4, 5, 6),
)
NASNET_REDUCTION = _cell(
    ("sep5x5", 0, "sep7x7", 1),
    ("max3x3", 0, "sep7x7", 1),
    ("avg3x3", 0, "sep5x5", 1),
    ("none", 3, "avg3x3", 2),
    ("sep3x3", 2, "max3x3", 0),
    concatenated=(3, 4, 5, 6),
)
PNASNET = _cell(
    ("sep5x5", 1, "max3x3", 1),
    ("sep7x7", 0, "max3x3", 0),
    ("sep5x5", 0, "sep3x3", 0),
    ("sep3x3", 4, "max3x3", 0),
    ("sep3x3", 1, "none", 0),
    concatenated=(2, 3, 4, 5, 6),
)

#: The families that a configuration may name.
FamilyName = Literal["nasnet", "pnasnet"]

FAMILIES: dict[FamilyName, Family] = {
    "nasnet": Family(NASNET_NORMAL, NASNET_REDUCTION, inserts_reductions=True, stem_cells_in_drop_path=4),
    "pnasnet": Family(PNASNET, PNASNET, inserts_reductions=False, stem_cells_in_drop_path=2),
}
