"""The cells of a network, and the network as a row of cells, as SVG out of the table of cells.

A drawing is as wide as a phone and is scaled to the page that it is on; the page sets the colours and includes `STYLE`.
`standalone` gives the same as a file, with colours of its own for light and dark. The same table gives the same bytes.
"""

import itertools
from collections.abc import Iterator, Sequence

from exporter.models import variables
from exporter.models.cells import FAMILIES, Branch, Cell
from exporter.models.config import ModelConfig, Task
from exporter.models.shapes import end_point_shapes
from exporter.report.svg import WIDTH, Plot, escaped, label, n

#: The style sheet of drawings; it needs the custom properties of ``page.html``.
STYLE = """\
svg.cells { display: block; width: 100%; height: auto; font: 11px system-ui, sans-serif; }
svg.cells text { fill: var(--text); }
svg.cells .soft { fill: var(--soft); }
svg.cells rect { fill: var(--shade); stroke: var(--soft); }
svg.cells .size { fill: var(--grid); stroke: none; }
svg.cells .row { fill: none; stroke: var(--grid); }
svg.cells .state0 { stroke: var(--mark); stroke-width: 1.5; }
svg.cells .state1 { stroke: var(--caution); stroke-width: 1.5; stroke-dasharray: 5 2; }
svg.cells circle { fill: var(--page); stroke: var(--soft); }
svg.cells path { fill: none; stroke: var(--soft); }
"""
_COLOURS = """\
svg {
  --page: #fff; --text: #1b1f24; --soft: #57606a; --grid: #dfe3e8; --shade: #f4f6f8;
  --mark: #1f6fb2; --caution: #7a4b00;
}
@media (prefers-color-scheme: dark) {
  svg {
    --page: #14171b; --text: #e8eaed; --soft: #a5aeb8; --grid: #333a42; --shade: #1d2228;
    --mark: #6db3f2; --caution: #ffcf70;
  }
}
"""

# Places in a cell, in units of SVG. A combination has a column of its own, with one operation beside the other.
_COLUMN, _LEFT = 72.0, 10.0
_BOX, _BOX_HEIGHT, _APART = 33.0, 32.0, 17.5
_INPUT_HEIGHT, _FIRST, _LEVEL = 36.0, 112.0, 112.0
_SUM, _RADIUS = _BOX_HEIGHT + 26.0, 9.0

_KINDS = {"sep": "separable convolution", "avg": "average pool", "max": "max pool"}


def drawings(key: str, config: ModelConfig, task: Task) -> list[Plot]:
    """The network, and each kind of cell that it has.

    Args:
        key: makes the ids of these drawings unique in their page.
    """
    family = FAMILIES[config.family]
    if family.normal is family.reduction:
        cells = [cell_drawing(f"{key}-cell", family.normal, "The cell")]
    else:
        cells = [
            cell_drawing(f"{key}-normal", family.normal, "The normal cell"),
            cell_drawing(f"{key}-reduction", family.reduction, "The reduction cell"),
        ]
    return [network_drawing(f"{key}-network", config, task), *cells]


def standalone(plot: Plot) -> str:
    """A drawing as an SVG file, which follows the colour scheme of who looks at it."""
    head, rest = plot.svg.split(">", 1)
    return f'{head} xmlns="http://www.w3.org/2000/svg"><style>\n{_COLOURS}{STYLE}</style>{rest}\n'


