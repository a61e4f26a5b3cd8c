"""The command line itself: what it prints where, its exit status, and how it refuses wrong usage."""

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

import exporter
from exporter.models.config import models
from tests.support.command import CHECKOUT, Command, files_below, refusal, succeeded

COMMANDS = ("models", "build", "synth", "verify", "inspect", "diff", "predict", "evaluate")


def test_help_lists_the_commands(cli: Command) -> None:
    text = succeeded(cli("--help")).stdout
    assert text.startswith("Usage: nasexport ")
    for command in COMMANDS:
        assert re.search(rf"^  {command} +\w", text, re.MULTILINE)
    assert succeeded(cli("--version")).stdout == f"nasexport, version {exporter.__version__}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(cli: Command, command: str) -> None:
    result = succeeded(cli(command, "--help"))
    assert result.stdout.startswith(f"Usage: nasexport {command} ")
    assert result.stderr == ""


def test_models_as_json(cli: Command) -> None:
    rows = json.loads(succeeded(cli("models", "--json")).stdout)
    assert [row["name"] for row in rows] == list(models())
    large = next(row for row in rows if row["name"] == "nasnet_large")
    assert large["tasks"] == ["classification", "feature_vector"]
    published = [{"version": version, "format": "hub" if version < 4 else "saved_model_2"} for version in (1, 3, 4, 5)]
    unnumbered = [{"version": name, "format": name} for name in ("onnx", "keras", "timm", "litert", "pytorch")]
    assert large["versions"] == [*published, *unnumbered]
    assert (large["image_size"], large["features"], large["classes"]) == (331, 4032, 1001)
    assert large["parameters"] == {"classification": 88_953_851, "feature_vector": 84_916_818}
    assert large["accuracy"] == {"top_1": 82.7, "top_5": 96.2}
    assert (large["checkpoint"], large["cached"]) == ("nasnet-a_large_04_10_2017", None)


def test_models_as_text(cli: Command) -> None:
    result = succeeded(cli("models"))
    assert result.stderr == ""
    blocks = {block.split(":")[0]: block for block in result.stdout.strip().split("\n\n")}
    assert list(blocks) == list(models())
    for said in ("1, 3 (hub); 4, 5 (saved_model_2)", "224 x 224", "5,327,773 (classification)", "not in the cache"):
        assert said in blocks["nasnet_mobile"]
    assert "never published" in blocks["pnasnet_mobile"]


def _imported(cli: Command, *args: str, **variables: str) -> set[str]:
    """The top-level packages that a command imports."""
    result = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "exporter", *args],
        cwd=cli.cwd,
        env={**cli.env, **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [line.split("|")[-1].strip() for line in result.stderr.splitlines() if line.startswith("import time:")]
    assert len(lines) > 50, "nothing was measured"
    return {line.split(".")[0] for line in lines}


@pytest.mark.parametrize(
    "args",
    [("--help",), ("models",), ("models", "--json"), ("build", "--help"), ("evaluate", "--help"), ("diff", "--help")],
)
def test_quick_commands_do_not_import_tensorflow(cli: Command, args: tuple[str, ...]) -> None:
    imported = _imported(cli, *args)
    assert "exporter" in imported
    assert not imported & {"tensorflow", "tf_slim", "tf_keras", "tensorflow_hub", "numpy", "requests", "rich"}


def test_shell_completion_is_quick_and_knows_the_models(cli: Command) -> None:
    asked = {"COMP_WORDS": "nasexport build pnas", "COMP_CWORD": "2", "_NASEXPORT_COMPLETE": "bash_complete"}
    answer = cli.with_variables(**asked)()
    assert "pnasnet_large" in answer.stdout and "pnasnet_mobile" in answer.stdout
    assert "nasnet_mobile" not in answer.stdout.replace("pnasnet_mobile", "")
    assert "tensorflow" not in _imported(cli, **asked)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("build",), "Missing argument"),
        (("build", "nasnet_mobile", "--nonsense"), "No such option"),
        (("build", "nasnet_mobile", "--format", "coreml"), "coreml"),
        (("build", "nasnet_mobile", "--task", "detection"), "detection"),
        (("build", "nasnet_mobile", "--version", "four"), "four"),
        (
            ("build", "nasnet_mobile", "nasnet_large", "--checkpoint", "x"),
            "--checkpoint can be used with one MODEL only",
        ),
        (("build", "nasnet_mobile", "--batch-norm-momentum", "1.5"), "not between 0 and 1"),
        (("build", "nasnet_mobile", "--batch-norm-momentum", "-0.1"), "not between 0 and 1"),
        (("build", "nasnet_mobile", "--batch-norm-momentum", "nan"), "not between 0 and 1"),
        (("build", "nasnet_mobile", "--batch-norm-momentum", "much"), "much"),
        (("synth", "nasnet_mobile"), "Missing option"),
        (("verify",), "Missing argument"),
        (("inspect",), "Missing argument"),
        (("diff",), "Missing argument"),
        (("predict", "artifact"), "Missing argument"),
        (("predict", "artifact", "image", "--top", "0"), "0 is not in the range"),
        (("evaluate", "artifact"), "Missing option"),
        (("evaluate", "artifact", "--images", "folder", "--limit", "0"), "0 is not in the range"),
        (("frobnicate",), "No such command"),
    ],
)
def test_wrong_usage_ends_with_status_2(own_cli: Command, args: tuple[str, ...], said: str) -> None:
    result = own_cli(*args)
    assert result.returncode == 2
    assert result.stdout == ""
    assert "Usage: nasexport" in result.stderr
    assert said in result.stderr
    assert "Traceback" not in result.stderr
    assert files_below(own_cli.cwd) == []


