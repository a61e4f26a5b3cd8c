"""Plots as SVG, drawn by small functions: for a page that is read anywhere, nothing but text is needed.

Each function takes plain numbers and returns a `Plot`. A plot is as wide as a phone is; it grows with its place.
Colours come from the page, which includes `STYLE`; what exceeds a tolerance has another shape too, as colour alone does
not reach everyone. The same numbers give the same text.
"""

import html
import math
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

#: What the page must include once; it sets the custom properties (``--mark`` and so on) itself.
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
svg.plot .told { stroke: var(--text); stroke-width: 2.5; fill: none; }
"""

#: Width of every plot in its own units, about pixels of a phone.
_WIDTH = 380.0
#: What a character of a label takes, at most in most names.
_CHARACTER = 7.2
_LONGEST_LABEL = 18
_BINS = 31


@dataclass(frozen=True)
class Plot:
    """``svg`` is an element to put into a page; ``summary`` says in a sentence or two what it shows."""

    title: str
    summary: str
    svg: str


def visible(text: str) -> str:
    r"""The text in a line, with what cannot be seen, or turns other text around, written out: ``\x1b``, ``\u202e``."""
    return "".join(map(_visible_character, " ".join(text.splitlines())))


def _visible_character(character: str) -> str:
    hidden = unicodedata.category(character) in ("Cc", "Cf", "Cs")  # control, format, surrogate
    return character.encode("unicode_escape").decode() if hidden else character


def number(value: float) -> str:
    """A number as the tables and texts have it, to three digits."""
    return "not a number" if math.isnan(value) else f"{value:.3g}"


def end_points(key: str, rows: Sequence[Mapping[str, Any]], tolerance: float) -> Plot:
    """The difference at each end point, from the images at the top to the output at the bottom, on a log scale.

    Args:
        key: what makes the ids of this plot unique in its page.
        rows: ``name`` and ``difference`` of each, in the order of the network; the largest absolute difference, as a
            part of the largest magnitude in the reference. None and NaN stand for one that could not be computed.
        tolerance: the largest difference that is allowed, more than 0.
    """
    names = [str(row["name"]) for row in rows]
    values = [math.nan if row["difference"] is None else float(row["difference"]) for row in rows]
    logarithms = [math.log10(value) for value in [*values, tolerance] if 0 < value < math.inf]
    low, high = math.floor(min(logarithms)), math.ceil(max(logarithms) + 1e-9)
    low = min(low, high - 2)
    left = 16 + _CHARACTER * min(max(map(len, names), default=0), _LONGEST_LABEL)
    # Zero has no place on such a scale, and what is no number has none anywhere: each gets a column of its own.
    zero, nowhere = left + 10, _WIDTH - 12
    axis = _Axis(low, high, left + 40, _WIDTH - 38)
    top, step = 26.0, 17.0
    bottom = top + step * len(rows)

    def across(value: float) -> float:
        return nowhere if not value < math.inf else zero if value <= 0 else axis.at(math.log10(value))

    body = []
    for decade in range(low, high + 1, max(1, math.ceil((high - low) / 6))):
        body += [_line(axis.at(decade), top, axis.at(decade), bottom, "grid")]
        body += [_label(axis.at(decade), bottom + 15, _power(decade), "middle")]
    if any(value == 0 for value in values):
        body += [_line(zero, top, zero, bottom, "grid"), _label(zero, bottom + 15, "0", "middle")]
    if any(not value < math.inf for value in values):
        body += [_line(nowhere, top, nowhere, bottom, "grid"), _label(_WIDTH, bottom + 15, "NaN", "end")]
    limit = axis.at(math.log10(tolerance))
    body += [_line(limit, top - 6, limit, bottom, "limit")]
    body += [_label(limit, top - 10, f"tolerance {tolerance:g}", _anchored(limit), "limit-label")]
    places = [(across(value), top + step * (row + 0.5)) for row, value in enumerate(values)]
    body.append(f'<polyline class="path" points="{" ".join(f"{_n(x)},{_n(y)}" for x, y in places)}"/>')
    for name, value, (x, y) in zip(names, values, places, strict=True):
        body.append(_label(left, y + 4, _short(name), "end"))
        body.append(_mark(x, y, value, tolerance, f"{name}: {number(value)}"))
    body.append(_label((axis.start + axis.end) / 2, bottom + 34, "relative difference (no unit, log scale)", "middle"))

    beyond = [name for name, value in zip(names, values, strict=True) if not value <= tolerance]
    if not rows:
        summary = "There are no end points."
    elif beyond:
        summary = f"{len(beyond)} of {len(rows)} end points exceed the tolerance {tolerance:g}, first {beyond[0]}."
    else:
        largest = max(range(len(rows)), key=lambda row: values[row])
        summary = (
            f"All {len(rows)} end points are within the tolerance {tolerance:g}; "
            f"the largest difference is {number(values[largest])}, at {names[largest]}."
        )
    summary += " From the input at the top to the output at the bottom."
    return _plot(key, "Difference at each end point", summary, bottom + 42, body)


def differences(key: str, name: str, reference: np.ndarray, found: np.ndarray, tolerance: float) -> Plot:
    """How often the outputs differ by how much.

    Args:
        key: what makes the ids of this plot unique in its page.
        name: what the values are called, for example ``logits``.
        reference: the values that count, of any shape.
        found: those of the artifact, of the same shape.
        tolerance: the largest absolute difference that is allowed, as a part of the largest magnitude in the reference.
    """
    reference, found, left_out = _finite(reference, found)
    values = found - reference
    allowed = tolerance * float(np.abs(reference).max(initial=0.0))
    largest = float(np.abs(values).max(initial=0.0))
    # The tolerance is in the picture where that leaves the bars wide enough to be seen.
    reach = allowed if largest < allowed < 4 * largest else largest or allowed or 1.0
    exponent = math.floor(math.log10(reach))
    exponent = 0 if -3 < exponent < 4 else exponent
    unit = 10.0**exponent
    off = np.abs(values) > allowed
    within, edges = np.histogram(values[~off], bins=_BINS, range=(-reach, reach))
    beyond, _ = np.histogram(values[off], bins=_BINS, range=(-reach, reach))
    left, top, bottom = 62.0, 22.0, 222.0
    x = _Axis(-reach / unit, reach / unit, left, _WIDTH - 14)
    y = _Axis(0.0, float(max((within + beyond).max(), 1)) * 1.05, bottom, top)

    body = _frame(x, y)
    for inside, outside, low, high in zip(within.tolist(), beyond.tolist(), edges[:-1], edges[1:], strict=True):
        place = f'x="{_n(x.at(low / unit))}" width="{_n(x.at(high / unit) - x.at(low / unit) - 1)}"'
        foot = bottom
        for count, kind, what in ((inside, "bar", "within"), (outside, "bar off", "beyond")):
            if count:
                # At least a pixel: a single value far out is what one wants to see.
                height = max(bottom - y.at(count), 1.0)
                foot -= height
                told = f"{count} from {low:.3g} to {high:.3g}, {what} the tolerance"
                box = f'{place} y="{_n(foot)}" height="{_n(height)}"'
                body.append(f'<rect class="{kind}" {box}><title>{told}</title></rect>')
    if 0 < allowed <= reach:
        for limit in (x.at(-allowed / unit), x.at(allowed / unit)):
            body.append(_line(limit, top - 4, limit, bottom, "limit"))
        body.append(
            _label(x.at(0), top - 8, f"tolerance \N{PLUS-MINUS SIGN}{number(allowed)}", "middle", "limit-label")
        )
    scale = "" if exponent == 0 else f", in {_power(exponent)}"
    what = f"artifact \N{MINUS SIGN} reference, {_spaced(name)}{scale} (no unit)"
    body += _axis_labels(x, y, what, "number of values")

    exact = int((values == 0).sum())
    summary = (
        f"Of {values.size:,} values {exact:,} are equal; the largest difference is {number(largest)}, "
        f"allowed is {number(allowed)}.{left_out}"
    )
    return _plot(key, f"Differences of the {_spaced(name)}", summary, bottom + 42, body)


def scatter(key: str, name: str, reference: np.ndarray, found: np.ndarray, tolerance: float) -> Plot:
    """Every value of the artifact over that of the reference; equal ones lie on the diagonal.

    The arguments are those of `differences`.
    """
    reference, found, left_out = _finite(reference, found)
    off = np.abs(found - reference) > tolerance * float(np.abs(reference).max(initial=0.0))
    low = float(min(reference.min(initial=np.inf), found.min(initial=np.inf)))
    high = float(max(reference.max(initial=-np.inf), found.max(initial=-np.inf)))
    if not low <= high:
        low, high = 0.0, 1.0
    margin = 0.04 * (high - low) or 0.5
    left, top, bottom = 62.0, 10.0, 264.0
    x = _Axis(low - margin, high + margin, left, _WIDTH - 14)
    y = _Axis(low - margin, high + margin, bottom, top)

    body = _frame(x, y)
    body.append(_line(x.start, y.start, x.end, y.end, "equal"))
    places = [(_n(x.at(a)), _n(y.at(b))) for a, b in zip(reference.tolist(), found.tolist(), strict=True)]
    width = 5 if len(places) < 500 else 3.5 if len(places) < 5000 else 2.5
    # A line without length and with round ends is a dot, in a tenth of the bytes of a circle.
    dots = "".join(f"M{a},{b}h0" for (a, b), bad in zip(places, off.tolist(), strict=True) if not bad)
    crosses = "".join(f"M{a},{b}m-3-3l6,6m0-6l-6,6" for (a, b), bad in zip(places, off.tolist(), strict=True) if bad)
    if dots:
        body.append(f'<path class="dots" stroke-width="{width}" d="{dots}"/>')
    if crosses:
        body.append(f'<path class="crosses" d="{crosses}"/>')
    body += _axis_labels(x, y, f"reference, {_spaced(name)} (no unit)", f"artifact, {_spaced(name)} (no unit)")

    beyond = int(off.sum())
    judged = (
        f"{beyond:,} of them differ by more than allowed (crosses)" if beyond else "none differs by more than allowed"
    )
    summary = f"{len(places):,} values, {judged}; equal values lie on the diagonal.{left_out}"
    return _plot(key, f"The {_spaced(name)} of the artifact over those of the reference", summary, bottom + 42, body)


def evaluation(key: str, data: Mapping[str, Any]) -> tuple[Plot, Plot]:
    """What an evaluation on labelled images found: whether its confidence can be relied on, and its top-k accuracy.

    Args:
        key: what makes the ids of these plots unique in their page.
        data: ``bins``, each with the mean ``confidence`` and the ``accuracy`` of the images in it, both from 0 to 1,
            and their ``count``; ``top_k``, each with ``k`` and the ``accuracy`` from 0 to 1; ``published``, what was
            published in per cent by ``top_1``, ``top_5``, as a model's configuration has it; it may be empty.
    """
    return _reliability(f"{key}-reliability", data["bins"]), _top_k(f"{key}-top-k", data["top_k"], data["published"])


def _reliability(key: str, bins: Sequence[Mapping[str, Any]]) -> Plot:
    bins = [row for row in bins if row["count"]]
    images = sum(row["count"] for row in bins)
    left, top, bottom = 62.0, 10.0, 264.0
    x, y = _Axis(0.0, 100.0, left, _WIDTH - 14), _Axis(0.0, 100.0, bottom, top)
    body = _frame(x, y)
    body.append(_line(x.start, y.start, x.end, y.end, "equal"))
    places = [(x.at(100 * row["confidence"]), y.at(100 * row["accuracy"])) for row in bins]
    body.append(f'<polyline class="path" points="{" ".join(f"{_n(a)},{_n(b)}" for a, b in places)}"/>')
    most = max((row["count"] for row in bins), default=1)
    for row, (a, b) in zip(bins, places, strict=True):
        told = f"confidence {row['confidence']:.1%}, accuracy {row['accuracy']:.1%}, {row['count']} images"
        radius = 2 + 6 * math.sqrt(row["count"] / most)
        body.append(
            f'<circle class="mark" fill-opacity=".6" cx="{_n(a)}" cy="{_n(b)}" r="{_n(radius)}">'
            f"<title>{told}</title></circle>"
        )
    body.append(_label(x.start + 10, y.end + 18, "too modest", "start", "note"))
    body.append(_label(x.end - 10, y.start - 12, "too sure", "end", "note"))
    body += _axis_labels(x, y, "mean confidence in the first answer (%)", "top-1 accuracy (%)")
    if images:
        error = sum(row["count"] * abs(row["confidence"] - row["accuracy"]) for row in bins) / images
        summary = (
            f"{images:,} images in {len(bins)} bins of confidence, larger circles hold more of them. On average, "
            f"confidence and accuracy are {100 * error:.1f} percentage points apart."
        )
    else:
        summary = "There are no images."
    return _plot(key, "Reliability: accuracy over confidence", summary, bottom + 42, body)


def _top_k(key: str, rows: Sequence[Mapping[str, Any]], published: Mapping[str, Any]) -> Plot:
    left, top, bottom = 62.0, 34.0, 234.0
    x, y = _Axis(-0.5, max(len(rows), 1) - 0.5, left, _WIDTH - 14), _Axis(0.0, 100.0, bottom, top)
    body = _frame(_Axis(0, 0, x.start, x.end), y)
    half = min(0.32 * (x.at(1) - x.at(0)), 34.0)
    told = {int(name.removeprefix("top_")): float(value) for name, value in published.items() if value is not None}
    said = []
    for place, row in enumerate(rows):
        middle, height = x.at(place), y.at(100 * row["accuracy"])
        body.append(
            f'<rect class="bar" x="{_n(middle - half)}" y="{_n(height)}" width="{_n(2 * half)}" '
            f'height="{_n(bottom - height)}"><title>top-{row["k"]}: {row["accuracy"]:.1%}</title></rect>'
        )
        body.append(_label(middle, bottom + 15, f"top-{row['k']}", "middle"))
        mark = y.at(told[row["k"]]) if row["k"] in told else height
        body.append(_label(middle, min(height, mark) - 5, f"{100 * row['accuracy']:.1f}", "middle"))
        text = f"top-{row['k']} {100 * row['accuracy']:.1f} %"
        if row["k"] in told:
            body.append(_line(middle - half - 5, mark, middle + half + 5, mark, "told"))
            text += f" (published {told[row['k']]:g} %)"
        said.append(text)
    if told:
        body += [_line(left, 9, left + 22, 9, "told"), _label(left + 28, 13, "as published", "start")]
    body += _axis_labels(x, y, "the right class is among the first k answers", "accuracy (%)")
    summary = ("; ".join(said) or "There are no images") + "."
    return _plot(key, "Accuracy of the first k answers", summary, bottom + 42, body)


@dataclass(frozen=True)
class _Axis:
    """From the values ``low`` to ``high`` to the places ``start`` to ``end``, which may run backwards."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self, about: int = 5) -> list[tuple[float, str]]:
        """Round values between the ends, and their text."""
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


