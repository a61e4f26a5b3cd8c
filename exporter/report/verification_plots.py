"""The plots of a verification, as SVG for HTML pages.

Each function takes plain numbers and returns a `Plot`, which is as wide as a phone and is scaled to the page. The page
sets the colours and includes `exporter.report.svg.STYLE`. Values beyond a tolerance also have another shape, for people
who cannot tell the colours apart. The same numbers give the same bytes.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from exporter.report.svg import (
    CHARACTER_WIDTH,
    MAX_LABEL,
    WIDTH,
    Axis,
    Plot,
    anchor_at,
    axis_labels,
    frame,
    label,
    line,
    mark,
    n,
    plot,
    power,
    truncated,
    with_spaces,
)
from exporter.report.templates import number

_BINS = 31
#: Of the rows of end points, in units of SVG: what two other plots take, and the least and the most of a row.
_HEIGHT_BESIDE, _LEAST_ROW, _LARGEST_ROW = 570.0, 17.0, 32.0
#: A power of ten as a label, with some space beside it.
_POWER_WIDTH = 38.0


def end_points(key: str, rows: Sequence[Mapping[str, Any]], tolerance: float) -> Plot:
    """The difference at each end point, from the images at the top to the output at the bottom, on a log scale.

    Args:
        key: makes the ids of this plot unique in its page.
        rows: ``name`` and ``difference`` of each, in the order of the network: the largest absolute difference, divided
            by the largest magnitude in the reference; None or NaN if it could not be computed.
        tolerance: the largest difference that is allowed, more than 0.
    """
    names = [str(row["name"]) for row in rows]
    values = [math.nan if row["difference"] is None else float(row["difference"]) for row in rows]
    logarithms = [math.log10(value) for value in [*values, tolerance] if 0 < value < math.inf]
    low, high = math.floor(min(logarithms)), math.ceil(max(logarithms) + 1e-9)
    low = min(low, high - 2)
    left = 16 + CHARACTER_WIDTH * min(max(map(len, names), default=0), MAX_LABEL)
    # A log scale has no place for zero, and no scale has one for NaN and infinity: they get columns of their own.
    zero, not_finite = left + 10, WIDTH - 12
    beyond_scale = any(not value < math.inf for value in values)
    axis = Axis(low, high, left + 40, WIDTH - 46 if beyond_scale else WIDTH - 16)
    # As high as the two plots that stand beside it on a wide page, where rows do not get too far apart.
    top, step = 26.0, min(max(_HEIGHT_BESIDE / max(len(rows), 1), _LEAST_ROW), _LARGEST_ROW)
    bottom = top + step * len(rows)

    def across(value: float) -> float:
        return not_finite if not value < math.inf else zero if value <= 0 else axis.at(math.log10(value))

    apart = math.ceil(_POWER_WIDTH * (high - low) / (axis.end - axis.start))
    columns = [(axis.at(decade), power(decade)) for decade in range(low, high + 1, apart)]
    if any(value == 0 for value in values):
        columns.append((zero, "0"))
    body = [part for x, text in columns for part in _column(x, top, bottom, text)]
    if beyond_scale:
        body += [line(not_finite, top, not_finite, bottom, "grid"), label(WIDTH, bottom + 15, "NaN", "end")]
    limit = axis.at(math.log10(tolerance))
    body += [line(limit, top - 6, limit, bottom, "limit")]
    body += [label(limit, top - 10, f"tolerance {tolerance:g}", anchor_at(limit), "limit-label")]
    places = [(across(value), top + step * (row + 0.5)) for row, value in enumerate(values)]
    body.append(f'<polyline class="path" points="{" ".join(f"{n(x)},{n(y)}" for x, y in places)}"/>')
    for name, value, (x, y) in zip(names, values, places, strict=True):
        body.append(label(left, y + 4, truncated(name), "end"))
        body.append(mark(x, y, value, tolerance, f"{name}: {number(value)}"))
    body.append(label(WIDTH - 4, bottom + 34, "relative difference (no unit, log scale)", "end"))
    summary = f"{_end_points_summary(names, values, tolerance)} From the input at the top to the output at the bottom."
    return plot(key, "Difference at each end point", summary, bottom + 42, body)


def _column(x: float, top: float, bottom: float, text: str) -> list[str]:
    return [line(x, top, x, bottom, "grid"), label(x, bottom + 15, text, "middle")]


def _end_points_summary(names: Sequence[str], values: Sequence[float], tolerance: float) -> str:
    if not names:
        return "There are no end points."
    beyond = [name for name, value in zip(names, values, strict=True) if not value <= tolerance]
    if beyond:
        return f"{len(beyond)} of {len(names)} end points exceed the tolerance {tolerance:g}, first {beyond[0]}."
    largest = max(range(len(names)), key=lambda row: values[row])
    return (
        f"All {len(names)} end points are within the tolerance {tolerance:g}; "
        f"the largest difference is {number(values[largest])}, at {names[largest]}."
    )


def differences(key: str, name: str, reference: np.ndarray, found: np.ndarray, tolerance: float) -> Plot:
    """A histogram of the differences between outputs.

    Args:
        key: makes the ids of this plot unique in its page.
        name: what the values are called, for example ``logits``.
        reference: the expected values, of any shape.
        found: those of the artifact, of the same shape.
        tolerance: the largest allowed absolute difference, divided by the largest magnitude in the reference.
    """
    reference, found, left_out = _finite(reference, found)
    values = found - reference
    allowed = tolerance * float(np.abs(reference).max(initial=0.0))
    largest = float(np.abs(values).max(initial=0.0))
    # The tolerance is shown if the bars stay wide enough beside it.
    reach = allowed if largest < allowed < 4 * largest else largest or allowed or 1.0
    exponent = math.floor(math.log10(reach))
    exponent = 0 if -3 < exponent < 4 else exponent
    unit = 10.0**exponent
    off = np.abs(values) > allowed
    within, edges = np.histogram(values[~off], bins=_BINS, range=(-reach, reach))
    beyond, _ = np.histogram(values[off], bins=_BINS, range=(-reach, reach))
    left, top, bottom = 62.0, 22.0, 222.0
    x = Axis(-reach / unit, reach / unit, left, WIDTH - 14)
    y = Axis(0.0, float(max((within + beyond).max(), 1)) * 1.05, bottom, top)

    body = frame(x, y)
    for inside, outside, low, high in zip(within.tolist(), beyond.tolist(), edges[:-1], edges[1:], strict=True):
        place = f'x="{n(x.at(low / unit))}" width="{n(x.at(high / unit) - x.at(low / unit) - 1)}"'
        body += _stacked_bars(place, y, inside, outside, f"from {low:.3g} to {high:.3g}")
    if 0 < allowed <= reach:
        for limit in (x.at(-allowed / unit), x.at(allowed / unit)):
            body.append(line(limit, top - 4, limit, bottom, "limit"))
        body.append(label(x.at(0), top - 8, f"tolerance \N{PLUS-MINUS SIGN}{number(allowed)}", "middle", "limit-label"))
    scale = "" if exponent == 0 else f", in {power(exponent)}"
    what = f"artifact \N{MINUS SIGN} reference, {with_spaces(name)}{scale} (no unit)"
    body += axis_labels(x, y, what, "number of values")

    exact = int((values == 0).sum())
    summary = (
        f"Of {values.size:,} values {exact:,} are equal; the largest difference is {number(largest)}, "
        f"the largest allowed one {number(allowed)}.{left_out}"
    )
    return plot(key, f"Differences of the {with_spaces(name)}", summary, bottom + 42, body)


def _stacked_bars(place: str, y: Axis, inside: int, outside: int, interval: str) -> list[str]:
    """The bars of an interval: the number of values within the tolerance, and on top of it of those beyond."""
    bars = []
    foot = y.start
    for count, kind, what in ((inside, "bar", "within"), (outside, "bar off", "beyond")):
        if count:
            # At least one unit high: a single value far out must be visible.
            height = max(y.start - y.at(count), 1.0)
            foot -= height
            tooltip = f"<title>{count} {interval}, {what} the tolerance</title>"
            bars.append(f'<rect class="{kind}" {place} y="{n(foot)}" height="{n(height)}">{tooltip}</rect>')
    return bars


def scatter(key: str, name: str, reference: np.ndarray, found: np.ndarray, tolerance: float) -> Plot:
    """A scatter plot of the artifact's values over those of the reference; equal ones lie on the diagonal.

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
    x = Axis(low - margin, high + margin, left, WIDTH - 14)
    y = Axis(low - margin, high + margin, bottom, top)

    body = frame(x, y)
    body.append(line(x.start, y.start, x.end, y.end, "equal"))
    places = [(n(x.at(a)), n(y.at(b))) for a, b in zip(reference.tolist(), found.tolist(), strict=True)]
    width = 5 if len(places) < 500 else 3.5 if len(places) < 5000 else 2.5
    # A line without length and with round ends is a dot, in a tenth of the bytes of a circle.
    dots = "".join(f"M{a},{b}h0" for (a, b), bad in zip(places, off.tolist(), strict=True) if not bad)
    crosses = "".join(f"M{a},{b}m-3-3l6,6m0-6l-6,6" for (a, b), bad in zip(places, off.tolist(), strict=True) if bad)
    if dots:
        body.append(f'<path class="dots" stroke-width="{width}" d="{dots}"/>')
    if crosses:
        body.append(f'<path class="crosses" d="{crosses}"/>')
    body += axis_labels(x, y, f"reference, {with_spaces(name)} (no unit)", f"artifact, {with_spaces(name)} (no unit)")

    beyond = int(off.sum())
    verdict = (
        f"{beyond:,} of them differ by more than allowed (crosses)" if beyond else "none differs by more than allowed"
    )
    summary = f"{len(places):,} values, {verdict}; equal values lie on the diagonal.{left_out}"
    return plot(key, f"The {with_spaces(name)} of the artifact over those of the reference", summary, bottom + 42, body)


def _finite(reference: np.ndarray, found: np.ndarray) -> tuple[np.ndarray, np.ndarray, str]:
    """Both in float64, without pairs that are not finite, and a sentence about those."""
    reference, found = np.ravel(reference).astype(np.float64), np.ravel(found).astype(np.float64)
    drawn = np.isfinite(reference) & np.isfinite(found)
    missing = int((~drawn).sum())
    text = f" {missing:,} more are not finite and cannot be drawn." if missing else ""
    return reference[drawn], found[drawn], text
