"""`release merge` that is killed, or whose disk fails, at any of its operations: repeated, it gives the same bytes."""

import random
import shutil
import signal
from pathlib import Path

import pytest

from tests.support import file_operations
from tests.support.command import Command, Result, files_below, refusal, succeeded
from tests.support.file_operations import KILL
from tests.support.small_release import hashes

#: Of some two hundred moments.
MOMENTS = 6


@pytest.mark.long
@pytest.mark.stops
@pytest.mark.parametrize("action", [KILL, "ENOSPC", "EIO"])
def test_a_merge_that_is_cut_off_at_any_moment_is_repeated(
    own_cli: Command, parts: list[Path], released: tuple[Path, Result], action: str
) -> None:
    whole = own_cli.cwd / "whole"
    args = ("release", "merge", *parts, "--output", "whole")
    moments = file_operations.count(own_cli, whole, *args)
    assert hashes(whole) == hashes(released[0])
    chance = random.Random(action)
    for number in range(MOMENTS):
        if number % 2 == 0:
            shutil.rmtree(whole)
        result = file_operations.run(own_cli, action, chance.randint(1, moments), whole, *args)
        if action == KILL:
            assert result.returncode in (-signal.SIGKILL, 0)
        elif result.returncode:
            assert "fault of nasexport" not in refusal(result, 3)
        succeeded(own_cli(*args))
        assert hashes(whole) == hashes(released[0])
        assert not [name for name in files_below(whole) if "/." in name or name.startswith(".")]