def _finite(reference: np.ndarray, found: np.ndarray) -> tuple[np.ndarray, np.ndarray, str]:
    """Both in float64, without the pairs that have no difference; and what to say of those."""
    reference, found = np.ravel(reference).astype(np.float64), np.ravel(found).astype(np.float64)
    drawn = np.isfinite(reference) & np.isfinite(found)
    missing = int((~drawn).sum())
    text = f" {missing:,} more are no finite numbers and cannot be drawn." if missing else ""
    return reference[drawn], found[drawn], text


def _plot(key: str, title: str, summary: str, height: float, body: Iterable[str]) -> Plot:
    head = (
        f'<svg class="plot" role="img" viewBox="0 0 {_n(_WIDTH)} {_n(height)}" aria-labelledby="{key}-t {key}-d">'
        f'<title id="{key}-t">{_escaped(title)}</title><desc id="{key}-d">{_escaped(summary)}</desc>'
    )
    return Plot(title, summary, "\n".join([head, *body, "</svg>"]))


def _frame(x: _Axis, y: _Axis) -> list[str]:
    """Grid, ticks and the two axes."""
    lines = []
    for value, text in x.ticks():
        lines += [_line(x.at(value), y.start, x.at(value), y.end, "grid")]
        lines += [_label(x.at(value), y.start + 15, text, "middle")]
    for value, text in y.ticks():
        lines += [_line(x.start, y.at(value), x.end, y.at(value), "grid")]
        lines += [_label(x.start - 5, y.at(value) + 4, text, "end")]
    return [*lines, f'<path class="axis" d="M{_n(x.start)},{_n(y.end)}V{_n(y.start)}H{_n(x.end)}"/>']


