"""The report of a verification as one HTML page that needs nothing else: no script, no font, no server.

The same reports give the same bytes: nothing on the page tells the time, the machine, or a path that the user did not
name.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import exporter
from exporter.artifact.metadata import Metadata
from exporter.errors import ArtifactError, NasexportError
from exporter.files import staging
from exporter.report import evaluation_plots, svg, templates, verification_plots
from exporter.report.svg import Plot
from exporter.verification.results import Check, Report

TEMPLATE = "report.html"
#: Labels of what is said of an artifact, in their order.
_FACTS = ("Handle", "Weights", "Made from", "Compared with", "Layout", "Options", "Written by", "Verified by")


@dataclass(frozen=True)
class Subject:
    """What one section of the page is about.

    Args:
        report: the checks of an artifact; its path is shown as it is.
        metadata: the artifact's ``nasexport.json``; None for one that nasexport did not write.
        evaluation: what `exporter.report.evaluation_plots.evaluation` takes, where the artifact was evaluated as well.
    """

    report: Report
    metadata: Metadata | None
    evaluation: Mapping[str, Any] | None = None


def evaluated(result: Mapping[str, Any], metadata: Metadata | None) -> Subject:
    """The subject of an evaluation on labelled images.

    It fails where the published accuracy lies above the confidence interval of what was measured, or images were left
    out.

    Args:
        result: what `exporter.evaluation.evaluation.Evaluation.result` gives.
        metadata: the artifact's ``nasexport.json``; None for one that nasexport did not write.
    """
    checks = [Check("images that could not be read", len(result["broken"]), 0, f"{result['images']:,} others")]
    published = {}
    for name, label in (("top_1", "top-1"), ("top_5", "top-5")):
        top = result[name]
        if top["published"] is not None:
            published[name] = top["published"]
            low, high = top["interval"]
            short = max(0.0, top["published"] - high)
            detail = f"{top['accuracy']:.2f} %, 95 % confidence {low:.2f} to {high:.2f}; published {top['published']} %"
            checks.append(Check(f"{label}, points short of the published", short, 0, detail))
    bins = [{**row, "count": row["images"]} for row in result["calibration"]["bins"]]
    top_k = [{"k": k, "accuracy": accuracy / 100} for k, accuracy in enumerate(result["top_k"], 1)]
    report = Report(result["artifact"], tuple(checks), (f"on the images of {result['dataset']['folder']}",))
    return Subject(report, metadata, {"bins": bins, "top_k": top_k, "published": published})


@contextlib.contextmanager
def opened(path: Path | None) -> Iterator[list[Subject]]:
    """Collects the subjects of a page, which is written when the ``with`` block ends.

    It is written, too, when the block ends with one of nasexport's errors after something was judged: a page is most
    wanted where a verification failed. It takes its place whole or not at all.

    Args:
        path: where the page goes; it may replace a file. With None nothing is written.

    Raises:
        ArtifactError: it cannot be written; as far as that can be known, before the block begins.
    """
    subjects: list[Subject] = []
    if path is None:
        yield subjects
        return
    with _errors_told(path):
        staging.require_writable(path, follow_link=True)
    try:
        yield subjects
    except NasexportError:
        if subjects:
            write(path, subjects)
        raise
    write(path, subjects)


def write(path: Path, subjects: Sequence[Subject]) -> None:
    """Writes the page of ``subjects`` to ``path``, whole or not at all; a symbolic link stays one.

    Raises:
        ArtifactError: it cannot be written.
    """
    content = page(subjects).encode()
    with _errors_told(path):
        staging.write(path, content, follow_link=True)


def page(subjects: Sequence[Subject]) -> str:
    """The page of one or more subjects, in their order."""
    sections = [_section(f"a{index}", subject) for index, subject in enumerate(subjects, 1)]
    return templates.html(
        TEMPLATE,
        sections=sections,
        failed=[section for section in sections if not section["passed"]],
        plot_style=svg.STYLE,
        version=exporter.__version__,
        number=templates.number,
    )


def _section(key: str, subject: Subject) -> dict[str, Any]:
    report, metadata = subject.report, subject.metadata
    drawn, undrawn = _plots(key, report.measured)
    synthetic = _listed(metadata.source.synthetic) if metadata else ""
    if subject.evaluation is not None:
        drawn += evaluation_plots.evaluation(key, subject.evaluation)
    return {
        "key": key,
        "path": report.path,
        "subtitle": _subtitle(metadata),
        "passed": report.passed,
        "checks": [_row(f"{key}-c{index}", check) for index, check in enumerate(report.checks, 1)],
        "failures": sum(not check.passed for check in report.checks),
        # That the weights are synthetic is said apart, and louder.
        "notes": [note for note in report.notes if not synthetic or synthetic not in note],
        "synthetic": synthetic,
        "facts": _facts(report, metadata),
        "plots": drawn,
        "undrawn": undrawn,
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
    """The plots of a verification, and why there are not more of them."""
    if measured is None:
        return [], ["There are no plots: the artifact gave no outputs that could be compared."]
    drawn, undrawn = [], []
    tolerance = measured["tolerance"]
    if measured["end_points"]:
        drawn.append(verification_plots.end_points(f"{key}-end-points", measured["end_points"], tolerance))
    else:
        undrawn.append(
            "There is no plot of the differences by end point: only the output of this artifact was compared, "
            "not what goes on inside of the network."
        )
    if outputs := measured["outputs"]:
        compared = (outputs["name"], outputs["reference"], outputs["found"], tolerance)
        drawn.append(verification_plots.differences(f"{key}-differences", *compared))
        drawn.append(verification_plots.scatter(f"{key}-scatter", *compared))
    else:
        undrawn.append("There is no plot of the outputs: the artifact's have not the shape of the reference's.")
    return drawn, undrawn


def _facts(report: Report, metadata: Metadata | None) -> list[tuple[str, list[str]]]:
    """Where an artifact comes from and what it was compared with: labels, each with the lines that belong to it."""
    measured = report.measured or {}
    compared_with = measured.get("source")
    compared = _files(**compared_with) if compared_with else []
    judge = f"nasexport {exporter.__version__}"
    if "tensorflow" in measured:
        judge += f", TensorFlow {measured['tensorflow']}"
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
            "Options": [f"batch_norm_momentum {metadata.options.batch_norm_momentum}"],
            "Written by": [f"nasexport {tool.nasexport}, TensorFlow {tool.tensorflow}"],
        }
        if compared_with and compared_with["files"] == made_from.files:
            compared = ["the same files"]
    facts |= {"Compared with": compared, "Verified by": [judge]}
    return [(label, facts[label]) for label in _FACTS if facts.get(label)]


def _files(archive: str | None, archive_sha256: str | None, files: Mapping[str, str]) -> list[str]:
    lines = [f"{archive} sha256 {archive_sha256}"] if archive else []
    return lines + [f"{name} sha256 {digest}" for name, digest in sorted(files.items())]


def _listed(facts: Mapping[str, Any] | None) -> str:
    """A mapping in a line; empty where there is none."""
    return ", ".join(f"{key} {item}" for key, item in sorted((facts or {}).items()))


@contextlib.contextmanager
def _errors_told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ArtifactError(f"cannot write the report {path}: {error.strerror}") from error
