"""A section of a page: an artifact's verification report, or its evaluation, as values for the template."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import exporter
from exporter.artifact.metadata import Metadata
from exporter.report import evaluation_plots, templates, verification_plots
from exporter.report.svg import Plot
from exporter.validation import to_plain
from exporter.verification.results import Check, Report

#: Labels of the facts about an artifact, in the order of the page.
_LABELS = ("Handle", "Weights", "Made from", "Compared with", "Layout", "Options", "Written by", "Verified by")


@dataclass(frozen=True)
class Section:
    """The content of a section.

    Args:
        report: the verification report of an artifact; its path is shown as it is.
        metadata: the artifact's ``nasexport.json``; None for one that nasexport did not write.
        evaluation: the argument of `exporter.report.evaluation_plots.evaluation`, if the artifact was evaluated.
    """

    report: Report
    metadata: Metadata | None
    evaluation: Mapping[str, Any] | None = None


def evaluation_section(result: Mapping[str, Any], metadata: Metadata | None) -> Section:
    """The section of an evaluation on labelled images.

    It fails if the published accuracy lies above the confidence interval of the measured one, or if images were
    skipped.

    Args:
        result: that of `exporter.evaluation.evaluation.Evaluation.result`.
        metadata: the artifact's ``nasexport.json``; None for one that nasexport did not write.
    """
    checks = [Check("images that could not be read", len(result["broken"]), 0, f"{result['images']:,} others")]
    published = {}
    for name, label in (("top_1", "top-1"), ("top_5", "top-5")):
        top = result[name]
        if top["published"] is not None:
            published[name] = top["published"]
            low, high = top["interval"]
            shortfall = max(0.0, top["published"] - high)
            detail = f"{top['accuracy']:.2f} %, 95 % confidence {low:.2f} to {high:.2f}; published {top['published']} %"
            checks.append(Check(f"{label}, points below the published accuracy", shortfall, 0, detail))
    bins = [{**row, "count": row["images"]} for row in result["calibration"]["bins"]]
    top_k = [{"k": k, "accuracy": accuracy / 100} for k, accuracy in enumerate(result["top_k"], 1)]
    notes = (f"on the images of {result['dataset']['folder']}", f"computed on {', '.join(result['devices'])}")
    report = Report(result["artifact"], tuple(checks), notes)
    return Section(report, metadata, {"bins": bins, "top_k": top_k, "published": published})


def template_values(key: str, section: Section) -> dict[str, Any]:
    """What the template is given for a section; ``key`` makes its ids unique in the page."""
    report, metadata = section.report, section.metadata
    plots, missing_plots = _plots(key, report.measured)
    synthetic = _listed(metadata.source.synthetic) if metadata else ""
    if section.evaluation is not None:
        plots += evaluation_plots.evaluation(key, section.evaluation)
    return {
        "key": key,
        "path": report.path,
        "subtitle": _subtitle(metadata),
        "passed": report.passed,
        "checks": [_row(f"{key}-c{index}", check) for index, check in enumerate(report.checks, 1)],
        "failures": sum(not check.passed for check in report.checks),
        # That the weights are synthetic is said separately, and more prominently.
        "notes": [note for note in report.notes if not synthetic or synthetic not in note],
        "synthetic": synthetic,
        "facts": _facts(report, metadata),
        "plots": plots,
        "missing_plots": missing_plots,
    }


def _subtitle(metadata: Metadata | None) -> str:
    if metadata is None:
        return "not written by nasexport"
    return f"{metadata.model.title}, {metadata.task}, version {metadata.version}, {metadata.format}"


def _row(key: str, check: Check) -> dict[str, Any]:
    return {
        "key": key,
        "name": check.name,
        "figure": templates.number(check.figure),
        "tolerance": templates.number(check.tolerance),
        "passed": check.passed,
        "detail": check.detail,
    }


def _plots(key: str, measured: Mapping[str, Any] | None) -> tuple[list[Plot], list[str]]:
    """The plots of a verification, and sentences that say why others are missing."""
    if measured is None:
        return [], ["There are no plots: the artifact gave no outputs that could be compared."]
    plots, missing = [], []
    tolerance = measured["tolerance"]
    if measured["end_points"]:
        plots.append(verification_plots.end_points(f"{key}-end-points", measured["end_points"], tolerance))
    else:
        missing.append(
            "There is no plot of the differences by end point: only the output of this artifact was compared, "
            "not the end points inside the network."
        )
    if outputs := measured["outputs"]:
        compared = (outputs["name"], outputs["reference"], outputs["found"], tolerance)
        plots.append(verification_plots.differences(f"{key}-differences", *compared))
        plots.append(verification_plots.scatter(f"{key}-scatter", *compared))
    else:
        missing.append("There is no plot of the outputs: their shape is not that of the reference's.")
    return plots, missing


def _facts(report: Report, metadata: Metadata | None) -> list[tuple[str, list[str]]]:
    """The origin of an artifact and what it was compared with: labels, each with its lines."""
    measured = report.measured or {}
    compared_with = measured.get("source")
    compared = _files(**compared_with) if compared_with else []
    verified_by = f"nasexport {exporter.__version__}"
    if "runtime" in measured:
        verified_by += f", {measured['runtime']}"
    facts: dict[str, list[str]] = {}
    if metadata:
        made_from, tool = metadata.source, metadata.tool
        synthetic = _listed(made_from.synthetic)
        weights = "those of the checkpoint, which is not marked as synthetic"
        facts |= {
            "Handle": [metadata.handle],
            "Weights": [f"SYNTHETIC ({synthetic}), not published weights" if synthetic else weights],
            "Made from": _files(made_from.archive, made_from.archive_sha256, made_from.files),
            "Layout": [f"{made_from.layout}, {made_from.variables_from_averages} variables from averages"],
            "Options": [f"{name} {value}" for name, value in to_plain(metadata.options).items() if value is not None],
            "Written by": [f"nasexport {tool.nasexport}, TensorFlow {tool.tensorflow}"],
        }
        if compared_with and compared_with["files"] == made_from.files:
            compared = ["the same files"]
    facts |= {"Compared with": compared, "Verified by": [verified_by]}
    return [(label, facts[label]) for label in _LABELS if facts.get(label)]


def _files(archive: str | None, archive_sha256: str | None, files: Mapping[str, str]) -> list[str]:
    lines = [f"{archive} sha256 {archive_sha256}"] if archive else []
    return lines + [f"{name} sha256 {digest}" for name, digest in sorted(files.items())]


def _listed(facts: Mapping[str, Any] | None) -> str:
    """A mapping as one line; empty if there is none."""
    return ", ".join(f"{key} {item}" for key, item in sorted((facts or {}).items()))
