"""Which artifacts of a model are verified one after the other: what they have in common is verified once."""

import itertools
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from exporter.models.config import TASKS, Task
from exporter.models.formats import FormatSpec

#: What an artifact is known by: a path, a handle, a task.
Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Chains(Generic[Key]):
    """The artifacts to begin with, and those that follow an artifact."""

    first: Sequence[Key]
    following: Mapping[Key, Sequence[Key]]

    def length(self, key: Key) -> int:
        """How many artifacts are verified one after the other at least, from this one on."""
        return 1 + max(map(self.length, self.following.get(key, ())), default=0)


def chains(artifacts: Mapping[Key, tuple[FormatSpec, Task]]) -> Chains[Key]:
    """Puts versions of one task and format after each other, and with some formats both tasks, too."""
    groups: dict[tuple[str, Task], list[Key]] = {}
    for key, (spec, task) in artifacts.items():
        groups.setdefault((spec.name, task), []).append(key)
    pairs = [pair for group in groups.values() for pair in itertools.pairwise(group)]
    first = {place: group[0] for place, group in groups.items()}
    for name in {spec.name for spec, _ in artifacts.values() if spec.shares_between_tasks}:
        of_tasks = [(name, task) for task in TASKS if (name, task) in first]
        pairs += [(first[of_tasks[0]], first.pop(place)) for place in of_tasks[1:]]
    following: dict[Key, list[Key]] = {}
    for before, after in pairs:
        following.setdefault(before, []).append(after)
    return Chains(list(first.values()), following)
