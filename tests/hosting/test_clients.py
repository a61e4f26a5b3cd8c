"""``nasexport serve`` with clients that stall, disconnect or are too many, with files that change, and its end."""

import concurrent.futures
import contextlib
import hashlib
import os
import re
import signal
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from exporter.errors import ServingError
from exporter.hosting.server import MAX_CONNECTIONS, ReleaseServer
from tests.support.addresses import HANDLE
from tests.support.command import Command, peak_memory, refusal
from tests.support.releases import described, replace_manifest
from tests.support.servers import PATIENCE, Served, received, serving

# Clients that stall, disconnect, or are too many


def _requesting(served: Served | ReleaseServer, buffer: int = 4096) -> socket.socket:
    """A connection that has requested the archive and reads no more yet; buffers hold little of it."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    connection.settimeout(PATIENCE)
    connection.connect(served.address if isinstance(served, Served) else served.server_address)
    connection.sendall(f"GET /{HANDLE}?tf-hub-format=compressed HTTP/1.1\r\nHost: here\r\n\r\n".encode())
    assert connection.recv(9) == b"HTTP/1.1 "
    return connection


def _connected(server: ReleaseServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.server_address[1]), PATIENCE)


def test_clients_that_read_nothing_do_not_hold_up_others(own_cli: Command, own_release: Path) -> None:
    content = (own_release / f"{HANDLE}.tar.gz").read_bytes()
    with serving(own_cli, own_release) as served:
        stalled = [_requesting(served) for _ in range(20)]
        silent = [served.connect() for _ in range(20)]
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            for answer in pool.map(lambda _: requests.get(f"{served.url}/{HANDLE}.tar.gz", timeout=20), range(24)):
                assert answer.content == content
        assert peak_memory(served.process.pid) < 100_000_000
        for connection in (*stalled, *silent):
            connection.close()


def test_a_client_that_disconnects_leaves_a_line_and_no_traceback(own_cli: Command, own_release: Path) -> None:
    with serving(own_cli, own_release) as served:
        for abrupt in (False, True):
            connection = _requesting(served)
            if abrupt:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()
        size = (own_release / f"{HANDLE}.tar.gz").stat().st_size
        assert re.search(rf"200 \d+ of {size}$", served.logged(f"of {size}"))
        assert requests.get(served.url).ok
        assert served.stop() == 0
    assert not [line for line in served.log if "warning" in line]


@pytest.fixture
def strict_server(own_release: Path) -> Iterator[tuple[ReleaseServer, list[str]]]:
    """A server in this process that gives its clients a second, and its log."""
    log: list[str] = []
    with ReleaseServer(own_release, "127.0.0.1", 0, log.append, client_timeout=1.0) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield server, log
        server.shutdown()
        thread.join()


@pytest.mark.stops
def test_a_client_that_reads_nothing_or_never_ends_its_request_is_disconnected(
    strict_server: tuple[ReleaseServer, list[str]],
) -> None:
    server, log = strict_server
    stalled = _requesting(server)
    silent = _connected(server)
    dripping = _connected(server)
    start = time.monotonic()
    with contextlib.suppress(OSError):
        while time.monotonic() < start + PATIENCE:
            dripping.sendall(b"G")
            time.sleep(0.1)
    assert time.monotonic() - start < 5
    assert received(silent) == b""
    while not any(re.search(r" 200 \d+ of \d+$", line) for line in log):
        assert time.monotonic() < start + PATIENCE, log
        time.sleep(0.05)
    for connection in (stalled, silent, dripping):
        connection.close()


def test_a_slow_client_that_keeps_reading_gets_everything(
    strict_server: tuple[ReleaseServer, list[str]], own_release: Path
) -> None:
    server, _ = strict_server
    connection, content = _requesting(server, 2**20), b""
    expected = (own_release / f"{HANDLE}.tar.gz").read_bytes()
    for _ in range(4):
        time.sleep(0.6)
        content += connection.recv(3_000_000, socket.MSG_WAITALL)
    while len(content.partition(b"\r\n\r\n")[2]) < len(expected):
        content += connection.recv(2**20)
    assert content.partition(b"\r\n\r\n")[2] == expected
    connection.close()


def test_too_many_clients_are_told_to_come_back(strict_server: tuple[ReleaseServer, list[str]]) -> None:
    server, _ = strict_server
    server.client_timeout = PATIENCE
    clients = [_connected(server) for _ in range(MAX_CONNECTIONS)]
    one_more = _connected(server)
    assert received(one_more).startswith(b"HTTP/1.1 503 ")
    for connection in clients:
        connection.close()
    end = time.monotonic() + PATIENCE
    while requests.get(server.url).status_code != 200:
        assert time.monotonic() < end


# A release that changes


def test_a_replaced_release_is_served_with_the_hash_of_its_new_bytes(own_cli: Command, own_release: Path) -> None:
    archive = own_release / f"{HANDLE}.tar.gz"
    old = archive.read_bytes()
    new = bytes(len(old))  # the weights of another checkpoint have the same size
    with serving(own_cli, own_release) as served:
        url = f"{served.url}/{HANDLE}?tf-hub-format=compressed"
        etag = requests.get(url).headers["ETag"]
        waiting = _requesting(served, 2**20)
        (own_release / "new").write_bytes(new)
        (own_release / "new").replace(archive)
        between = requests.get(url)
        assert (between.status_code, between.headers["Retry-After"]) == (503, "5")
        assert "the manifest" in served.logged("warning") and str(own_release) not in between.text
        replace_manifest(own_release, [described(own_release, HANDLE)])
        after = requests.get(url)
        assert after.content == new
        assert after.headers["ETag"] == f'"{hashlib.sha256(new).hexdigest()}"' != etag
        # A client in the middle of the old archive gets the rest of it.
        content = b""
        while not content.endswith(old[-100:]):
            content += waiting.recv(2**20)
        assert content.partition(b"\r\n\r\n")[2] == old
        waiting.close()


def test_a_transfer_of_a_file_that_is_overwritten_is_cut_off(own_cli: Command, own_release: Path) -> None:
    archive = own_release / f"{HANDLE}.tar.gz"
    with archive.open("ab") as file:
        file.truncate(40_000_000)
    replace_manifest(own_release, [described(own_release, HANDLE)])
    with serving(own_cli, own_release) as served:
        connection = _requesting(served)
        with archive.open("r+b") as file:
            file.seek(39_000_000)
            file.write(b"other")
        assert len(received(connection)) < 39_000_000
        assert served.logged("of 40000000")
        connection.close()


def _rewritten(file: Path, content: bytes) -> None:
    """Writes a file where it is, and gives it its old times."""
    before = file.stat()
    assert before.st_size == len(content)
    with file.open("r+b") as stream:
        stream.write(content)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_file_that_is_rewritten_under_its_old_time_has_another_etag(own_cli: Command, own_release: Path) -> None:
    archive, sums = own_release / f"{HANDLE}.tar.gz", own_release / "SHA256SUMS"
    with serving(own_cli, own_release) as served:
        for number in range(20):
            content = bytes([number]) * sums.stat().st_size
            # Before the kernel's clock has gone on, more than once.
            _rewritten(sums, bytes(len(content)))
            requests.get(f"{served.url}/SHA256SUMS")
            _rewritten(sums, content)
            answer = requests.get(f"{served.url}/SHA256SUMS")
            assert answer.content == content
            assert answer.headers["ETag"] == f'"{hashlib.sha256(content).hexdigest()}"'
        assert requests.get(f"{served.url}/{HANDLE}.tar.gz").ok
        _rewritten(archive, bytes(archive.stat().st_size))
        assert requests.get(f"{served.url}/{HANDLE}.tar.gz").status_code == 503
        assert "expected" in served.logged("nasexport: warning: ")


def test_a_file_that_is_rewritten_under_its_old_time_while_it_is_sent_is_cut_off(
    own_cli: Command, own_release: Path
) -> None:
    archive = own_release / f"{HANDLE}.tar.gz"
    old = archive.read_bytes()
    with serving(own_cli, own_release) as served:
        connection = _requesting(served)
        _rewritten(archive, bytes(len(old)))
        body = received(connection).partition(b"\r\n\r\n")[2]
        assert len(body) < len(old) and old.startswith(body)
        connection.close()
        # Other rights and another name are none of the client's business.
        archive.write_bytes(old)
        connection = _requesting(served, 2**18)
        archive.chmod(0o600)
        archive.rename(archive.with_name("elsewhere"))
        archive.with_name("elsewhere").unlink()
        content = b""
        while len(content.partition(b"\r\n\r\n")[2]) < len(old):
            content += connection.recv(2**20)
        assert content.partition(b"\r\n\r\n")[2] == old
        connection.close()


@pytest.mark.parametrize("damage", ["damaged", "gone"])
def test_a_damaged_manifest_is_logged_and_recovers(own_cli: Command, own_release: Path, damage: str) -> None:
    manifest = own_release / "manifest.json"
    kept = manifest.read_bytes()
    with serving(own_cli, own_release) as served:
        assert requests.get(served.url).ok
        if damage == "gone":
            manifest.unlink()
        else:
            manifest.write_bytes(b"{")
        answer = requests.get(served.url)
        assert answer.status_code == 503 and str(own_release) not in answer.text
        assert "manifest.json" in served.logged("nasexport: warning: ")
        manifest.write_bytes(kept)
        assert requests.get(served.url).ok


def test_signatures_are_served_where_there_are_any(own_cli: Command, own_release: Path) -> None:
    with serving(own_cli, own_release) as served:
        address = f"{served.url}/provenance.dsse.json"
        assert requests.get(address).status_code == 404
        (own_release / "provenance.dsse.json").write_text("{}")
        assert requests.get(address).text == "{}"


def test_missing_files_and_those_that_are_not_regular(own_cli: Command, own_release: Path) -> None:
    (own_release / "index.html").unlink()
    (own_release / "provenance.json").unlink()
    os.mkfifo(own_release / "provenance.json")
    (own_release / HANDLE / "saved_model.pb").unlink()
    with serving(own_cli, own_release) as served:
        assert requests.get(served.url).status_code == 404
        assert requests.get(f"{served.url}/provenance.json").status_code == 503
        assert requests.get(f"{served.url}/{HANDLE}/saved_model.pb").status_code == 503
        assert "is not a file" in served.logged("provenance.json: ")
        assert "is missing" in served.logged("saved_model.pb: ")
        assert requests.get(f"{served.url}/SHA256SUMS").ok


# Start and stop


@pytest.mark.stops
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_it_cleanly(own_cli: Command, own_release: Path, number: int) -> None:
    with serving(own_cli, own_release) as served:
        stalled, silent = _requesting(served), served.connect()
        begun = time.monotonic()
        assert served.stop(number) == 0
        assert time.monotonic() - begun < 5
        stalled.close()
        silent.close()
    (line,) = served.log
    assert " of " in line


def test_only_this_machine_can_reach_it_by_default(own_cli: Command, own_release: Path) -> None:
    with serving(own_cli, own_release) as served:
        assert re.fullmatch(r"http://127\.0\.0\.1:[1-9]\d*", served.url)
    assert served.log == []
    with serving(own_cli, own_release, "--host", "0.0.0.0") as public:
        assert requests.get(f"http://127.0.0.1:{public.address[1]}").ok
        assert re.fullmatch(r"nasexport: warning: other machines can reach http://0\.0\.0\.0:\d+/: .*\n", public.log[0])


def test_it_speaks_ipv6(own_cli: Command, own_release: Path) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    with serving(own_cli, own_release, "--host", "::1") as served:
        assert served.url.startswith("http://[::1]:")
        assert requests.get(served.url).ok
    assert len(served.log) == 1


def test_an_address_that_is_not_available_is_an_error_of_one_line(own_cli: Command, own_release: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        message = refusal(own_cli("serve", own_release, "--port", port))
        assert message == (
            f"cannot listen on port {port} of 127.0.0.1: another program already does; choose another --port, "
            "or 0 for any free one"
        )
    assert "this machine has no such address" in refusal(own_cli("serve", own_release, "--host", "192.0.2.1"))
    assert "this machine has no such address" in refusal(
        own_cli("serve", own_release, "--host", "no.such.host.invalid")
    )
    assert own_cli("serve", own_release, "--port", 70_000).returncode == 2


def test_a_port_that_is_not_allowed_is_an_error_of_one_line(monkeypatch: pytest.MonkeyPatch, own_release: Path) -> None:
    """Not through the command: in a container, tests may listen on any port."""

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("socketserver.TCPServer.server_bind", refuse)
    with pytest.raises(ServingError, match="the system does not allow it; choose a --port from 1024 up"):
        ReleaseServer(own_release, "127.0.0.1", 80, print)


def test_a_folder_without_a_release_is_refused(own_cli: Command, own_release: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "expected a folder that `nasexport release` finished" in refusal(own_cli("serve", tmp_path / "empty"))
    assert "has no manifest.json" in refusal(own_cli("serve", tmp_path / "nothing"))
    (own_release / "manifest.json").write_bytes(b'{"schema": 1, "artifacts": 5}')
    assert "manifest.json is damaged" in refusal(own_cli("serve", own_release))
    (own_release / "manifest.json").write_bytes(b"\xff")
    assert "manifest.json is damaged" in refusal(own_cli("serve", own_release))
