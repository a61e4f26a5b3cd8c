"""The order of tests: what takes long comes first, so that a run ends evenly in all its processes."""

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

#: Markers of tests that may take long.
LONG = ("full", "readers", "breaks", "stops", "long")


def one_in_make_test(values: Iterable[Any]) -> list[Any]:
    """The values of a parameter, or tuples of them: `make test` takes the first alone, `make test-all` all."""
    first, *others = values
    parts = (value if isinstance(value, tuple) else (value,) for value in others)
    return [first, *(pytest.param(*part, marks=pytest.mark.more_stops) for part in parts)]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Once tests are chosen, orders those that are: modules with long ones first, in the share of each process.

    pytest-xdist gives each of its processes an equal part of the list to begin with.
    """
    processes = getattr(config, "workerinput", {}).get("workercount", 1)
    modules: dict[Path, list[pytest.Item]] = {}
    for item in items:
        modules.setdefault(item.path, []).append(item)
    long: list[list[pytest.Item]] = []
    short: list[list[pytest.Item]] = []
    for tests in modules.values():
        takes_long = any(item.get_closest_marker(name) for name in LONG for item in tests)
        (long if takes_long else short).append(tests)
    others = itertools.chain.from_iterable(short)
    share = -(-len(items) // processes)
    ordered: list[pytest.Item] = []
    for number in range(processes):
        own = [item for tests in long[number::processes] for item in tests]
        ordered += [*own, *itertools.islice(others, max(share - len(own), 0))]
    items[:] = [*ordered, *others]