def _axis_labels(x: _Axis, y: _Axis, across: str, up: str) -> list[str]:
    middle = (y.start + y.end) / 2
    return [
        _label((x.start + x.end) / 2, y.start + 34, across, "middle"),
        f'<text transform="translate(11 {_n(middle)}) rotate(-90)" text-anchor="middle">{_escaped(up)}</text>',
    ]


def _mark(x: float, y: float, value: float, tolerance: float, told: str) -> str:
    """A dot; a ring for zero; a diamond beyond the tolerance."""
    title = f"<title>{_escaped(told)}</title>"
    if value <= tolerance:
        kind = " none" if value == 0 else ""
        return f'<circle class="mark{kind}" cx="{_n(x)}" cy="{_n(y)}" r="3.5">{title}</circle>'
    return f'<path class="mark off" d="M{_n(x)},{_n(y - 5.5)}l5.5,5.5l-5.5,5.5l-5.5-5.5z">{title}</path>'


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<path class="{kind}" d="M{_n(x1)},{_n(y1)}L{_n(x2)},{_n(y2)}"/>'


def _label(x: float, y: float, text: str, anchor: str, kind: str = "") -> str:
    kind = f' class="{kind}"' if kind else ""
    return f'<text{kind} x="{_n(x)}" y="{_n(y)}" text-anchor="{anchor}">{_escaped(text)}</text>'


def _anchored(x: float) -> str:
    """Where a label at ``x`` must hang to stay in the picture."""
    return "end" if x > _WIDTH - 60 else "middle"


def _escaped(text: str) -> str:
    return html.escape(visible(text))


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_LABEL else text[: _LONGEST_LABEL - 1] + "…"


def _spaced(name: str) -> str:
    return name.replace("_", " ")


def _power(exponent: int) -> str:
    """A power of ten with a raised exponent."""
    return "10" + str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def _n(value: float) -> str:
    """A coordinate to a tenth, as short as it goes; without a minus sign before zero."""
    text = f"{value:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text
