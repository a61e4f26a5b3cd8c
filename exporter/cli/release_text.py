"""The text that the commands about releases print."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from exporter.release.plan import Planned
from exporter.release.tasks import Outcome
from exporter.terminal import counted, joined
from exporter.verification.results import Check, Report


def plan(planned: Sequence[Planned]) -> str:
    """A line for each artifact, then the number of artifacts in each state."""
    width = max((len(each.target.place.handle) for each in planned), default=0)
    lines = [
        f"{each.target.place.handle:<{width}}  {each.target.format:<13}  {each.state}"
        + (f" ({each.reason})" if each.reason else "")
        for each in planned
    ]
    return joined([*lines, _counted(each.state for each in planned)])


def outcome(release: Path, result: Outcome) -> str:
    """A line for each artifact, why any failed, the peak memory of each kind of process, and the state of the release.

    What several have failed of is said once, after all of them.
    """
    width = max((len(made.handle) for made in result.made), default=0)
    shared = Counter(made.reason for made in result.made if made.reason)
    lines = []
    for made in result.made:
        seconds = f"{made.seconds:6.1f} s" if made.seconds else ""
        verdict = "FAIL" if made.state == "failed" else "ok  "
        lines.append(f"{verdict}  {made.handle:<{width}}  {made.state:<6} {seconds}".rstrip())
        if shared[made.reason] == 1:
            lines += [f"  {line}" for line in made.reason.splitlines()]
    for reason, times in shared.items():
        if times > 1:
            first, *more = reason.splitlines()
            lines += [f"{times} failed: {first}", *(f"  {line}" for line in more)]
    lines += [
        f"largest {job.replace('_', ' ')} process of {model}: {peak / 1e9:.2f} GB"
        for (model, job), peak in sorted(result.peaks.items())
    ]
    lines.append(f"{_counted(made.state for made in result.made)}, {result.seconds:.0f} s")
    lines.append(f"{release} " + ("has no manifest: artifacts FAILED" if result.failed else "is complete"))
    return joined(lines)


def verification(release: Path, checks: Sequence[Check], reports: Sequence[Report], signed: str) -> str:
    """The checks of the files, a line for each artifact with its failed checks, who signed it, and the verdict."""
    lines = [str(check) for check in checks]
    for report in reports:
        failed = [check for check in report.checks if not check.passed]
        lines.append(f"{'FAIL' if failed else 'ok  '} {report.path}: {counted(len(report.checks), 'check')}")
        lines += [f"  {check}" for check in failed]
    failures = sum(not check.passed for check in checks) + sum(not report.passed for report in reports)
    verdict = (
        f"{failures} FAILED" if failures else "all checks passed" if reports else "all files passed; no model was run"
    )
    return joined([*lines, signed, f"{release}: {verdict}"])


def _counted(states: Iterable[str]) -> str:
    states = list(states)
    return ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states)) or "nothing to make"
