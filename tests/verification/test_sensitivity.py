"""What `nasexport verify` is there for: every break of `tests.support.breaks` is caught, by the check that names it."""

import json
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.breaks import ARTIFACTS, BREAKS, CONFIG, table
from tests.support.broken import Break, kind
from tests.support.command import CHECKOUT, Command, artifact_folder, succeeded
from tests.support.shared import Store

pytestmark = pytest.mark.breaks

PAGE = CHECKOUT / "docs" / "explanation" / "verification.md"
_FIRST_DIVERGENT = "first divergent end point: "

#: The checks of an artifact by name.
Checks = Mapping[str, Any]


@pytest.fixture(scope="module")
def verified(cli: Command, of_this_run: Store) -> list[Checks]:
    """The checks of each of `ARTIFACTS`; all are written, then verified, in two runs at a time."""

    def make(folder: Path) -> None:
        (folder / "reports.json").write_text(json.dumps(_verified(cli, folder)), encoding="utf-8")

    return json.loads((of_this_run.made("breaks", make) / "reports.json").read_text(encoding="utf-8"))


def _verified(cli: Command, folder: Path) -> list[Checks]:
    command = cli.with_variables(TF_ENABLE_ONEDNN_OPTS="0")
    config, prefix, output = folder / "broken.yaml", folder / "model.ckpt", folder / "good"
    config.write_text(yaml.safe_dump(CONFIG), encoding="utf-8")
    succeeded(command("synth", config, "--layout", "training", "--output", prefix))
    options = ("--checkpoint", prefix, "--task", "classification", "--no-verify", "--output", output)
    succeeded(command("build", config, *options))
    good = artifact_folder(output, "broken_nasnet", "classification", 4)

    def verify(numbers: range) -> list[Any]:
        writer = [sys.executable, "-m", "tests.support.breaks", good, prefix, folder, *numbers]
        environment = {**command.env, "TF_CPP_MIN_LOG_LEVEL": "3"}
        written = subprocess.run(
            list(map(str, writer)), cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False
        )
        assert written.returncode == 0, written.stderr[-4000:]
        result = command("verify", *(folder / str(number) for number in numbers), "--checkpoint", prefix, "--json")
        assert result.returncode == 1, result.stderr
        return json.loads(result.stdout)

    halves = [range(start, len(ARTIFACTS), 2) for start in (0, 1)]
    with ThreadPoolExecutor(len(halves)) as pool:
        reports = [report for half in pool.map(verify, halves) for report in half]
    by_number = {int(Path(report["path"]).name): report["checks"] for report in reports}
    return [{check["name"]: check for check in by_number[number]} for number in range(len(ARTIFACTS))]


def _failed(checks: Checks) -> dict[str, Any]:
    return {name: check for name, check in checks.items() if not check["passed"]}


def test_breaks_that_share_an_artifact_cannot_be_taken_for_each_other() -> None:
    for breaks in ARTIFACTS:
        for one, other in combinations(breaks, 2):
            assert one.artifact == other.artifact
            assert kind(one.check) != kind(other.check)
            assert kind(one.check) not in other.also and kind(other.check) not in one.also


@pytest.mark.parametrize("wrong", BREAKS, ids=lambda wrong: wrong.what)
def test_a_break_is_caught_by_the_check_that_names_it(wrong: Break, verified: list[Checks]) -> None:
    (number,) = (number for number, breaks in enumerate(ARTIFACTS) if wrong in breaks)
    failed = _failed(verified[number])
    assert wrong.check in failed, f"it escapes: only {sorted(failed)} failed"
    assert wrong.said in failed[wrong.check]["detail"]


@pytest.mark.parametrize("number", range(len(ARTIFACTS)))
def test_what_has_nothing_to_do_with_a_break_passes(number: int, verified: list[Checks]) -> None:
    breaks = ARTIFACTS[number]
    expected = {wrong.check for wrong in breaks}
    kinds = {kind for wrong in breaks for kind in wrong.also}
    others = [check for check in _failed(verified[number]).values() if check["name"] not in expected]
    assert [check for check in others if kind(check["name"]) not in kinds] == []


@pytest.mark.parametrize("number", range(len(ARTIFACTS)))
def test_the_end_point_in_which_a_break_begins_is_named(number: int, verified: list[Checks]) -> None:
    begins = {wrong.begins for wrong in ARTIFACTS[number] if wrong.begins}
    details = [check["detail"] for name, check in verified[number].items() if kind(name) == "inference"]
    first = {detail.split(_FIRST_DIVERGENT)[1] for detail in details if _FIRST_DIVERGENT in detail}
    # Those of a TF1 Hub module begin with the name of the model.
    assert {name.rpartition("/")[2] for name in first} == begins


def test_every_check_passes_where_nothing_is_wrong_with_it(verified: list[Checks]) -> None:
    # These are there only where they fail.
    failures = ("loads and runs", ", shape and type")
    names = {name for checks in verified for name in checks if not name.endswith(failures)}
    # Inference is wrong in all that have this signature; other tests have right ones.
    names = {name for name in names if not name.startswith("signature/")}
    passed = {name for checks in verified for name, check in checks.items() if check["passed"]}
    assert names <= passed


def test_the_page_has_the_table_of_breaks() -> None:
    assert table() in PAGE.read_text(encoding="utf-8"), "put the output of `python -m tests.support.breaks` there"
