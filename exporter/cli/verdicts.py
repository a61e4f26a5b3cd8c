"""What is printed of artifacts that were built or verified: a line for each, failures in full, a table where asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from exporter.files import tree
from exporter.models.config import short_name
from exporter.terminal import counted, joined
from exporter.validation import to_plain
from exporter.verification.results import Check, Report, number

if TYPE_CHECKING:
    # They import NumPy, which is a part of the time that `nasexport --help` takes.
    from exporter.build import Artifact

#: The most characters of a column of paths: a long one must not push what is said of all others out of sight.
_WIDEST = 80


def megabytes(size: int) -> str:
    """A size for people: in megabytes, small ones to the tenth."""
    return f"{size / 1e6:,.1f} MB" if size < 10e6 else f"{size / 1e6:,.0f} MB"


def check_table(checks: Sequence[Check]) -> list[str]:
    """A line for each check, in columns: the verdict, its name, what was measured, the most allowed, and details."""
    rows = [(check, number(check.figure), number(check.tolerance)) for check in checks]
    names = max((len(check.name) for check in checks), default=0)
    figures = max((len(figure) for _, figure, _ in rows), default=0)
    tolerances = max((len(tolerance) for _, _, tolerance in rows), default=0)
    return [
        f"  {'ok  ' if check.passed else 'FAIL'} {check.name:<{names}}  {figure:>{figures}}  "
        f"at most {tolerance:<{tolerances}}  {check.detail}".rstrip()
        for check, figure, tolerance in rows
    ]


def report_lines(name: str, report: Report, facts: Sequence[str] = (), *, verbose: bool) -> list[str]:
    """The line of an artifact that was verified; what failed, all of it, with its likely cause; or with ``verbose``
    every check.

    Args:
        name: what to call it, padded to the width of a column.
        facts: what else to say of one that passed.
    """
    lines = [f"{'ok  ' if report.passed else 'FAIL'}  {name}  {', '.join([_summary(report), *facts])}"]
    if report.likely_cause:
        lines.append(f"  likely cause: {report.likely_cause}")
    return lines + (check_table(report.checks) if verbose else [f"  {check}" for check in report.failed])


def _summary(report: Report) -> str:
    total = counted(len(report.checks), "check")
    if not report.passed:
        return f"{len(report.failed)} of {total} FAILED"
    differences = [check.figure for check in report.checks if check.is_difference]
    return f"{total}, largest difference {max(differences):.2g}" if differences else total


def built(artifact: Artifact, width: int, *, verbose: bool) -> str:
    """The lines of an artifact that is in its place; ``width`` is that of the column of names."""
    metadata, report = artifact.metadata, artifact.report
    facts = ["kept, the same as would be written"] if artifact.kept else []
    if report is None:
        facts.append("verified before" if metadata.verification else "NOT verified")
    if metadata.source.synthetic:
        facts.append("from a SYNTHETIC checkpoint")
    facts.append(megabytes(tree.size(artifact.path)))
    if report or not artifact.kept:
        facts.append(f"{artifact.seconds:.0f} s")
    name = f"{short_name(metadata.model.name, metadata.task, metadata.version):<{width}}"
    if report is None:
        lines = [f"{'ok  ' if metadata.verification else 'made'}  {name}  {', '.join(facts)}"]
    else:
        lines = report_lines(name, report, facts, verbose=verbose)
    if verbose:
        averages = metadata.source.variables_from_averages
        of_averages = f", {averages:,} variables from their averages" if averages else ""
        lines.append(f"  from {metadata.source.archive or 'files'} ({metadata.source.layout} layout{of_averages})")
    return joined(lines)


def built_row(artifact: Artifact) -> dict[str, Any]:
    """The same as a JSON-ready row."""
    metadata, report = artifact.metadata, artifact.report
    return {
        "path": str(artifact.path),
        "handle": artifact.handle,
        "model": metadata.model.name,
        "task": metadata.task,
        "version": metadata.version,
        "format": metadata.format,
        "state": "kept" if artifact.kept else "written",
        "verified": metadata.verification is not None,
        "source": to_plain(metadata.source),
        "bytes": tree.size(artifact.path),
        "seconds": round(artifact.seconds, 3),
        **_checks(report),
    }


def failed_row(report: Report) -> dict[str, Any]:
    """The row of an artifact that was not written, since its verification failed; ``path`` is where it would be."""
    return {"path": report.path, "state": "failed", "verified": False, **_checks(report)}


def _checks(report: Report | None) -> dict[str, Any]:
    """The checks of a row: None where nothing was checked now."""
    if report is None:
        return {"checks": None, "likely_cause": None, "notes": []}
    found = report.to_dict()
    return {name: found[name] for name in ("checks", "likely_cause", "notes")}


def verified(reports: Sequence[Report], *, verbose: bool) -> str:
    """The lines of artifacts that were verified, then the notes that all of them have, and what came out of it all."""
    shared = [note for note in reports[0].notes if all(note in report.notes for report in reports)]
    width = min(max(len(report.path) for report in reports), _WIDEST)
    lines = []
    for report in reports:
        lines += report_lines(f"{report.path:<{width}}", report, verbose=verbose)
        lines += [f"  note {note}" for note in report.notes if note not in shared]
    lines += [f"note  {note}" for note in shared]
    failed = sum(not report.passed for report in reports)
    if len(reports) > 1:
        lines.append(
            f"{failed} of {len(reports)} artifacts FAILED" if failed else f"all {len(reports)} artifacts passed"
        )
    return joined(lines)
