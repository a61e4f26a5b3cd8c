"""Plots as SVG files that stand alone: as a README or a page of a forge shows them, with no style from outside.

They bring a light ground of their own, so that they can be read on a dark page as well. The same figures give the same
text. (`exporter.report.verification_plots` draws for pages, whose colours it takes.)
"""

import html
import math
from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.results import Figure

_WIDTH = 760
_NAMES = 300
_BARS = 630
_STYLE = """\
text { font: 13px system-ui, sans-serif; fill: #1f2328; }
.title { font-size: 15px; font-weight: 600; }
.group { font-weight: 600; }
.soft { fill: #59636e; }
.ours { fill: #0969da; }
.peer { fill: #9aa4af; }
.run { fill: #1f2328; fill-opacity: .55; }
.edge { stroke: #fff; stroke-width: 6; }
.goal { stroke: #cf222e; stroke-width: 2.5; }
.grid { stroke: #d8dee4; }
.axis { stroke: #59636e; fill: none; }
.fit { stroke-width: 1.5; stroke-dasharray: 5 3; fill: none; }
.ours-line { stroke: #0969da; }
.peer-line { stroke: #9aa4af; }"""


def bars(title: str, figures: Sequence[Figure]) -> str:
    """Each figure's medians as bars from zero, its single runs as dots, its goal as a line; each has its own scale."""
    body, y = [], 44.0
    for figure in figures:
        limit = _limit(figure)
        largest = max([max(values) for values in figure.runs.values()] + ([limit] if limit else []))
        scale = (_BARS - _NAMES) / largest if largest else 0.0
        ratio = "" if figure.ratio is None else f": ratio {figure.ratio:.2f}"
        body.append(_text(16, y + 10, f"{figure.title}{ratio}", "group"))
        y += 20
        top = y
        for name in sorted(figure.runs, key=lambda name: name != figure.ours):
            kind = "ours" if name.startswith("nasexport") or name == figure.ours else "peer"
            value = figure.median(name)
            body.append(_text(_NAMES - 8, y + 12, name, "soft", "end"))
            body.append(f'<rect class="{kind}" x="{_NAMES}" y="{_n(y + 1)}" width="{_n(value * scale)}" height="14"/>')
            for run in figure.runs[name] if len(figure.runs[name]) > 1 else []:
                body.append(f'<circle class="run" cx="{_n(_NAMES + run * scale)}" cy="{_n(y + 8)}" r="2"/>')
            body.append(_text(_WIDTH - 16, y + 12, f"{number(value)} {figure.unit}".strip(), "", "end"))
            y += 19
        if limit is not None:
            # Across the first bar alone, which it is about; its light edges set it off from a bar under it.
            place = f'd="M{_n(_NAMES + limit * scale)},{_n(top - 2)}v20"'
            body += [f'<path class="edge" {place}/>', f'<path class="goal" {place}/>']
        y += 14
    note = "Medians from zero, dots are single runs; the red line is the goal. Each group has a scale of its own."
    body.append(_text(16, y + 8, note, "soft"))
    return _svg(title, y + 22, body)


def growth(figure: Figure) -> str:
    """Seconds of the contestants over the axis of ``figure``, with the straight line through the medians of each."""
    extra = figure.extra
    at = [float(value) for value in extra["at"]]
    highest = max(value for each in extra["seconds"].values() for runs in each for value in runs)
    left, right, top, bottom = 70.0, _WIDTH - 30.0, 84.0, 380.0
    x_step, y_step = _step(max(at)), _step(highest)
    x_end, y_end = x_step * math.ceil(max(at) / x_step), y_step * math.ceil(highest / y_step)

    def across(value: float) -> float:
        return left + (right - left) * value / x_end

    def up(value: float) -> float:
        return bottom - (bottom - top) * value / y_end

    body = []
    for index in range(round(y_end / y_step) + 1):
        y = up(index * y_step)
        body.append(f'<path class="grid" d="M{_n(left)},{_n(y)}H{_n(right)}"/>')
        body.append(_text(left - 8, y + 4, f"{index * y_step:g}", "soft", "end"))
    for index in range(round(x_end / x_step) + 1):
        body.append(_text(across(index * x_step), bottom + 20, f"{index * x_step:g}", "soft", "middle"))
    body.append(f'<path class="axis" d="M{_n(left)},{_n(top)}V{_n(bottom)}H{_n(right)}"/>')
    body.append(_text((left + right) / 2, bottom + 42, extra["axis"], "", "middle"))
    body.append(
        f'<text transform="translate(20 {_n((top + bottom) / 2)}) rotate(-90)" text-anchor="middle">seconds</text>'
    )
    for place, (name, each) in enumerate(extra["seconds"].items()):
        kind = "ours" if name == figure.ours else "peer"
        line = extra["line"][name]
        ends = [(across(value), up(line["intercept"] + line["slope"] * value)) for value in (min(at), max(at))]
        (x1, y1), (x2, y2) = ends
        body.append(f'<path class="fit {kind}-line" d="M{_n(x1)},{_n(y1)}L{_n(x2)},{_n(y2)}"/>')
        for value, runs in zip(at, each, strict=True):
            body += [
                f'<circle class="{kind}" cx="{_n(across(value))}" cy="{_n(up(run))}" r="3.5"/>' for run in sorted(runs)
            ]
        told = (
            f"{name}: {line['intercept']:.2f} s + {line['slope']:.3g} s x {extra['axis']}, R² {line['r_squared']:.4f}"
        )
        body.append(f'<circle class="{kind}" cx="{_n(left + 8)}" cy="{_n(50 + 18 * place)}" r="4"/>')
        body.append(_text(left + 20, 54 + 18 * place, told, "soft"))
    return _svg(f"Build time over the {extra['axis']}", bottom + 58, body)


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


def _step(highest: float) -> float:
    """A round distance that divides an axis in some five parts."""
    rough = highest / 5 or 1.0
    power = 10.0 ** math.floor(math.log10(rough))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    kind = f' class="{kind}"' if kind else ""
    return f'<text{kind} x="{_n(x)}" y="{_n(y)}" text-anchor="{anchor}">{html.escape(text)}</text>'


def _svg(title: str, height: float, body: Iterable[Any]) -> str:
    size = f"{_WIDTH} {_n(height)}"
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {size}" width="{_WIDTH}" '
        f'height="{_n(height)}" aria-labelledby="title">',
        f'<title id="title">{html.escape(title)}</title>',
        f"<style>\n{_STYLE}\n</style>",
        f'<rect x="0.5" y="0.5" width="{_WIDTH - 1}" height="{_n(height - 1)}" rx="6" fill="#fff" stroke="#d8dee4"/>',
        _text(16, 26, title, "title"),
    ]
    return "\n".join([*head, *body, "</svg>", ""])


def _n(value: float) -> str:
    """A coordinate to a tenth, as short as it goes."""
    text = f"{value:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text
