"""What is printed of artifacts: a line for each, all that failed with its likely cause, and colours on terminals."""

import math
import os
import pty
import re
import subprocess
import sys
from collections.abc import Mapping

import pytest

from exporter.cli import verdicts
from exporter.terminal import counted
from exporter.verification.causes import likely_cause
from exporter.verification.results import Check, Report, number
from tests.support.command import CHECKOUT

NAMED = Check("variables named differently", 0, 0, "1126 variables")
OUTPUT = Check("output, relative difference", 1.44e-5, 1e-4, "float32 [3, 1001]")
LOSS = Check("regularization losses, relative difference", 1e-5, 1e-4)
SHARES = Check("shares kept, distance in standard errors", 3.5, 4.89)
CHANGED = Check("variables with other values", 1126, 0, "differs first in conv0/weights")
WRONG = Check("output, relative difference", math.nan, 1e-4)
NOTE = "compared with a recorded reference (x)"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (1126, "1,126"), (1.126e3, "1,126"), (0.0001, "0.0001"), (1.44e-5, "1.44e-05"), (4.891, "4.89")],
)
def test_a_count_has_all_its_digits(value: float, text: str) -> None:
    assert number(value) == text
    assert number(-value) == (text if value == 0 else f"-{text}")


@pytest.mark.parametrize("value", [math.nan, math.inf, 1e300])
def test_what_is_no_count_is_short(value: float) -> None:
    assert len(number(value)) <= 8


def test_an_artifact_has_a_line() -> None:
    passed = Report("a/4", (NAMED, OUTPUT, LOSS, SHARES), (NOTE,))
    assert verdicts.verified([passed], verbose=False).splitlines() == [
        "ok    a/4  4 checks, largest difference 1.4e-05",
        f"note  {NOTE}",
    ]
    assert verdicts.verified([Report("a/4", (NAMED,))], verbose=False) == "ok    a/4  1 check"


def test_what_failed_is_told_in_full_after_its_likely_cause() -> None:
    failed = Report("long/name/5", (NAMED, CHANGED, WRONG), (NOTE, "own"), None, "another checkpoint")
    passed = Report("a/4", (OUTPUT,), (NOTE,))
    assert verdicts.verified([passed, failed], verbose=False).splitlines() == [
        "ok    a/4          1 check, largest difference 1.4e-05",
        "FAIL  long/name/5  2 of 3 checks FAILED",
        "  likely cause: another checkpoint",
        f"  {CHANGED}",
        f"  {WRONG}",
        "  note own",
        f"note  {NOTE}",
        "1 of 2 artifacts FAILED",
    ]
    assert verdicts.verified([passed, passed], verbose=False).splitlines()[-1] == "all 2 artifacts passed"


def test_every_check_is_in_columns_where_that_is_asked_for() -> None:
    _, *table = verdicts.verified([Report("a", (NAMED, CHANGED, OUTPUT, WRONG))], verbose=True).splitlines()
    assert table == [
        "  ok   variables named differently         0  at most 0       1126 variables",
        "  FAIL variables with other values     1,126  at most 0       differs first in conv0/weights",
        "  ok   output, relative difference  1.44e-05  at most 0.0001  float32 [3, 1001]",
        "  FAIL output, relative difference       nan  at most 0.0001",
    ]


@pytest.mark.parametrize(
    ("checks", "said"),
    [
        ((NAMED, CHANGED, WRONG), "1,126 of 1,126 variables have other values than in x.ckpt: .*another checkpoint"),
        ((NAMED, CHANGED, OUTPUT), "computes the same: they were most likely rounded"),
        ((Check(NAMED.name, 2000, 0), CHANGED, WRONG), "hardly a variable has the name .* in net: .*another network"),
        ((NAMED, Check(CHANGED.name, 2, 0), WRONG), "^$"),
        ((NAMED, OUTPUT), "^$"),
        ((Check("loads and runs", math.nan, 0),), "^$"),
    ],
)
def test_the_likely_cause_of_what_failed(checks: tuple[Check, ...], said: str) -> None:
    assert re.search(said, likely_cause(checks, 1126, "net", "x.ckpt"))


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0 archives"), (1, "1 archive"), (2, "2 archives"), (1126, "1,126 archives")]
)
def test_one_is_no_plural(count: int, said: str) -> None:
    assert counted(count, "archive") == said


def _sent(variables: Mapping[str, str]) -> str:
    """What a terminal on standard error is sent of a line that failed."""
    terminal, end = pty.openpty()
    program = "from exporter.cli.options import print_text; print_text('FAIL  a\\n  ok   b ok c', err=True)"
    env = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "FORCE_COLOR")}
    env |= {"TERM": "xterm-256color", "PYTHONPATH": str(CHECKOUT), **variables}
    subprocess.run([sys.executable, "-c", program], env=env, stderr=end, check=True)
    os.close(end)
    sent = os.read(terminal, 4096).decode().replace("\r", "")
    os.close(terminal)
    return sent


def test_verdicts_have_colours_on_terminals_that_want_them() -> None:
    assert _sent({}) == "\x1b[31m\x1b[1mFAIL\x1b[0m  a\n  \x1b[32mok\x1b[0m   b ok c\n"
    for variables in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        assert _sent(variables) == "FAIL  a\n  ok   b ok c\n"