def cell_drawing(key: str, cell: Cell, title: str) -> Plot:
    """What a cell does: its two inputs at the top, five sums of two operations, and their concatenation below."""
    levels = _levels(cell)
    bottom = _FIRST + _LEVEL * max(levels) + _SUM + 44
    sums = [(_middle(index), _FIRST + _LEVEL * level + _SUM) for index, level in enumerate(levels)]
    body = list(_edges(cell, levels, sums, bottom))
    half = (WIDTH - 3 * _LEFT) / 2
    for state, lines in enumerate((("state 0", "output of the last cell"), ("state 1", "output of the cell before"))):
        x = _LEFT + state * (half + _LEFT)
        body.append(_box(x, 2, half, _INPUT_HEIGHT - 2, f"state{state}"))
        body += [
            label(x + half / 2, 16 + 13 * row, text, "middle", "soft" if row else "") for row, text in enumerate(lines)
        ]
    for index, (combination, level) in enumerate(zip(cell.combinations, levels, strict=True)):
        for side, branch in zip((-1, 1), combination, strict=True):
            x, y = _middle(index) + side * _APART, _FIRST + _LEVEL * level
            body.append(_box(x - _BOX / 2, y, _BOX, _BOX_HEIGHT, f"state{branch.state}" if branch.state < 2 else ""))
            first, second = _words(branch)
            body += [label(x, y + 14, first, "middle"), label(x, y + 26, second, "middle")]
        x, y = sums[index]
        body += [f'<circle cx="{n(x)}" cy="{n(y)}" r="{n(_RADIUS)}"/>', label(x, y + 4, "+", "middle")]
        body.append(label(x + _RADIUS + 3, y + 4, str(index + 2), "start", "soft"))
    body.append(_box(_LEFT, bottom, WIDTH - 2 * _LEFT, 24, ""))
    states = ", ".join(map(str, cell.concatenated[:-1])) + f" and {cell.concatenated[-1]}"
    body.append(label(WIDTH / 2, bottom + 16, f"concatenation of the states {states}", "middle"))
    said = "; ".join(
        f"state {index + 2} is {_said(left)} plus {_said(right)}"
        for index, (left, right) in enumerate(cell.combinations)
    )
    summary = f"{said}. The output is the concatenation of the states {states}."
    return _drawing(key, title, summary[0].upper() + summary[1:], bottom + 28, body)


def network_drawing(key: str, config: ModelConfig, task: Task) -> Plot:
    """The parts of a network from the images to the output, with the shape that each gives for one image."""
    rows = list(_rows(config, task))
    step, height, width = 32.0, 24.0, WIDTH - 2 * _LEFT
    body = []
    for index, (text, shape) in enumerate(rows):
        y = 2 + index * step
        if len(shape) == 3:
            body.append(_plain_box("size", y, width * shape[0] / config.image_size, height))
        body.append(_plain_box("row", y, width, height))
        body.append(label(_LEFT + 8, y + 16, text, "start"))
        body.append(label(WIDTH - _LEFT - 8, y + 16, _sizes(shape), "end"))
        if index:
            body.append(f'<path d="M{n(WIDTH / 2)},{n(y - step + height)}v{n(step - height)}"/>')
    summary = (
        f"{'; '.join(f'{text}: {_sizes(shape)}' for text, shape in rows)}. Each row has height, width and channels of "
        "its output; what is grey is the share of the images' width."
    )
    return _drawing(key, f"{config.title} from top to bottom", summary, 2 + step * len(rows) - 4, body)


def _rows(config: ModelConfig, task: Task) -> Iterator[tuple[str, tuple[int, ...]]]:
    shapes = end_point_shapes(config)
    family = FAMILIES[config.family]
    size = (config.image_size - 3) // 2 + 1
    yield "images", (config.image_size, config.image_size, 3)
    yield "convolution 3×3, stride 2", (size, size, config.stem_filters)
    yield "2 cells of the stem, stride 2", shapes["Stem"]
    kinds = []
    for scope, _ in variables.cells(config)[2:]:
        halves = scope.startswith("reduction") or (
            not family.inserts_reductions and int(scope.rpartition("_")[2]) in config.reductions
        )
        kinds.append((halves, shapes[scope.title()]))
    for (halves, shape), members in itertools.groupby(kinds):
        count = len(list(members))
        name = (
            ("reduction cell" if family.inserts_reductions else "cell, stride 2")
            if halves
            else ("normal cell" if family.inserts_reductions else "cell")
        )
        plural = name.replace("cell", "cells") if count > 1 else name
        yield f"{count} {plural}", shape
    yield "mean over height and width", shapes["global_pool"]
    if task == "classification":
        yield "classifier", shapes["Logits"]


