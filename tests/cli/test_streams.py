"""Standard streams that are closed, full, or read by nobody: no work is lost, and no lost output goes unseen."""

import shlex
import subprocess
from pathlib import Path

import pytest

from tests.support.command import TIMEOUT, Command, Result, artifact_folder, files_below, refusal, succeeded


def _in_shell(command: Command, line: str, *args: object) -> Result:
    """Runs a command in a line of shell; ``{command}`` stands for it."""
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line.format(command=shlex.join(command.arguments(*args)))}"],
        cwd=command.cwd,
        env=command.env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )


@pytest.mark.long
@pytest.mark.parametrize("redirection", ["2>/dev/full", "0<&- 2>&-"])
def test_a_build_does_not_need_standard_error(
    own_cli: Command, tiny: Path, tiny_checkpoint: Path, tiny_artifacts: Path, redirection: str
) -> None:
    args = ("build", tiny, "--task", "feature_vector", "--no-verify", "--version", 5, "--checkpoint", tiny_checkpoint)
    # What is opened next gets the number of a stream that is closed: only then it matters how a worker is started.
    cli = own_cli.with_forked_workers() if "/dev/full" in redirection else own_cli
    result = succeeded(_in_shell(cli, "{command} " + redirection, *args))
    target = artifact_folder(own_cli.cwd / "dist", "tiny_nasnet", "feature_vector", 5)
    assert result.stdout == f"{target.relative_to(own_cli.cwd)}\n"
    expected = artifact_folder(tiny_artifacts, "tiny_nasnet", "feature_vector", 5)
    assert files_below(target) == files_below(expected)
    for name in files_below(target):
        # Nothing that a library prints was written into a file that has the number of the closed stream.
        assert (target / name).is_dir() or (target / name).read_bytes() == (expected / name).read_bytes()


@pytest.mark.long
@pytest.mark.parametrize(
    ("redirection", "reason"), [(">/dev/full", "No space left on device"), (">&-", "it is closed")]
)
def test_output_that_is_lost_is_told_and_the_artifact_stays(
    own_cli: Command, tiny: Path, tiny_checkpoint: Path, redirection: str, reason: str
) -> None:
    args = ("build", tiny, "--task", "feature_vector", "--no-verify", "--checkpoint", tiny_checkpoint)
    cli = own_cli.with_forked_workers() if "/dev/full" in redirection else own_cli
    result = _in_shell(cli, "{command} " + redirection, *args)
    assert refusal(result, 3) == f"cannot write to standard output: {reason}"
    assert artifact_folder(own_cli.cwd / "dist", "tiny_nasnet", "feature_vector", 4).is_dir()
    assert files_below(own_cli.temporary) == []


@pytest.mark.parametrize("args", [("models",), ("models", "--json"), ("cache", "path"), ("--help",), ("--version",)])
def test_every_output_that_is_lost_is_told(own_cli: Command, args: tuple[str, ...]) -> None:
    for redirection, reason in ((">/dev/full", "No space left on device"), (">&-", "it is closed")):
        result = _in_shell(own_cli, "{command} " + redirection, *args)
        assert refusal(result, 3) == f"cannot write to standard output: {reason}"
        # With nowhere left to say so, the status still does.
        assert _in_shell(own_cli, "{command} 2>&- " + redirection, *args).returncode == 3


def test_a_reader_that_has_seen_enough_is_no_error(own_cli: Command) -> None:
    result = _in_shell(own_cli, "{command} | true", "models", "--json")
    assert (result.returncode, result.stderr) == (141, "")
    result = _in_shell(own_cli, "{command} | head -c 5", "models", "--json")
    assert result.stdout == "[\n  {"[:5] and result.stderr == ""


def test_messages_that_nobody_reads_are_no_error(own_cli: Command) -> None:
    result = _in_shell(own_cli, "{command} 2> >(true)", "build", "nasnet_huge")
    assert result.returncode == 2
    assert _in_shell(own_cli, "{command} 2>/dev/full", "build").returncode == 2
    assert _in_shell(own_cli, "{command} 2>&-", "inspect", "absent").returncode == 3


def test_a_name_that_is_not_text_is_printed_as_it_is(own_cli: Command) -> None:
    strange = own_cli.with_variables(NASEXPORT_CACHE_DIR="\udcff-cache")
    result = subprocess.run(
        strange.arguments("cache", "path"), cwd=own_cli.cwd, env=strange.env, capture_output=True, check=False
    )
    assert (result.returncode, result.stdout) == (0, b"\xff-cache\n")
