"""Axes, marks and labels of plots, as SVG."""

import html
import math
from collections.abc import Iterable
from dataclasses import dataclass

from exporter.report.templates import visible

#: The style sheet of plots; a page includes it once and defines the custom properties (``--mark`` and so on).
STYLE = """\
svg.plot { display: block; width: 100%; height: auto; font: 12px system-ui, sans-serif; }
svg.plot text { fill: var(--text); }
svg.plot .note { fill: var(--soft); }
svg.plot .grid { stroke: var(--grid); fill: none; }
svg.plot .axis { stroke: var(--soft); fill: none; }
svg.plot .equal { stroke: var(--soft); stroke-dasharray: 2 3; fill: none; }
svg.plot .limit { stroke: var(--bad); stroke-width: 1.5; stroke-dasharray: 5 3; fill: none; }
svg.plot text.limit-label { fill: var(--bad); }
svg.plot .path { stroke: var(--mark); stroke-opacity: .45; fill: none; }
svg.plot .mark { fill: var(--mark); stroke: var(--mark); }
svg.plot .mark.none { fill: var(--page); }
svg.plot .mark.off { fill: var(--bad); stroke: var(--bad); }
svg.plot .bar { fill: var(--mark); stroke: none; }
svg.plot .bar.off { fill: var(--bad); }
svg.plot .dots { stroke: var(--mark); stroke-linecap: round; stroke-opacity: .55; fill: none; }
svg.plot .crosses { stroke: var(--bad); stroke-width: 1.4; stroke-opacity: .7; fill: none; }
svg.plot .published { stroke: var(--text); stroke-width: 2.5; fill: none; }
"""

#: Width of every plot in SVG units, about the pixels of a phone's screen.
WIDTH = 380.0

#: Width of a character of a label, an upper bound for most names.
CHARACTER_WIDTH = 7.2

#: Characters of a label after which it is cut.
MAX_LABEL = 18


@dataclass(frozen=True)
class Plot:
    """``svg`` is an element for an HTML page; ``summary`` says in a sentence or two what the plot shows."""

    title: str
    summary: str
    svg: str


@dataclass(frozen=True)
class Axis:
    """Maps values from ``low`` to ``high`` to coordinates from ``start`` to ``end``, which may run backwards."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self, about: int = 5) -> list[tuple[float, str]]:
        """Round values between the ends, with their labels."""
        if not self.high > self.low:
            return []
        rough = (self.high - self.low) / about
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
        digits = max(0, -math.floor(math.log10(step) + 1e-9))
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        form = ",.0f" if digits == 0 else f".{digits}f"
        if digits > 3 or max(abs(self.low), abs(self.high)) >= 1e5:
            form = ".3g"
        signed = [(index * step, format(index * step, form)) for index in range(first, last + 1)]
        return [(value, text.replace("-", "\N{MINUS SIGN}")) for value, text in signed]


def plot(key: str, title: str, summary: str, height: float, body: Iterable[str]) -> Plot:
    head = (
        f'<svg class="plot" role="img" viewBox="0 0 {n(WIDTH)} {n(height)}" aria-labelledby="{key}-t {key}-d">'
        f'<title id="{key}-t">{escaped(title)}</title><desc id="{key}-d">{escaped(summary)}</desc>'
    )
    return Plot(title, summary, "\n".join([head, *body, "</svg>"]))


def frame(x: Axis, y: Axis) -> list[str]:
    """Grid, ticks and the two axes."""
    lines = []
    for value, text in x.ticks():
        lines += [line(x.at(value), y.start, x.at(value), y.end, "grid")]
        lines += [label(x.at(value), y.start + 15, text, "middle")]
    for value, text in y.ticks():
        lines += [line(x.start, y.at(value), x.end, y.at(value), "grid")]
        lines += [label(x.start - 5, y.at(value) + 4, text, "end")]
    return [*lines, f'<path class="axis" d="M{n(x.start)},{n(y.end)}V{n(y.start)}H{n(x.end)}"/>']


def axis_labels(x: Axis, y: Axis, across: str, up: str) -> list[str]:
    middle = (y.start + y.end) / 2
    return [
        label((x.start + x.end) / 2, y.start + 34, across, "middle"),
        f'<text transform="translate(11 {n(middle)}) rotate(-90)" text-anchor="middle">{escaped(up)}</text>',
    ]


def mark(x: float, y: float, value: float, tolerance: float, tooltip: str) -> str:
    """A dot; a ring for zero; a diamond beyond the tolerance."""
    title = f"<title>{escaped(tooltip)}</title>"
    if value <= tolerance:
        kind = " none" if value == 0 else ""
        return f'<circle class="mark{kind}" cx="{n(x)}" cy="{n(y)}" r="3.5">{title}</circle>'
    return f'<path class="mark off" d="M{n(x)},{n(y - 5.5)}l5.5,5.5l-5.5,5.5l-5.5-5.5z">{title}</path>'


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<path class="{kind}" d="M{n(x1)},{n(y1)}L{n(x2)},{n(y2)}"/>'


def label(x: float, y: float, text: str, anchor: str, kind: str = "") -> str:
    kind = f' class="{kind}"' if kind else ""
    return f'<text{kind} x="{n(x)}" y="{n(y)}" text-anchor="{anchor}">{escaped(text)}</text>'


def anchor_at(x: float) -> str:
    """The ``text-anchor`` that keeps a label at ``x`` inside the plot."""
    return "end" if x > WIDTH - 60 else "middle"


def escaped(text: str) -> str:
    return html.escape(visible(text))


def truncated(text: str) -> str:
    return text if len(text) <= MAX_LABEL else text[: MAX_LABEL - 1] + "…"


def with_spaces(name: str) -> str:
    return name.replace("_", " ")


def power(exponent: int) -> str:
    """A power of ten with a raised exponent."""
    return "10" + str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def n(value: float) -> str:
    """A coordinate with at most one decimal, and no minus sign before zero."""
    text = f"{value:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text
