"""Matches the variables of two artifacts by name, also if all names of one have a prefix that the other's lack."""

from collections import Counter
from collections.abc import Iterable


def prefixes(first: Iterable[str], second: Iterable[str]) -> tuple[str, str]:
    """The prefixes to take off the names of either side so that most of them meet, such as ``("", "module/")``.

    A prefix is whole components that at least half of a side's names share. Both are empty where names meet as they
    are, or never do.
    """
    first, second = set(first), set(second)
    pairs = [(one, other) for one in _candidates(first) for other in _candidates(second)]
    # Shortest first: among equals, `max` takes the first.
    pairs.sort(key=lambda pair: len(pair[0]) + len(pair[1]))
    return max(pairs, key=lambda pair: len(_below(first, pair[0]) & _below(second, pair[1])))


def without(name: str, prefix: str) -> str:
    """A name without a prefix that `prefixes` found, or as it is."""
    return name.removeprefix(prefix)


def _candidates(names: set[str]) -> list[str]:
    counts: Counter[str] = Counter()
    for name in names:
        components = name.split("/")[:-1]
        counts.update("/".join(components[: end + 1]) + "/" for end in range(len(components)))
    shared = (prefix for prefix, count in counts.items() if 2 * count >= len(names))
    # Two names must not become one.
    return ["", *(prefix for prefix in shared if len(_below(names, prefix)) == len(names))]


def _below(names: set[str], prefix: str) -> set[str]:
    return {without(name, prefix) for name in names}