@pytest.mark.parametrize(
    ("status", "args", "said"),
    [
        (2, ("build", "nasnet_huge"), ("nasnet_huge", "nasnet_mobile", "pnasnet_large", ".yaml")),
        (2, ("build", "nasnet_mobile", "nasnet_huge"), ("nasnet_huge",)),
        (2, ("synth", "nasnet_huge", "--output", "x"), ("nasnet_huge", "nasnet_mobile")),
        (2, ("build", "nasnet_mobile", "--version", "2", "--checkpoint", "x"), ("version 2", "1 (hub), 3 (hub), 4")),
        (2, ("build", "nasnet_mobile", "--version", "4", "--format", "hub"), ("version 4 in format hub", "4 (saved_")),
        (3, ("build", "absent.yaml"), ("absent.yaml", "No such file")),
        (3, ("verify", "absent"), ("there is nothing at absent",)),
        (1, ("verify", "."), ("holds no saved_model.pb",)),
        (3, ("inspect", "absent"), ("there is nothing at absent",)),
        (3, ("predict", "absent", "image.jpg"), ("there is nothing at absent",)),
        (3, ("evaluate", "absent", "--images", "."), ("there is nothing at absent",)),
    ],
)
def test_what_does_not_exist_is_named(
    own_cli: Command, status: int, args: tuple[str, ...], said: tuple[str, ...]
) -> None:
    message = refusal(own_cli(*args), status)
    for text in said:
        assert text in message
    assert files_below(own_cli.cwd) == []


def test_a_traceback_is_for_debugging_only(own_cli: Command, tiny: Path) -> None:
    refusal(own_cli("build", tiny, "--checkpoint", "absent"))
    result = own_cli("--debug", "build", tiny, "--checkpoint", "absent")
    assert result.returncode == 3
    assert "Traceback (most recent call last)" in result.stderr
    assert "CheckpointError: there is no checkpoint at absent" in result.stderr


@pytest.mark.long
@pytest.mark.parametrize("name", ["tensorflow", "exporter", "numpy"])
def test_a_file_of_the_users_is_not_taken_for_a_package(
    own_cli: Command, tiny_pnasnet: Path, tiny_checkpoint: Path, name: str
) -> None:
    # `nasexport` starts without the working folder in its path; its workers must, too.
    (own_cli.cwd / f"{name}.py").write_text("raise SystemExit('the wrong one')")
    start = f"import sys; sys.path[0] = {str(CHECKOUT)!r}; from exporter.__main__ import run; run()"
    result = subprocess.run(
        [sys.executable, "-c", start, "build", tiny_pnasnet, "--checkpoint", tiny_checkpoint],
        cwd=own_cli.cwd,
        env=own_cli.env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "lacks cell_stem_0/" in refusal(result)


def _on_a_terminal(command: Command, *args: object) -> tuple[str, str]:
    """Standard output, and all that a terminal on standard error was sent."""
    terminal, end = pty.openpty()
    process = command.with_variables(TERM="xterm-256color", COLUMNS="120").start(*args, stderr=end)
    os.close(end)
    sent = b""
    while True:
        try:
            piece = os.read(terminal, 4096)
        except OSError:  # how Linux tells that nobody holds the other end any more
            break
        if not piece:
            break
        sent += piece
    os.close(terminal)
    stdout = process.communicate()[0]
    return stdout, sent.decode()


@pytest.mark.long
def test_a_terminal_gets_a_bar_and_a_file_gets_lines(
    own_cli: Command, tiny_pnasnet: Path, tiny_pnasnet_checkpoint: Path, tiny_checkpoint: Path
) -> None:
    # It takes seconds, so its steps are seen: the bar is drawn ten times in each.
    right = ("build", tiny_pnasnet, "--checkpoint", tiny_pnasnet_checkpoint, "--no-verify", "--output", "out")
    stdout, sent = _on_a_terminal(own_cli, *right)
    assert len(stdout.splitlines()) == 2
    assert "━" in sent and "\x1b[" in sent
    assert "0/4" in sent and "writing " in sent and "tiny_pnasnet: reading" not in sent

    args = ("build", tiny_pnasnet, "--checkpoint", tiny_checkpoint)
    lines = own_cli(*args).stderr.splitlines()
    begun = {"tiny_pnasnet: reading the checkpoint", "tiny_pnasnet: computing the reference"}
    assert lines[0] in begun
    assert "\x1b" not in "".join(lines)

    stdout, sent = _on_a_terminal(own_cli, *args)
    assert stdout == ""
    assert "━" in sent and "\x1b[" in sent
    assert "0/8" in sent
    # The message comes after the bar, on a line of its own.
    assert re.search(
        r"\nnasexport: error: \S+/model\.ckpt: the checkpoint lacks .*\n$", re.sub(r"\x1b\[[?\d;]*\w|\r", "", sent)
    )


def test_nothing_reaches_a_closed_pipe_with_a_traceback(cli: Command) -> None:
    process = cli.start("models", "--json")
    assert process.stdout and process.stderr
    process.stdout.close()
    said = process.stderr.read()
    process.wait()
    assert "Traceback" not in said
