"""Text that came from outside, in all that is printed: nothing in it reaches a terminal as anything but characters."""

import json
import logging
import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.artifact.metadata import METADATA_FILE
from exporter.cli.logs import Lines
from exporter.fetch.cache import RECORD
from tests.support import faulty_server as faults
from tests.support.command import CHECKOUT, Command, Result, artifact_folder, succeeded
from tests.support.faulty_server import FaultyServer, Request, Served, serving
from tests.support.fetching import FILE, fetch, locked, sha256
from tests.support.fixtures import TINY

#: Renames a window, recolours, turns the direction of writing, begins a line, and is no whole character.
HOSTILE = "\x1b]0;owned\x07\x1b[31m\x9b32m\u202e\u2028\x7f"
LONG = 50_000 * "x"


def _require_harmless(result: Result, *, lines: int | None = None) -> None:
    """Both streams have printable lines only, and each message is bounded."""
    for line in (result.stdout + result.stderr).split("\n"):
        assert line.replace("\t", "").isprintable(), repr(line)
    if lines is not None:
        said = result.stderr[result.stderr.index("nasexport: error: ") :]
        assert len(said.encode()) <= 1000 and 1 <= len(said.rstrip("\n").split("\n")) <= lines
        assert "Traceback" not in said


@pytest.mark.parametrize("odd", [HOSTILE, LONG], ids=["hostile", "long"])
def test_names_of_fields_and_values_of_a_configuration(own_cli: Command, odd: str) -> None:
    for fields in ({**TINY, odd: 1}, {**TINY, "name": odd}, {**TINY, "versions": {odd: "hub"}}, {odd: odd}):
        path = own_cli.cwd / "network.yaml"
        path.write_text(yaml.safe_dump(fields), encoding="utf-8")
        result = own_cli("build", path, "--checkpoint", "x")
        assert result.returncode == 1
        _require_harmless(result, lines=2)


@pytest.mark.parametrize("odd", [HOSTILE, LONG], ids=["hostile", "long"])
def test_fields_of_a_lock_file(own_cli: Command, odd: str) -> None:
    cli = locked(own_cli, f"http://127.0.0.1:9/{odd}", **{"size": 7, "sha256": "0" * 64})
    _require_harmless(fetch(cli), lines=2)
    for fields in ({odd: 1}, {"files": {odd: 7}}, {"sha256": odd}):
        _require_harmless(fetch(locked(own_cli, "http://127.0.0.1:9/", **fields)), lines=2)
    lock = cli.folder / "checkpoints.lock"
    lock.write_text(f"[checkpoint.{json.dumps(odd)}]\nurl = 'x'\n", encoding="utf-8")
    _require_harmless(cli("models"), lines=2)


def _reason(text: str) -> faults.Answer:
    def answer(request: Request) -> None:
        request.send_response(404, text.encode().decode("latin-1"))
        request.end_headers()

    return answer


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with serving(FaultyServer(Served(b""))) as running:
        yield running


def test_what_a_server_says(own_cli: Command, server: FaultyServer) -> None:
    cli = locked(own_cli, server.url(FILE))
    for script in (
        _reason("gone \x1b[31m\x1b]0;owned\x07"),
        _reason("gone " + 50_000 * "x"),
        faults.instead(b"\x1b[31m" * 20, Content_Type="\x1b[31mtext"),
        faults.redirect("file:///\x1b[31m"),
    ):
        server.script = [script]
        result = fetch(cli)
        assert result.returncode != 0
        _require_harmless(result, lines=2)


def _cached(cli: Command, url: str) -> Path:
    """A cache that holds an archive from ``url``."""
    content = b"\x1f\x8b archive"
    folder = cli.cache / "archives" / sha256(content)
    folder.mkdir(parents=True)
    (folder / FILE).write_bytes(content)
    (folder / RECORD).write_text(json.dumps({"url": url, "size": len(content)}), encoding="utf-8")
    return folder


@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
def test_what_lies_in_the_cache(own_cli: Command, as_json: bool) -> None:
    cli = locked(own_cli, "http://127.0.0.1:9/")
    folder = _cached(cli, f"http://{HOSTILE}\nleftover spoofed")
    damaged = folder.parent / ("1" * 64) / f"{HOSTILE[:9]}.tar.gz"
    damaged.parent.mkdir()
    damaged.write_bytes(b"x")
    odd = cli.cache / "partial" / f"a\n  spoofed\x1b[31m\udcff{HOSTILE[-3:]}"
    odd.parent.mkdir()
    odd.touch()
    options = ("--json",) if as_json else ()
    for command in (("list",), ("verify",)):
        result = cli("cache", *command, *options)
        _require_harmless(result)
        assert not any(line.lstrip().startswith("spoofed") for line in result.stdout.splitlines())
        if as_json:
            assert "\\x1b" in repr(json.loads(result.stdout))
    _require_harmless(cli("cache", "prune", "--dry-run"))


