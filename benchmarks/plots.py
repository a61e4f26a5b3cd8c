"""Plots of figures as SVG files that stand alone, as a README or the page of a forge shows them.

They have a light background of their own, so that they can be read on a dark page as well. The same figures give the
same bytes. (`exporter.report` draws plots for HTML pages, which set their colours, without matplotlib.)
"""

import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import matplotlib
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Picture
from matplotlib.patches import Patch

from benchmarks.results import Figure

if TYPE_CHECKING:
    from benchmarks.timeline import Timeline

_INK, _SOFT, _OURS, _PEER, _GOAL, _GRID = "#1f2328", "#59636e", "#0969da", "#9aa4af", "#cf222e", "#d8dee4"
_STYLE: dict[Any, Any] = {
    "svg.hashsalt": "nasexport",  # ids would be random otherwise
    "svg.fonttype": "none",  # text stays text
    "text.parse_math": False,
    "font.size": 9.75,
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial"],  # the first is the widest, so that none overlaps
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _SOFT,
    "xtick.color": _SOFT,
    "ytick.color": _SOFT,
    "grid.color": _GRID,
}
#: Inches, 760 pixels.
_WIDTH = 7.92
#: Where bars begin and end, as parts of the width; names stand to their left, values to their right.
_BARS = (0.4, 0.83)
_MARGIN = 0.02
#: Inches between two bars.
_ROW = 0.2


@matplotlib.rc_context(_STYLE)
def bars(title: str, figures: Sequence[Figure]) -> str:
    """For each figure the medians as bars from zero, single runs as dots and the goal as a line, on its own scale."""
    rows = sum(len(figure.runs) + 1.7 for figure in figures) + 3
    picture = _picture(title, rows * _ROW)
    axes = picture.add_axes((_BARS[0], 0, _BARS[1] - _BARS[0], 1))
    axes.axis("off")
    axes.set(xlim=(0, 1), ylim=(rows, 0))
    row = 2.2
    for figure in figures:
        _group(axes, figure, row)
        row += len(figure.runs) + 1.7
    note = "Bars are medians, dots are single runs, the red line is the goal. Each group has its own scale."
    picture.text(_MARGIN, 0.7 * _ROW / picture.get_figheight(), note, color=_SOFT)
    return _svg(picture, title)


def _group(axes: Axes, figure: Figure, row: float) -> None:
    """Draws a figure from ``row`` on, in axes whose width is its largest value."""
    left, right = ((at - _BARS[0]) / (_BARS[1] - _BARS[0]) for at in (_MARGIN, 1 - _MARGIN))
    limit = _limit(figure)
    largest = max([value for runs in figure.runs.values() for value in runs] + [limit or 0.0]) or 1.0
    ratio = "" if figure.ratio is None else f": ratio {figure.ratio:.2f}"
    axes.text(left, row, f"{figure.title}{ratio}", weight="bold", va="center")
    for at, name in enumerate(sorted(figure.runs, key=lambda name: name != figure.ours), 1):
        ours = name.startswith("nasexport") or name == figure.ours
        median, runs = figure.median(name), figure.runs[name]
        axes.barh(row + at, median / largest, 0.75, color=_OURS if ours else _PEER, clip_on=False)
        if len(runs) > 1:
            axes.plot(
                [run / largest for run in runs], [row + at] * len(runs), ".", color=_INK, alpha=0.55, clip_on=False
            )
        axes.text(-0.02, row + at, name, color=_SOFT, ha="right", va="center")
        axes.text(right, row + at, f"{number(median)} {figure.unit}".strip(), ha="right", va="center")
    if limit is not None:
        # Across the first bar alone, which it is about; a light edge sets it off from the bar.
        edge = patheffects.withStroke(linewidth=4.5, foreground="white")
        axes.vlines(limit / largest, row + 0.5, row + 1.5, _GOAL, linewidth=2, path_effects=[edge], clip_on=False)


