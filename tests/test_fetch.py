"""Downloads by the lock file, from a server of the test's own."""

import functools
import hashlib
import http.server
import json
import socket
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.command import Command, Result, artifact_folder, files_below, refusal, succeeded
from tests.conftest import TINY, TINY_PNASNET

ARCHIVE = "nasnet-a_mobile_04_10_2017"
OTHER = "0" * 64


class _Server(http.server.ThreadingHTTPServer):
    """Serves a folder, and remembers what it was asked for."""

    def __init__(self, folder: Path):
        self.asked: list[str] = []
        super().__init__(("127.0.0.1", 0), functools.partial(_Handler, directory=str(folder)))

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{name}"


class _Handler(http.server.SimpleHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, _Server)
        self.server.asked.append(self.path)
        if self.path == "/short.tar.gz":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"x" * 10)
            self.close_connection = True
            return
        super().do_GET()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def archive(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("served") / f"{ARCHIVE}.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for file in sorted(tiny_checkpoint.parent.iterdir()):
            tar.add(file, arcname=file.name)
    return path


@pytest.fixture
def server(archive: Path) -> Iterator[_Server]:
    with _Server(archive.parent) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _locked(command: Command, url: str, **pins: object) -> Command:
    """The command with a lock file that says where the archive is, and the two networks that ask for it."""
    lines = [f'[checkpoint."{ARCHIVE}"]', f"url = {json.dumps(url)}"]
    lines += [f"{name} = {json.dumps(value)}" for name, value in pins.items()]
    lock = command.folder / "checkpoints.lock"
    command.folder.mkdir(parents=True, exist_ok=True)
    lock.write_text("\n".join(lines) + "\n", encoding="utf-8")
    for fields in (TINY, TINY_PNASNET):
        path = command.folder / f"{fields['name']}.yaml"
        path.write_text(yaml.safe_dump({**fields, "checkpoint": ARCHIVE}), encoding="utf-8")
    return command.with_variables(NASEXPORT_LOCK=str(lock), NO_PROXY="127.0.0.1")


def _read_only(command: Command) -> Result:
    """A build that gets as far as reading the checkpoint, which is another network's, and no further."""
    return command("build", command.folder / "tiny_pnasnet.yaml", "--output", "out")


def test_a_locked_archive_is_downloaded_once(own_cli: Command, server: _Server, archive: Path) -> None:
    cli = _locked(own_cli, server.url(archive.name), size=archive.stat().st_size, sha256=_sha256(archive))
    options = ("--task", "feature_vector", "--no-verify", "--output", "out")
    result = succeeded(cli("build", cli.folder / "tiny_nasnet.yaml", *options))
    assert f"downloading {server.url(archive.name)}" in result.stderr
    assert "warning" not in result.stderr
    assert server.asked == [f"/{archive.name}"]

    assert files_below(cli.cache) == ["archives", f"archives/{archive.name}"]
    cached = cli.cache / "archives" / archive.name
    assert _sha256(cached) == _sha256(archive)
    rows = {row["name"]: row["cached"] for row in json.loads(succeeded(cli("models", "--json")).stdout)}
    assert rows.pop("nasnet_mobile") == str(cached)
    assert set(rows.values()) == {None}

    folder = artifact_folder(cli.cwd / "out", "tiny_nasnet", "feature_vector", 4)
    source = json.loads((folder / "nasexport.json").read_text())["source"]
    assert (source["archive"], source["archive_sha256"]) == (archive.name, _sha256(archive))

    assert "lacks" in refusal(_read_only(cli))
    assert server.asked == [f"/{archive.name}"]

    # What lies in the cache is checked as a download is.
    content = archive.read_bytes()
    cached.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert "not the published file" in refusal(_read_only(cli))


def test_an_archive_that_is_not_pinned_is_taken_with_a_warning(
    own_cli: Command, server: _Server, archive: Path
) -> None:
    result = _read_only(_locked(own_cli, server.url(archive.name)))
    assert "lacks" in refusal(result)
    assert f"nasexport: warning: {ARCHIVE} is not pinned" in result.stderr
    assert f"{archive.stat().st_size} bytes downloaded have sha256 {_sha256(archive)}" in result.stderr
    assert files_below(own_cli.cache) == ["archives", f"archives/{archive.name}"]


def _closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.mark.parametrize(
    ("name", "pins", "said"),
    [
        (f"{ARCHIVE}.tar.gz", {"sha256": OTHER}, (OTHER, "not the published file")),
        (f"{ARCHIVE}.tar.gz", {"size": 7}, ("bytes, but checkpoints.lock says 7", "not the published file")),
        ("absent.tar.gz", {}, ("404", "absent.tar.gz", "--checkpoint")),
        ("short.tar.gz", {}, ("short.tar.gz", "--checkpoint")),
        (None, {}, ("Connection refused", "--checkpoint")),
    ],
    ids=["hash", "size", "not found", "cut off", "server down"],
)
def test_a_failed_download_leaves_nothing(
    own_cli: Command, server: _Server, name: str | None, pins: dict[str, object], said: tuple[str, ...]
) -> None:
    url = server.url(name) if name else f"http://127.0.0.1:{_closed_port()}/{ARCHIVE}.tar.gz"
    message = refusal(_read_only(_locked(own_cli, url, **pins)))
    for text in said:
        assert text in message
    assert files_below(own_cli.cache) in ([], ["archives"])
    assert files_below(own_cli.cwd) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", f"no archive '{ARCHIVE}'"),
        ("[checkpoint", "not valid TOML"),
        ("checkpoint = 7", "checkpoints.lock"),
        (f'checkpoint."{ARCHIVE}" = 7', "checkpoints.lock"),
        (f'[checkpoint."{ARCHIVE}"]\nurl = 7', "needs a url"),
        (f'[checkpoint."{ARCHIVE}"]\nurl = "http://x"\nsize = "7"', "size"),
        (f'[checkpoint."{ARCHIVE}"]\nurl = "http://x"\nsha256 = "7"', "sha256"),
        (f'[checkpoint."{ARCHIVE}"]\nurl = "no address"', "no address"),
    ],
)
def test_a_bad_lock_file_is_refused(own_cli: Command, text: str, said: str) -> None:
    cli = _locked(own_cli, "http://127.0.0.1/")
    (cli.folder / "checkpoints.lock").write_text(text, encoding="utf-8")
    assert said in refusal(_read_only(cli))


def test_a_model_without_an_archive_needs_a_checkpoint(own_cli: Command, tiny: Path) -> None:
    message = refusal(own_cli("build", tiny))
    assert "no published archive" in message and "--checkpoint" in message


def test_a_cache_that_cannot_be_written_is_told(own_cli: Command, server: _Server, archive: Path) -> None:
    cli = _locked(own_cli, server.url(archive.name))
    cli.cache.write_text("a file in the way")
    assert "cannot write to the cache" in refusal(_read_only(cli))
    assert server.asked == []
