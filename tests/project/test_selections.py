"""`make test` and `make test-all`: what each of them runs, and that no test is left out of both."""

import json
import os
import shlex
import subprocess
import sys

import pytest

from tests.support.command import CHECKOUT

#: Collects as pytest does with each list of arguments: the markers of tests that are chosen, and of those that are not.
COLLECT = """
import json, sys, pytest

class Plugin:
    def __init__(self):
        self.chosen, self.others = [], []
    def pytest_collection_finish(self, session):
        self.chosen += session.items
    def pytest_deselected(self, items):
        self.others += items

found = []
for arguments in json.loads(sys.argv[1]):
    plugin = Plugin()
    status = pytest.main([*arguments, "--collect-only", "--quiet", "--numprocesses=0", "--dist=no"], plugins=[plugin])
    assert status == 0
    found.append([{each.nodeid: sorted({mark.name for mark in each.iter_markers()}) for each in items}
                  for items in (plugin.chosen, plugin.others)])
print("\\n" + json.dumps(found))
"""

TARGETS = ("test", "test-all")

#: Of each test its markers.
Tests = dict[str, list[str]]


def _commands(target: str) -> list[list[str]]:
    """What ``make`` runs with pytest for a target: the arguments."""
    # Not what the make passes on that runs this test.
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    listed = subprocess.run(
        ["make", "--dry-run", target], cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=True
    )
    lines = [shlex.split(line) for line in listed.stdout.splitlines() if " -m pytest" in line]
    return [line[line.index("pytest") + 1 :] for line in lines]


@pytest.fixture(scope="module")
def collected() -> dict[str, tuple[Tests, Tests]]:
    """The tests that each target runs, and those that it leaves out."""
    commands = {target: _commands(target) for target in TARGETS}
    assert [len(each) for each in commands.values()] == [1, 1]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    command = [sys.executable, "-c", COLLECT, json.dumps([arguments for (arguments,) in commands.values()])]
    done = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    return {target: (chosen, others) for target, (chosen, others) in zip(TARGETS, found, strict=True)}


@pytest.mark.long
def test_nothing_is_left_out_of_both(collected: dict[str, tuple[Tests, Tests]]) -> None:
    (quick, left_out), (everything, never) = collected.values()
    assert len(quick) > 900
    assert never == {}
    assert quick | left_out == everything
    assert not quick.keys() & left_out.keys()


@pytest.mark.long
def test_what_make_test_leaves_out_is_what_contributors_are_told(collected: dict[str, tuple[Tests, Tests]]) -> None:
    quick, left_out = collected["test"]
    slow = {"full", "readers", "breaks", "more_stops", "long"}
    assert all(slow & set(markers) for markers in left_out.values())
    assert not any(slow & set(markers) for markers in quick.values())


@pytest.mark.long
def test_every_marker_is_used(collected: dict[str, tuple[Tests, Tests]], pytestconfig: pytest.Config) -> None:
    own = {line.split(":")[0] for line in pytestconfig.getini("markers")} & {
        "full", "readers", "breaks", "stops", "more_stops", "long", "browser",
    }  # fmt: skip
    everything, _ = collected["test-all"]
    assert len(own) == 7
    assert own <= {marker for markers in everything.values() for marker in markers}


def test_ci_runs_all() -> None:
    calls = [line for line in (CHECKOUT / ".ci" / "run").read_text().splitlines() if line.startswith("make ")]
    assert [shlex.split(line)[1] for line in calls] == ["test-all"]