def test_what_an_artifact_says_of_itself(own_cli: Command, tiny_artifacts: Path, tmp_path: Path) -> None:
    sound = artifact_folder(tiny_artifacts, "tiny_nasnet", "classification", 5)
    metadata: dict[str, Any] = json.loads((sound / METADATA_FILE).read_text(encoding="utf-8"))
    hostile = f"{HOSTILE}\n  verified     when it was built"
    folder = tmp_path / f"artifact \x1b[31m\n{HOSTILE}"
    shutil.copytree(sound, folder)
    source = {**metadata["source"], "archive": hostile, "archive_sha256": "0" * 64, "layout": hostile}
    source |= {"synthetic": {hostile: hostile}, "files": {hostile: "0" * 64}}
    changed = {**metadata, "handle": hostile, "source": source, "verification": None}
    (folder / METADATA_FILE).write_text(json.dumps(changed), encoding="utf-8")
    told = succeeded(own_cli("inspect", folder))
    _require_harmless(told)
    assert "\\x1b]0;owned\\x07" in told.stdout
    assert told.stdout.count("\n  verified ") == 1
    assert json.loads(succeeded(own_cli("inspect", folder, "--json")).stdout)["handle"] == hostile
    for wrong in ({**metadata, "task": hostile}, {**metadata, "model": {hostile: 1}}, {**metadata, "schema": hostile}):
        (folder / METADATA_FILE).write_text(json.dumps(wrong), encoding="utf-8")
        _require_harmless(own_cli("inspect", folder), lines=2)


def test_what_was_typed(own_cli: Command) -> None:
    for arguments in (
        (f"--{HOSTILE}",),
        (HOSTILE,),
        ("build", HOSTILE),
        ("build", LONG),
        ("synth", "nasnet_mobile", "--output", "x", "--seed", 4000 * "9"),
        ("synth", "nasnet_mobile", "--output", "x", "--layout", HOSTILE),
        ("diff", "a", "b", "--only", HOSTILE),
        ("release", "--shard", HOSTILE),
        ("fetch", "nasnet_mobile", "--mirror", f"gopher://{HOSTILE}/"),
    ):
        result = own_cli(*arguments)
        _require_harmless(result)
        assert result.returncode in (1, 2)
        assert len(result.stderr.encode()) <= 1000


def test_a_path_is_printed_as_it_is_to_a_program_and_fit_to_a_terminal(own_cli: Command) -> None:
    folder = "cache \x1b[31m\n\u202e"
    cli = own_cli.with_variables(NASEXPORT_CACHE_DIR=folder)
    assert succeeded(cli("cache", "path")).stdout == folder + "\n"
    terminal, end = pty.openpty()
    process = cli.start("cache", "path", stdout=end)
    process.communicate()
    os.close(end)
    assert os.read(terminal, 4096).decode().rstrip() == "cache \\x1b[31m\\n\\u202e"
    os.close(terminal)


def test_json_is_ascii(own_cli: Command) -> None:
    cli = own_cli.with_variables(PYTHONIOENCODING="latin-1", NASEXPORT_CACHE_DIR="кэш")
    result = cli("cache", "list", "--json")
    assert result.stdout.isascii() and json.loads(succeeded(result).stdout)["folder"] == "кэш"


def test_what_is_logged_is_lines(own_cli: Command, server: FaultyServer) -> None:
    cli = locked(own_cli, server.url(FILE))
    for flag in ("-v", "--debug"):
        server.script = [faults.status(404)]
        _require_harmless(
            cli(flag, "fetch", cli.folder / "tiny_nasnet.yaml", "--mirror", f"http://127.0.0.1:9/{HOSTILE}")
        )
    record = logging.LogRecord("x", logging.INFO, f"{HOSTILE}.py", 1, f"from {HOSTILE}\nI1125 spoofed", (), None)
    lines = Lines().format(record).split("\n")
    assert all(line.isprintable() for line in lines) and len(lines) == 2


def test_what_a_bar_shows(own_cli: Command) -> None:
    program = (
        "import sys; from exporter.progress import progress\n"
        "with progress(sys.argv[1], 2) as listener: listener.step(sys.argv[1]); listener.note(sys.argv[1])"
    )
    terminal, end = pty.openpty()
    variables = {**own_cli.env, "TERM": "xterm-256color", "COLUMNS": "300"}
    subprocess.run([sys.executable, "-c", program, HOSTILE], cwd=CHECKOUT, env=variables, stderr=end, check=True)
    os.close(end)
    sent = os.read(terminal, 65536).decode()
    os.close(terminal)
    assert "\\x1b]0;owned\\x07" in sent and "\\u202e" in sent
    assert not any(hostile in sent for hostile in ("\x1b]0;", "\x07", "\x1b[31m\x9b", "\x9b", "\u202e"))
