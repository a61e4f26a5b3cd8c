"""Which artifacts of a model are verified one after the other: what they have in common is verified once."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from exporter.models.config import TASKS
from exporter.models.formats import FORMATS
from exporter.release.plan import Planned


@dataclass(frozen=True)
class Chains:
    """The artifacts to begin with, and those that follow an artifact, by its handle."""

    first: list[Planned]
    following: dict[str, list[Planned]]


def chains(planned: Sequence[Planned]) -> Chains:
    """Puts versions of one task and format after each other, and with some formats both tasks, too."""
    groups: dict[tuple[str, str], list[Planned]] = {}
    for each in planned:
        groups.setdefault((each.target.format, each.target.task), []).append(each)
    pairs = [pair for group in groups.values() for pair in itertools.pairwise(group)]
    first = {key: group[0] for key, group in groups.items()}
    for name in [name for name, spec in FORMATS.items() if spec.shares_between_tasks]:
        of_tasks = [(name, task) for task in TASKS if (name, task) in first]
        pairs += [(first[of_tasks[0]], first.pop(key)) for key in of_tasks[1:]]
    following: dict[str, list[Planned]] = {}
    for before, after in pairs:
        following.setdefault(before.target.place.handle, []).append(after)
    return Chains(list(first.values()), following)
