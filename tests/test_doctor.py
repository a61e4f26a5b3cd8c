"""What the machine has, and what is missing for what."""

import contextlib
import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

from exporter import doctor
from exporter.models.formats import FORMATS
from tests.support.command import CHECKOUT, Command

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def test_everything_is_said_and_a_problem_is_status_1(own_cli: Command, tmp_path: Path) -> None:
    (tmp_path / "damaged.lock").write_text("{")
    options = ("--lock-file", tmp_path / "damaged.lock", "--cache-dir", tmp_path / "cache")
    found = json.loads((result := own_cli("doctor", *options, "--json")).stdout)
    assert result.returncode == 1
    assert found["packages"]["tensorflow"] and found["memory"] > found["free_memory"] > 0
    assert 1 <= found["cores"] <= found["all_cores"]
    assert found["card"]["name"] or "finds no graphics card" in found["card"]["reason"]
    assert (found["cache"], found["cached"], found["pins"]) == (str(tmp_path / "cache"), [], {})
    (problem,) = found["problems"]
    assert "damaged.lock" in problem


def test_people_read_what_is_missing_for_what(own_cli: Command) -> None:
    # As where PyTorch is not installed, whether it is or not.
    program = "import importlib.metadata as m; v = m.version\n" + (
        "def version(name):\n"
        "    if name in ('torch', 's3fs'): raise m.PackageNotFoundError(name)\n"
        "    return v(name)\n"
        "m.version = version\n"
    )
    (own_cli.cwd / "first").mkdir()
    result = own_cli.with_program_first(program, own_cli.cwd / "first")("doctor")
    assert result.returncode == 0
    lines = result.stdout.splitlines()
    heads = [line.split("  ")[0] for line in lines if line[:1].strip()]
    assert heads == [
        *("nasexport", "packages", "processor", "graphics card", "computed on"),
        *("extras", "cache", "pins", "configuration", "temporary", "ok"),
    ]
    (said,) = (line for line in lines if line.split()[0] == "pytorch" or line.startswith("extras         pytorch"))
    assert "without torch: no build, verify or predict of format pytorch" in said
    assert said.endswith("pip install 'nasexport[pytorch]'")
    (stores,) = (line for line in lines if line.split()[0] == "publish")
    assert " without s3fs" in stores and "huggingface-hub" not in stores
    assert re.search(r": no addresses that begin with s3://(, gs://)?(, kaggle://)?; pip install", stores)
    assert any("0 of 4 archives pinned" in line for line in lines)


def test_a_narrow_terminal_gets_whole_words_in_a_column(own_cli: Command) -> None:
    terminal, end = pty.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 60, 0, 0))
    # It would count for more than the terminal.
    variables = {name: value for name, value in own_cli.env.items() if name != "COLUMNS"}
    with subprocess.Popen(own_cli.arguments("doctor"), env=variables, stdout=end, stderr=subprocess.PIPE) as process:
        os.close(end)
        sent = b""
        with contextlib.suppress(OSError):  # how Linux tells that nobody holds the other end any more
            while piece := os.read(terminal, 65536):
                sent += piece
        assert process.wait() == 0
    os.close(terminal)
    lines = re.sub(r"\x1b\[\d*m", "", sent.decode().replace("\r", "")).splitlines()
    begun = re.compile(r"ok   |[a-z ]{13}  \S| {15}\S")
    assert len(lines) > 15 and all(begun.match(line) for line in lines), lines
    # What is longer than the column, such as a path, stays whole.
    assert all(len(line) <= 60 or " " not in line[15:] for line in lines), lines


def test_every_extra_is_looked_at() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].keys() - {"dev", "docs"}
    assert {extra.name for extra in doctor.extras()} == extras
    assert {spec.extra for spec in FORMATS.values() if spec.extra} < extras
