"""`make test` and `make test-all`: what each of them runs, and that no test is left out of both."""

import functools
import json
import os
import shlex
import subprocess
import sys

import pytest

from tests.support.command import CHECKOUT

#: Collects as pytest with these arguments does: the markers of each test that is chosen, and of each that is not.
COLLECT = """
import json, sys, pytest

class Plugin:
    def __init__(self):
        self.chosen, self.others = [], []
    def pytest_collection_finish(self, session):
        self.chosen += session.items
    def pytest_deselected(self, items):
        self.others += items

plugin = Plugin()
status = pytest.main([*sys.argv[1:], "--collect-only", "--quiet", "--numprocesses=0", "--dist=no"], plugins=[plugin])
both = [{each.nodeid: sorted({mark.name for mark in each.iter_markers()}) for each in items}
        for items in (plugin.chosen, plugin.others)]
print("\\n" + json.dumps([int(status), *both]))
"""

#: Of each test its markers.
Tests = dict[str, list[str]]


def _commands(target: str) -> list[list[str]]:
    """What ``make`` runs with pytest for a target: the arguments."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    listed = subprocess.run(
        ["make", "--dry-run", target], cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=True
    )
    lines = [shlex.split(line) for line in listed.stdout.splitlines() if " -m pytest" in line]
    return [line[line.index("pytest") + 1 :] for line in lines]


@functools.cache
def _collected(target: str) -> tuple[Tests, Tests]:
    """The tests that a target runs, and those that it leaves out."""
    (arguments,) = _commands(target)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    command = [sys.executable, "-c", COLLECT, *arguments]
    done = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=True)
    status, chosen, others = json.loads(done.stdout.splitlines()[-1])
    assert status == 0, done.stdout
    return chosen, others


def test_nothing_is_left_out_of_both() -> None:
    (quick, left_out), (everything, never) = _collected("test"), _collected("test-all")
    assert len(quick) > 900
    assert never == {}
    assert quick | left_out == everything
    assert not quick.keys() & left_out.keys()


def test_what_make_test_leaves_out_is_what_the_readme_says() -> None:
    quick, left_out = _collected("test")
    dear = {"full", "readers", "breaks"}
    assert all(dear & set(markers) for markers in left_out.values())
    assert not any(dear & set(markers) for markers in quick.values())


def test_every_marker_is_used(pytestconfig: pytest.Config) -> None:
    own = {line.split(":")[0] for line in pytestconfig.getini("markers")} & {
        "full", "readers", "breaks", "stops", "browser",
    }  # fmt: skip
    everything, _ = _collected("test-all")
    assert len(own) == 5
    assert own <= {marker for markers in everything.values() for marker in markers}


def test_ci_runs_all() -> None:
    calls = [line for line in (CHECKOUT / ".ci" / "run").read_text().splitlines() if line.startswith("make ")]
    assert [shlex.split(line)[1] for line in calls] == ["test-all"]
