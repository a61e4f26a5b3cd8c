"""The plots of an evaluation: a reliability diagram, and top-k accuracy."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from exporter.report.svg import WIDTH, Axis, Plot, axis_labels, frame, label, line, n, plot

#: How the lines of several artifacts differ, without colour.
DASHES = ("none", "7 3", "2 3", "9 3 2 3")


def evaluation(key: str, data: Mapping[str, Any]) -> tuple[Plot, Plot]:
    """The reliability diagram and the top-k accuracy of an evaluation on labelled images.

    Args:
        key: makes the ids of these plots unique in their page.
        data: ``bins``, each with the mean ``confidence`` and the ``accuracy`` of the images in it, both from 0 to 1,
            and their ``count``; ``top_k``, each with ``k`` and the ``accuracy`` from 0 to 1; ``published``, the
            published accuracies in per cent, ``top_1`` and ``top_5``; it may be empty.
    """
    return _reliability(f"{key}-reliability", data["bins"]), _top_k(f"{key}-top-k", data["top_k"], data["published"])


def _reliability(key: str, bins: Sequence[Mapping[str, Any]]) -> Plot:
    bins = [row for row in bins if row["count"]]
    images = sum(row["count"] for row in bins)
    left, top, bottom = 62.0, 10.0, 264.0
    x, y = Axis(0.0, 100.0, left, WIDTH - 14), Axis(0.0, 100.0, bottom, top)
    body = frame(x, y)
    body.append(line(x.start, y.start, x.end, y.end, "equal"))
    places = [(x.at(100 * row["confidence"]), y.at(100 * row["accuracy"])) for row in bins]
    body.append(f'<polyline class="path" points="{" ".join(f"{n(a)},{n(b)}" for a, b in places)}"/>')
    most = max((row["count"] for row in bins), default=1)
    for row, (a, b) in zip(bins, places, strict=True):
        tooltip = f"confidence {row['confidence']:.1%}, accuracy {row['accuracy']:.1%}, {row['count']} images"
        radius = 2 + 6 * math.sqrt(row["count"] / most)
        body.append(
            f'<circle class="mark" fill-opacity=".6" cx="{n(a)}" cy="{n(b)}" r="{n(radius)}">'
            f"<title>{tooltip}</title></circle>"
        )
    body.append(label(x.start + 10, y.end + 18, "underconfident", "start", "note"))
    body.append(label(x.end - 10, y.start - 12, "overconfident", "end", "note"))
    body += axis_labels(x, y, "mean confidence in the first answer (%)", "top-1 accuracy (%)")
    if images:
        error = sum(row["count"] * abs(row["confidence"] - row["accuracy"]) for row in bins) / images
        summary = (
            f"{images:,} images in {len(bins)} bins of confidence; larger circles stand for more images. On average, "
            f"confidence and accuracy are {100 * error:.1f} percentage points apart."
        )
    else:
        summary = "There are no images."
    return plot(key, "Reliability: accuracy over confidence", summary, bottom + 42, body)


def reliabilities(key: str, curves: Sequence[Sequence[Mapping[str, Any]]]) -> Plot:
    """The reliability diagrams of several artifacts in one plot, each with its letter at its last point.

    Args:
        curves: the ``bins`` of each, as `evaluation` takes them.
    """
    left, top, bottom = 62.0, 10.0, 264.0
    x, y = Axis(0.0, 100.0, left, WIDTH - 14), Axis(0.0, 100.0, bottom, top)
    body = frame(x, y)
    body.append(line(x.start, y.start, x.end, y.end, "equal"))
    for place, bins in enumerate(curves):
        letter, dashes = chr(ord("A") + place), DASHES[place % len(DASHES)]
        points = [(x.at(100 * row["confidence"]), y.at(100 * row["accuracy"]), row) for row in bins if row["count"]]
        path = " ".join(f"{n(a)},{n(b)}" for a, b, _ in points)
        body.append(f'<polyline class="path" style="stroke-opacity:1;stroke-dasharray:{dashes}" points="{path}"/>')
        for a, b, row in points:
            shown = f"confidence {row['confidence']:.1%}, accuracy {row['accuracy']:.1%}"
            text = f"{letter}: {shown}, {row['count']} images"
            body.append(f'<circle class="mark" cx="{n(a)}" cy="{n(b)}" r="2.5"><title>{text}</title></circle>')
        if points:
            # Above and below in turns: curves may end in one place.
            a, b, _ = points[-1]
            body.append(label(a - 11 * (place // 2), b + (16 if place % 2 else -8), letter, "middle"))
    body.append(label(x.start + 10, y.end + 18, "underconfident", "start", "note"))
    body.append(label(x.end - 10, y.start - 12, "overconfident", "end", "note"))
    body += axis_labels(x, y, "mean confidence in the first answer (%)", "top-1 accuracy (%)")
    summary = "A curve for each artifact, with its letter at the end: the nearer to the dotted line, the truer."
    return plot(key, "Reliability: accuracy over confidence", summary, bottom + 42, body)


def _top_k(key: str, rows: Sequence[Mapping[str, Any]], published: Mapping[str, Any]) -> Plot:
    left, top, bottom = 62.0, 34.0, 234.0
    x, y = Axis(-0.5, max(len(rows), 1) - 0.5, left, WIDTH - 14), Axis(0.0, 100.0, bottom, top)
    body = frame(Axis(0, 0, x.start, x.end), y)
    half = min(0.32 * (x.at(1) - x.at(0)), 34.0)
    published_at = {
        int(name.removeprefix("top_")): float(value) for name, value in published.items() if value is not None
    }
    accuracies = []
    for place, row in enumerate(rows):
        middle, height = x.at(place), y.at(100 * row["accuracy"])
        body.append(
            f'<rect class="bar" x="{n(middle - half)}" y="{n(height)}" width="{n(2 * half)}" '
            f'height="{n(bottom - height)}"><title>top-{row["k"]}: {row["accuracy"]:.1%}</title></rect>'
        )
        body.append(label(middle, bottom + 15, f"top-{row['k']}", "middle"))
        mark = y.at(published_at[row["k"]]) if row["k"] in published_at else height
        body.append(label(middle, min(height, mark) - 5, f"{100 * row['accuracy']:.1f}", "middle"))
        text = f"top-{row['k']} {100 * row['accuracy']:.1f} %"
        if row["k"] in published_at:
            body.append(line(middle - half - 5, mark, middle + half + 5, mark, "published"))
            text += f" (published {published_at[row['k']]:g} %)"
        accuracies.append(text)
    if published_at:
        body += [line(left, 9, left + 22, 9, "published"), label(left + 28, 13, "published", "start")]
    body += axis_labels(x, y, "the right class is among the first k answers", "accuracy (%)")
    summary = ("; ".join(accuracies) or "There are no images") + "."
    return plot(key, "Accuracy of the first k answers", summary, bottom + 42, body)