def _levels(cell: Cell) -> list[int]:
    """For each combination, how many others come before it: 0 for one of the inputs alone."""
    levels: list[int] = []
    for combination in cell.combinations:
        before = [levels[branch.state - 2] + 1 for branch in combination if branch.state >= 2]
        levels.append(max(before, default=0))
    return levels


def _edges(cell: Cell, levels: Sequence[int], sums: Sequence[tuple[float, float]], bottom: float) -> Iterator[str]:
    for index, (combination, level) in enumerate(zip(cell.combinations, levels, strict=True)):
        top = _FIRST + _LEVEL * level
        for side, branch in zip((-1, 1), combination, strict=True):
            x = _middle(index) + side * _APART
            if branch.state < 2:
                # In the order of where they lead, so that those of one state do not cross.
                half = (WIDTH - 3 * _LEFT) / 2
                start = _LEFT + branch.state * (half + _LEFT) + half * x / WIDTH
                yield _curve(start, _INPUT_HEIGHT, x, _FIRST - 6, f"state{branch.state}", top)
            else:
                start, y = sums[branch.state - 2]
                yield _curve(start, y + _RADIUS, x, top, "", top)
            yield _curve(x, top + _BOX_HEIGHT, *sums[index], "", sums[index][1])
    for state in cell.concatenated:
        if state < 2:
            x = WIDTH - 4 if state else 4.0
            yield (
                f'<path class="state{state}" d="M{n(x + (-_LEFT if state else _LEFT))},{n(_INPUT_HEIGHT)}'
                f"C{n(x)},{n(_INPUT_HEIGHT + 20)} {n(x)},{n(_INPUT_HEIGHT + 10)} {n(x)},{n(_INPUT_HEIGHT + 40)}"
                f'V{n(bottom - 20)}Q{n(x)},{n(bottom - 6)} {n(x + (-_LEFT if state else _LEFT))},{n(bottom)}"/>'
            )
        else:
            x, y = sums[state - 2]
            yield f'<path d="M{n(x)},{n(y + _RADIUS)}V{n(bottom)}"/>'


def _middle(index: int) -> float:
    return _LEFT + _COLUMN * (index + 0.5)


def _curve(x1: float, y1: float, x2: float, y2: float, kind: str, end: float) -> str:
    """A line from one place down to another, and straight on to ``end``."""
    middle = (y1 + y2) / 2
    kind = f' class="{kind}"' if kind else ""
    further = f"V{n(end)}" if end > y2 else ""
    return f'<path{kind} d="M{n(x1)},{n(y1)}C{n(x1)},{n(middle)} {n(x2)},{n(middle)} {n(x2)},{n(y2)}{further}"/>'


def _box(x: float, y: float, width: float, height: float, kind: str) -> str:
    kind = f' class="{kind}"' if kind else ""
    return f'<rect{kind} x="{n(x)}" y="{n(y)}" width="{n(width)}" height="{n(height)}" rx="3"/>'


def _plain_box(kind: str, y: float, width: float, height: float) -> str:
    return f'<rect class="{kind}" x="{n(_LEFT)}" y="{n(y)}" width="{n(width)}" height="{n(height)}"/>'


def _sizes(shape: Sequence[int]) -> str:
    return " × ".join(f"{size:,}" for size in shape)


def _words(branch: Branch) -> tuple[str, str]:
    return ("as", "it is") if branch.kind == "none" else (branch.kind, f"{branch.kernel}×{branch.kernel}")


def _said(branch: Branch) -> str:
    if branch.kind == "none":
        return f"state {branch.state} as it is"
    return f"the {branch.kernel}×{branch.kernel} {_KINDS[branch.kind]} of state {branch.state}"


def _drawing(key: str, title: str, summary: str, height: float, body: Sequence[str]) -> Plot:
    head = (
        f'<svg class="cells" role="img" viewBox="0 0 {n(WIDTH)} {n(height)}" aria-labelledby="{key}-t {key}-d">'
        f'<title id="{key}-t">{escaped(title)}</title><desc id="{key}-d">{escaped(summary)}</desc>'
    )
    return Plot(title, summary, "\n".join([head, *body, "</svg>"]))
