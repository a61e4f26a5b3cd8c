"""A comparison of artifacts on one data set as one self-contained HTML page."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import exporter
from exporter.report import evaluation_plots, page, svg, templates

TEMPLATE = "comparison.html"
#: Pictures that the page shows of those that the artifacts do not agree on, the surest answers first.
SHOWN = 60


def require_writable(path: Path | None) -> None:
    """Raises ArtifactError where the page could not be written; before anything is computed for it."""
    if path:
        page.require_writable(path)


def write(path: Path, result: Mapping[str, Any], thumbnails: Mapping[str, str]) -> None:
    """Writes the page to ``path`` atomically.

    Args:
        result: that of `exporter.evaluation.comparing.Comparison.result`.
        thumbnails: ``data:`` addresses of small pictures, by the paths in the result; those without have none.

    Raises:
        ArtifactError: it cannot be written.
    """
    page.write_content(path, rendered(result, thumbnails))


def rendered(result: Mapping[str, Any], thumbnails: Mapping[str, str]) -> str:
    """The HTML of the page."""
    artifacts = result["artifacts"]
    curves = [[{**row, "count": row["images"]} for row in artifact["calibration"]["bins"]] for artifact in artifacts]
    return templates.html(
        TEMPLATE,
        dataset=artifacts[0]["dataset"],
        images=result["images"],
        artifacts=[
            {
                "letter": chr(ord("A") + place),
                "path": artifact["artifact"],
                "synthetic": artifact["synthetic"] is not None,
                "top_1": _accuracy(artifact["top_1"]),
                "top_5": _accuracy(artifact["top_5"]),
                "error": f"{100 * artifact['calibration']['expected_calibration_error']:.2f}",
            }
            for place, artifact in enumerate(artifacts)
        ],
        pairs=[_pair(pair, artifacts) for pair in result["pairs"]],
        plot=evaluation_plots.reliabilities("curves", curves),
        disagreements=len(result["disagreements"]),
        shown=[
            {**picture, "thumbnail": thumbnails.get(picture["path"])} for picture in chosen(result["disagreements"])
        ],
        plot_style=svg.STYLE,
        version=exporter.__version__,
    )


def chosen(disagreements: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The pictures that a page shows: those about which the artifacts are surest, and yet differ."""

    def least_sure(picture: Mapping[str, Any]) -> float:
        return -min(answer["probability"] for answer in picture["answers"])

    return sorted(disagreements, key=least_sure)[:SHOWN]


def _accuracy(top: Mapping[str, Any]) -> str:
    low, high = top["interval"]
    return f"{top['accuracy']:.2f} % ({low:.2f} to {high:.2f})"


def _pair(pair: Mapping[str, Any], artifacts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    paths = [artifact["artifact"] for artifact in artifacts]
    letters = [chr(ord("A") + paths.index(path)) for path in pair["artifacts"]]
    chance = pair["mcnemar"]["p_value"]
    return {
        "letters": letters,
        "agreement": f"{pair['agreement']:.2f} %",
        "both_right": f"{pair['both_right']:,}",
        "only": (f"{pair['only_first_right']:,}", f"{pair['only_second_right']:,}"),
        "both_wrong": f"{pair['both_wrong']:,}",
        "p_value": f"{chance:.3g}",
        "verdict": "differ" if chance < 0.05 else "may be equal",
    }
