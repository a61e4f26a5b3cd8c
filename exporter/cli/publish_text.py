"""The text that ``release publish`` prints."""

from collections.abc import Sequence

from exporter.publishing.plan import Plan, Planned, State, removable
from exporter.terminal import counted, joined

_SENT: tuple[State, ...] = ("new", "changed")
_STATES: tuple[State, ...] = (*_SENT, "same", "left", "removed")


def plan(plans: Sequence[Plan]) -> str:
    """For each target a line for each artifact and each of the other files, then what is to be done."""
    lines: list[str] = []
    for each in plans:
        lines += _of_target(each)
    return joined(lines)


def _of_target(plan: Plan) -> list[str]:
    groups: dict[str, list[Planned]] = {}
    for file in plan.files:
        groups.setdefault(removable(file.path) or file.path, []).append(file)
    width = max(map(len, groups), default=0)
    lines = [f"{name:<{width}}  {_states(files)}" for name, files in groups.items()]
    left = list(dict.fromkeys(removable(file.path) or file.path for file in plan.in_state("left")))
    if left:
        named = " ".join(f"--remove {name}" for name in left)
        lines.append(f"left there, and no part of this release: to remove it, pass {named}")
    sent = plan.in_state(*_SENT)
    todo = [f"{counted(len(sent), 'file')} to send, {_megabytes(sent)}"] if sent else []
    todo += [f"{counted(len(removed), 'file')} to remove"] if (removed := plan.in_state("removed")) else []
    todo += plan.steps
    return [*lines, f"{plan.shown}: {', '.join(todo) or 'nothing to do, all of it is there'}"]


def done(plans: Sequence[Plan]) -> str:
    """A line for each target, after all that was planned is done."""
    lines = []
    for each in plans:
        sent, removed = each.in_state(*_SENT), each.in_state("removed")
        facts = [f"{counted(len(sent), 'file')} sent and read back, {_megabytes(sent)}"] if sent else []
        facts += [f"{counted(len(removed), 'file')} removed"] if removed else []
        facts += [f"{counted(len(same), 'file')} there before"] if (same := each.in_state("same")) else []
        lines.append(f"{each.shown}: {', '.join(facts)}")
    return joined(lines)


def _states(files: Sequence[Planned]) -> str:
    counts = [(state, sum(file.state == state for file in files)) for state in _STATES]
    there = [(state, number) for state, number in counts if number]
    if len(there) == 1:
        return f"{there[0][0]:<8} {_megabytes(files)}"
    return ", ".join(f"{number} {state}" for state, number in there) + f", {_megabytes(files)}"


def _megabytes(files: Sequence[Planned]) -> str:
    size = sum(file.size for file in files)
    return f"{size / 1e6:,.1f} MB" if size >= 50_000 else f"{size:,} bytes"