@matplotlib.rc_context(_STYLE)
def growth(figure: Figure) -> str:
    """Seconds of the contestants over the axis of ``figure``, with the straight line through the medians of each."""
    axis, at, title = figure.extra["axis"], figure.extra["at"], f"Build time over the {figure.extra['axis']}"
    picture = _picture(title, 4.6)
    axes = picture.add_axes((0.09, 0.11, 0.88, 0.68))
    for name, seconds in figure.extra["seconds"].items():
        colour, line = _OURS if name == figure.ours else _PEER, figure.extra["line"][name]
        slope, intercept = line["slope"], line["intercept"]
        equation = f"{name}: {intercept:.2f} s + {slope:.3g} s x {axis}, R² {line['r_squared']:.4f}"
        points = [(value, run) for value, runs in zip(at, seconds, strict=True) for run in runs]
        axes.plot(*zip(*points, strict=True), "o", color=colour, markersize=5, label=equation, zorder=3)
        ends = [min(at), max(at)]
        axes.plot(ends, [intercept + slope * end for end in ends], "--", color=colour, linewidth=1.2)
    axes.set(xlabel=axis, ylabel="seconds", xlim=(0, None), ylim=(0, None))
    axes.grid(axis="y")
    axes.spines[["top", "right"]].set_visible(False)
    picture.legend(loc="upper left", bbox_to_anchor=(0, 0.93), frameon=False, labelcolor=_SOFT)
    return _svg(picture, title)


#: Of cores, by their number; more cores begin again.
_CORES = ("#0969da", "#bf8700", "#1a7f37", "#8250df")
#: A process that has computed less, in seconds, is left out.
_LEAST = 0.2


@matplotlib.rc_context(_STYLE)
def timeline(title: str, measured: "Timeline") -> str:
    """A row for each process that has computed: how much of a core it had over time, by core; all together at last."""
    lanes = [lane for lane in measured.lanes if lane.seconds >= _LEAST]
    picture = _picture(title, (len(lanes) * 1.5 + 8) * _ROW)
    above, below = 2.5 * _ROW / picture.get_figheight(), 3.2 * _ROW / picture.get_figheight()
    axes = picture.add_axes((0.22, below, 0.75, 1 - above - below))
    cores = sorted({core for lane in lanes for sample in lane.samples.values() for core in sample})
    rows = [(f"{lane.name}, {number(lane.seconds)} s", lane.samples) for lane in lanes]
    rows.append((f"all, {number(measured.share * 100)} % of the cores", measured.together.samples))
    merged = max(1, round(measured.seconds / measured.interval / 250))
    width = merged * measured.interval
    for at, (name, samples) in enumerate(rows):
        base = (len(rows) - 1 - at) * 1.5
        last = max(samples) // merged + 1
        floor = [base] * last
        for core in cores:
            heights = [0.0] * last
            for sample, parts in samples.items():
                heights[sample // merged] += parts.get(core, 0.0) / width / len(cores)
            colour = _CORES[core % len(_CORES)]
            top = [low + height for low, height in zip(floor, heights, strict=True)]
            # One outline: bars would be an element each.
            axes.stairs(top, [each * width for each in range(last + 1)], baseline=floor, fill=True, color=colour)
            floor = top
        axes.text(-0.01, base + 0.3, name, color=_SOFT, ha="right", transform=axes.get_yaxis_transform())
    axes.set(xlim=(0, measured.seconds), ylim=(-0.1, len(rows) * 1.5), xlabel="seconds", yticks=[])
    axes.grid(axis="x")
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    handles = [Patch(color=_CORES[core % len(_CORES)], label=f"core {core}") for core in cores]
    picture.legend(handles=handles, loc="upper right", ncols=len(cores), frameon=False, labelcolor=_SOFT)
    return _svg(picture, title)


def number(value: float) -> str:
    """To three digits, with whole numbers written out."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}" if abs(value) >= 1 else f"{value:.3g}"


def _limit(figure: Figure) -> float | None:
    """The goal in the figure's unit."""
    if figure.goal is None:
        return None
    if figure.goal.of == "value":
        return figure.goal.limit
    return figure.goal.limit * figure.median(figure.peer) if figure.peer else None


def _picture(title: str, height: float) -> Picture:
    picture = Picture((_WIDTH, height), facecolor="white", edgecolor=_GRID, linewidth=1)
    picture.text(_MARGIN, 1 - 0.9 * _ROW / height, title, size="large", weight="bold", va="center")
    return picture


def _svg(picture: Picture, title: str) -> str:
    file = io.StringIO()
    # What is None would be the version of matplotlib, the time, and addresses of other sites.
    metadata = {"Title": title, "Creator": None, "Date": None, "Format": None, "Type": None}
    picture.savefig(file, format="svg", edgecolor=_GRID, metadata=metadata)
    return file.getvalue()
