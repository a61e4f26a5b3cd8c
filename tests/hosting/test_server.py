"""``nasexport serve``: what readers of the hub, browsers, and those who mean no good get from it."""

import collections
import concurrent.futures
import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import numpy as np
import pytest
import requests
from hypothesis import strategies

from exporter.checkpoint.synthetic import ImageSet
from exporter.errors import ServingError
from exporter.hosting.responses import Delivery, deliver
from exporter.hosting.routes import Listed, Listing, Reply, listing, route
from exporter.hosting.server import MOST_CLIENTS, ReleaseServer
from exporter.release.manifest import read_manifest
from tests.support import reading
from tests.support.command import Command, artifact_folder, peak_memory, refusal
from tests.support.networks import TOLERANCE, difference
from tests.support.releases import described, replace_manifest, write_release
from tests.support.servers import PATIENCE, Served, received, serving

NAME = "google/imagenet/tiny_nasnet/feature_vector"
HANDLE = f"{NAME}/4"
COMPRESSED = {"tf-hub-format": "compressed"}
#: In no file that is served.
SECRET = b"not for everyone"


@pytest.fixture(scope="module")
def artifacts(tiny_artifacts: Path, hub_modules: Path) -> dict[int, Path]:
    folders = {3: hub_modules, 4: tiny_artifacts, 5: tiny_artifacts}
    return {
        version: artifact_folder(folder, "tiny_nasnet", "feature_vector", version)
        for version, folder in folders.items()
    }


@pytest.fixture(scope="module")
def models(artifacts: dict[int, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release of artifacts that can be loaded."""
    return write_release(tmp_path_factory.mktemp("models") / "release", artifacts.values())


@pytest.fixture(scope="module")
def serves_models(cli: Command, models: Path) -> Iterator[Served]:
    with serving(cli, models) as served:
        yield served


def _without_models(folder: Path) -> Path:
    """A release of two artifacts of which nothing can be loaded; archives are larger than what buffers hold."""
    artifacts = [folder / "source" / NAME / version for version in "45"]
    for artifact in artifacts:
        (artifact / "variables").mkdir(parents=True)
        (artifact / "saved_model.pb").write_bytes(b"graph")
        (artifact / "notes.txt").write_bytes(b"")
        (artifact / "variables" / "variables.index").write_bytes(os.urandom(12_000_000))
    return write_release(folder / "release", artifacts)


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release that no test changes."""
    return _without_models(tmp_path_factory.mktemp("release"))


@pytest.fixture(scope="module")
def served(cli: Command, release: Path) -> Iterator[Served]:
    with serving(cli, release) as served:
        yield served


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A release that a test may change."""
    return _without_models(tmp_path)


def listed_bytes(release: Path) -> dict[str, bytes]:
    """All that may be served, by path."""
    records = read_manifest(release).values()
    paths = ["manifest.json", "SHA256SUMS", "provenance.json", "index.html"]
    paths += [record.place.record for record in records]
    paths += [file.path for record in records for file in record.all_files]
    return {path: (release / path).read_bytes() for path in paths}


# Readers


def _loaded(
    python: Path, folder: Path, handles: list[str], variables: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "input.npz", images=ImageSet(count=2, seed=5).at(64))
    environment = {
        **reading.FOR_TINY_NETWORKS,
        "TFHUB_CACHE_DIR": str(folder / "hub"),
        "NO_PROXY": "127.0.0.1",
        **(variables or {}),
    }
    return reading.run(python, "served", folder, *handles, variables=environment)


def _read(python: Path, folder: Path, handles: list[str]) -> reading.Reading:
    process = _loaded(python, folder, handles)
    assert process.returncode == 0, process.stderr[-4000:]
    with np.load(folder / "output.npz") as file:
        return reading.Reading(json.loads(process.stdout.splitlines()[-1]), {key: file[key] for key in file.files})


@pytest.fixture(scope="module")
def static(models: Path) -> Iterator[str]:
    """The address of the same release at Python's own server of files."""
    command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", str(models)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout
    match = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
    assert match
    yield match[0]
    process.terminate()
    process.wait(PATIENCE)


@pytest.mark.parametrize("reader", reading.READERS)
def test_programs_for_the_hub_load_from_it_what_the_folder_holds(
    serves_models: Served, static: str, artifacts: dict[int, Path], tmp_path: Path, reader: str
) -> None:
    """`hub.load`, `hub.KerasLayer`, and, in the old reader, `hub.load_module_spec` and `hub.Module`.

    From this server; from a static one; and from the cache, by an address that no server answers.
    """
    addresses = {f"{serves_models.url}/{NAME}/{version}": version for version in artifacts}
    addresses |= {f"{static}/{NAME}/{version}.tar.gz": version for version in (3, 4)}
    published = f"https://tfhub.dev/{HANDLE}"
    addresses[published] = 4
    cached = tmp_path / "hub" / hashlib.sha1(published.encode()).hexdigest()
    shutil.copytree(artifacts[4], cached)
    handles = [*addresses, *map(str, artifacts.values())]
    found = _read(reading.READERS[reader](), tmp_path, handles)
    folders = {version: len(addresses) + index for index, version in enumerate(artifacts)}
    compared = []
    for number, version in enumerate(addresses.values()):
        for way in ("load", "layer", "module", "module_spec"):
            if f"{way}/{number}" in found.arrays:
                expected = found.arrays[f"{way}/{folders[version]}"]
                assert difference(found.arrays[f"{way}/{number}"], expected) <= TOLERANCE, (way, handles[number])
                compared.append(way)
        assert found.facts["resolved"][number] == found.facts["resolved"][folders[version]]
    assert collections.Counter(compared) == (
        {"load": 6, "layer": 6} if reader == "current" else {"load": 4, "layer": 4, "module": 2, "module_spec": 2}
    )
    for version in artifacts:
        assert serves_models.logged(f"GET /{NAME}/{version}?tf-hub-format=compressed 200")


@pytest.mark.parametrize("reader", reading.READERS)
def test_who_asks_for_a_bucket_is_told_what_to_do(served: Served, tmp_path: Path, reader: str) -> None:
    variables = {"TFHUB_MODEL_LOAD_FORMAT": "UNCOMPRESSED"}
    process = _loaded(reading.READERS[reader](), tmp_path, [f"{served.url}/{HANDLE}"], variables)
    assert process.returncode != 0
    assert "this server is no bucket. Set TFHUB_MODEL_LOAD_FORMAT=COMPRESSED" in process.stderr


def test_the_process_that_serves_is_small_and_without_tensorflow(served: Served) -> None:
    requests.get(f"{served.url}/{HANDLE}", params=COMPRESSED)
    assert "tensorflow" not in Path(f"/proc/{served.process.pid}/maps").read_text()
    assert peak_memory(served.process.pid) < 100_000_000


# Files and pages


def test_every_listed_file_has_its_address_type_and_hash(served: Served, release: Path) -> None:
    types = {
        ".html": "text/html; charset=utf-8",
        ".md": "text/markdown; charset=utf-8",
        ".json": "application/json",
        ".gz": "application/gzip",
        ".txt": "text/plain; charset=utf-8",
    }
    files = listed_bytes(release)
    assert len(files) == 4 + 2 * 8
    for path, content in files.items():
        answer = requests.get(f"{served.url}/{path}")
        assert (answer.status_code, answer.content) == (200, content), path
        expected = "text/plain; charset=utf-8" if path == "SHA256SUMS" else types.get(Path(path).suffix)
        assert answer.headers["Content-Type"] == (expected or "application/octet-stream"), path
        assert answer.headers["Content-Length"] == str(len(content))
        assert answer.headers["ETag"] == f'"{hashlib.sha256(content).hexdigest()}"'
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "public, no-cache"
        assert answer.headers["Accept-Ranges"] == "bytes"
        assert "Content-Encoding" not in answer.headers


@pytest.mark.parametrize(
    ("path", "leads_to"),
    [
        ("", "index.html"),
        ("?from=a-mail", "index.html"),
        (HANDLE, f"{HANDLE}.html"),
        (f"{HANDLE}/", f"{HANDLE}.html"),
        (f"{HANDLE}?from=a-mail", f"{HANDLE}.html"),
        (NAME, "index.html"),
        (f"{NAME}/", "index.html"),
        ("google", "index.html"),
        ("google/imagenet/tiny_nasnet/", "index.html"),
        (f"{HANDLE}?tf-hub-format=compressed", f"{HANDLE}.tar.gz"),
        (f"{HANDLE}?a=b&tf-hub-format=compressed", f"{HANDLE}.tar.gz"),
        (f"{HANDLE}/?tf-hub-format=compressed", f"{HANDLE}.tar.gz"),
        (f"{HANDLE}.tar.gz?tf-hub-format=compressed", f"{HANDLE}.tar.gz"),
        (HANDLE.replace("tiny_nasnet", "tiny%5Fnasnet"), f"{HANDLE}.html"),
    ],
)
def test_addresses_lead_where_people_and_programs_expect(
    served: Served, release: Path, path: str, leads_to: str
) -> None:
    for method in ("GET", "HEAD"):
        answer = requests.request(method, f"{served.url}/{path}", allow_redirects=True)
        assert answer.status_code == 200
        content = (release / leads_to).read_bytes()
        assert answer.headers["Content-Length"] == str(len(content))
        assert answer.content == (content if method == "GET" else b"")


@pytest.mark.parametrize(
    "path",
    [
        "favicon.ico",
        "nothing",
        f"{NAME}/2",
        f"{NAME}/4/variables",
        f"{NAME}/4/variables/",
        f"{NAME}?tf-hub-format=compressed",
        f"{NAME}/9?tf-hub-format=compressed",
        f"{NAME}/9?tf-hub-format=uncompressed",
        f"{HANDLE}?tf-hub-format=tflite",
        "index.html/",
        f"/{HANDLE}%2fsaved_model.pb",
        f"{HANDLE}%252fsaved_model.pb",
        f"{HANDLE}/./saved_model.pb",
        f"{HANDLE}//saved_model.pb",
        f"{HANDLE}/variables/../saved_model.pb",
        f"{HANDLE}\\saved_model.pb",
        "%ff",
        "%00",
    ],
)
def test_what_is_not_there_is_told_with_what_is(served: Served, path: str) -> None:
    answer = served.raw(f"GET /{path} HTTP/1.1\r\nConnection: close\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert f"  /{HANDLE}\n".encode() in answer
    assert b"no-store" in answer


def test_other_methods_are_refused(served: Served) -> None:
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW"):
        answer = requests.request(method, f"{served.url}/{HANDLE}", data=b"x" * 100_000)
        assert answer.status_code == 405, method
        assert answer.headers["Allow"] == "GET, HEAD"


def test_the_body_of_a_request_is_not_another_request(served: Served) -> None:
    inner = b"GET /index.html HTTP/1.1\r\n\r\n"
    for method in (b"GET", b"POST"):
        for head in (b"Content-Length: %d" % len(inner), b"Transfer-Encoding: chunked", b"Content-Length: x"):
            answer = served.raw(b"%s /nothing HTTP/1.1\r\n%s\r\n\r\n%s" % (method, head, inner))
            assert answer.count(b"HTTP/1.1 ") == 1, (method, head)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET\r\n\r\n", 400),
        (b"GET / HTTP/one\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\n\r\n", 505),
        (b"GET /%s HTTP/1.1\r\n\r\n" % (b"a" * 70_000), 414),
        (b"GET / HTTP/1.1\r\n%s\r\n\r\n" % (b"a: b\r\n" * 200), 431),
        (b"GET *x HTTP/1.1\r\nConnection: close\r\n\r\n", 404),
        (b"GET http://[ HTTP/1.1\r\nConnection: close\r\n\r\n", 200),
        (b"GET http://elsewhere/%s HTTP/1.0\r\n\r\n" % HANDLE.encode(), 200),
    ],
)
def test_what_is_hardly_http_gets_an_answer(served: Served, request_: bytes, status: int) -> None:
    assert int(served.raw(request_).split(b" ", 2)[1]) == status
    assert requests.get(served.url).ok


def test_one_connection_takes_many_requests(served: Served, release: Path) -> None:
    with requests.Session() as session:
        for _ in range(20):
            assert session.get(f"{served.url}/nothing").status_code == 404
            assert session.head(f"{served.url}/{HANDLE}.tar.gz").status_code == 200
            assert session.get(f"{served.url}/index.html").content == (release / "index.html").read_bytes()


def test_each_answer_has_a_plain_line_in_the_log(served: Served) -> None:
    served.raw(b"GET /a\x1b[31mb\xe9\xff?c HTTP/1.0\r\n\r\n")
    line = served.logged("[31mb")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d 127\.0\.0\.1 GET /a\?\[31mb\?\?\?c 404 \d+\n", line)


# Parts and conditions


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=10-19", 10, 20),
        ("bytes=100-", 100, None),
        ("bytes=-7", -7, None),
        ("bytes=5-99999999999", 5, None),
        ("bytes=-99999999999", 0, None),
        ("Bytes = 3 - 4", 3, 5),
    ],
)
def test_a_part_is_sent_alone(served: Served, release: Path, asked: str, start: int, end: int | None) -> None:
    content = (release / f"{HANDLE}.tar.gz").read_bytes()
    url = f"{served.url}/{HANDLE}?tf-hub-format=compressed"
    answer = requests.get(url, headers={"Range": asked})
    expected = content[start:end]
    first = len(content) + start if start < 0 else start
    assert (answer.status_code, answer.content) == (206, expected)
    assert answer.headers["Content-Range"] == f"bytes {first}-{first + len(expected) - 1}/{len(content)}"
    # Of the head alone, no part is told: the standard has ranges for GET only.
    whole = requests.head(url, headers={"Range": asked})
    assert (whole.status_code, whole.headers["Content-Length"]) == (200, str(len(content)))


@pytest.mark.parametrize(
    "asked", ["bytes=4-2", "bytes=-", "bytes=0-1,3-4", "lines=0-1", "bytes=x-", "0-1", "bytes=" + "9" * 5000 + "-"]
)
def test_what_makes_no_sense_as_a_part_is_answered_with_all(served: Served, release: Path, asked: str) -> None:
    answer = requests.get(f"{served.url}/SHA256SUMS", headers={"Range": asked})
    assert (answer.status_code, answer.content) == (200, (release / "SHA256SUMS").read_bytes())


def test_a_part_beyond_the_end_is_refused_with_the_size(served: Served, release: Path) -> None:
    size = (release / "SHA256SUMS").stat().st_size
    for asked in (f"bytes={size}-", f"bytes={size}-{size + 5}", "bytes=-0"):
        answer = requests.get(f"{served.url}/SHA256SUMS", headers={"Range": asked})
        assert (answer.status_code, answer.content) == (416, b"")
        assert answer.headers["Content-Range"] == f"bytes */{size}"


def test_conditions_are_held_against_the_hash(served: Served) -> None:
    url = f"{served.url}/{HANDLE}.tar.gz"
    etag = requests.head(url).headers["ETag"]

    def status(**headers: str) -> int:
        return requests.get(url, headers={name.replace("_", "-"): value for name, value in headers.items()}).status_code

    for value in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        answer = requests.get(url, headers={"if-none-match": value})
        assert (answer.status_code, answer.content, answer.headers["ETag"]) == (304, b"", etag), value
        assert requests.head(url, headers={"If-None-Match": value}).status_code == 304
    assert status(If_None_Match='"other"') == status(If_None_Match=etag.strip('"')) == 200
    assert status(If_None_Match=etag, Range="bytes=0-1") == 304
    assert status(Range="bytes=0-1", If_Range=etag) == 206
    for other in ('"other"', f"W/{etag}", "Sat, 01 Jan 2022 00:00:00 GMT"):
        assert status(Range="bytes=0-1", If_Range=other) == 200, other
    assert status(If_Match=etag) == status(If_Match="*") == 200
    assert status(If_Match='"other"') == status(If_Match=f"W/{etag}") == status(If_Match="") == 412


@hypothesis.given(strategies.text(max_size=30), strategies.integers(0, 40), strategies.booleans())
def test_any_range_gives_a_part_that_lies_in_the_file(asked: str, size: int, with_unit: bool) -> None:
    delivery = deliver(Listed("x"), size, "0" * 64, "GET", {"Range": f"bytes={asked}" if with_unit else asked})
    _is_consistent(delivery, size)


@hypothesis.given(strategies.integers(0, 50), strategies.integers(0, 50), strategies.integers(0, 40))
def test_ranges_are_those_of_the_standard(first: int, last: int, size: int) -> None:
    content = bytes(range(size))
    delivery = deliver(Listed("x"), size, "0" * 64, "GET", {"Range": f"bytes={first}-{last}"})
    _is_consistent(delivery, size)
    sent = content[delivery.start : delivery.start + delivery.length]
    if first > last:
        assert delivery.status == 200
    elif first >= size:
        assert delivery.status == 416
    else:
        assert delivery.status == 206 and sent == content[first : last + 1]


def _is_consistent(delivery: Delivery, size: int) -> None:
    assert delivery.status in (200, 206, 416)
    assert 0 <= delivery.start <= delivery.start + delivery.length <= size
    assert delivery.headers["Content-Length"] == str(delivery.length)
    assert (delivery.status == 206) <= (delivery.length > 0)


# Attacks


@pytest.fixture(scope="module")
def guarded(cli: Command, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, Path]]:
    """A small release among secrets: beside it, hidden in it, not listed, linked to, and listed although hidden."""
    folder = tmp_path_factory.mktemp("guarded")
    artifact = folder / "source" / HANDLE
    (artifact / "variables").mkdir(parents=True)
    for name in ("saved_model.pb", "variables/variables.index", ".hidden", "linked", "a b%20c"):
        (artifact / name).write_bytes(f"content of {name}".encode())
    release = write_release(folder / "release", [artifact])
    (folder / "secret.txt").write_bytes(SECRET)
    (release / "unlisted.txt").write_bytes(SECRET)
    (release / HANDLE / "unlisted.txt").write_bytes(SECRET)
    (release / ".git").mkdir()
    (release / ".git" / "config").write_bytes(SECRET)
    (release / HANDLE / ".hidden").write_bytes(SECRET)
    (release / HANDLE / "linked").unlink()
    (release / HANDLE / "linked").symlink_to(folder / "secret.txt")
    (release / "provenance.json").unlink()
    (release / "provenance.json").symlink_to(folder / "secret.txt")
    record = described(release, HANDLE)
    replace_manifest(release, [record])
    with serving(cli, release) as served:
        yield served, release


PIECES = strategies.sampled_from(
    [
        "..", ".", "/", "//", "\\", "%2e%2e", "%2E%2e", "%2f", "%5c", "%252e%252e", "%00", "%c0%ae", "..;", ":",
        "secret.txt", "unlisted.txt", ".git", "config", ".hidden", "linked", "provenance.json", "release", "etc/passwd",
        "google", "imagenet", "tiny_nasnet", "feature_vector", "4", HANDLE, "saved_model.pb", ".tar.gz", "index.html",
        "?tf-hub-format=compressed", "#", "http://127.0.0.1/", "file:///",
    ]
)  # fmt: skip


@hypothesis.settings(max_examples=400, deadline=None)
@hypothesis.given(strategies.one_of(strategies.text(max_size=40), strategies.lists(PIECES, max_size=9).map("/".join)))
@hypothesis.example(f"{HANDLE}/linked")
@hypothesis.example(f"{HANDLE}/.hidden")
@hypothesis.example("provenance.json")
@hypothesis.example("../secret.txt")
@hypothesis.example("unlisted.txt")
def test_no_path_gets_a_byte_that_is_not_listed(guarded: tuple[Served, Path], path: str) -> None:
    served, release = guarded
    allowed = {hashlib.sha256(file.read_bytes()).hexdigest() for file in release.rglob("*") if file.is_file()}
    for target in (f"/{path}", path):
        sendable = re.sub(rb"[\0-\x20]", b"", target.encode("utf-8", "surrogatepass"))
        answer = served.raw(b"GET %s HTTP/1.0\r\n\r\n" % sendable)
        assert SECRET not in answer
        head, _, body = answer.partition(b"\r\n\r\n")
        if head.startswith(b"HTTP/1.1 200 "):
            assert hashlib.sha256(body).hexdigest() in allowed
        else:
            assert len(body) < 1000


def test_files_with_odd_names_have_an_address_and_links_have_none(guarded: tuple[Served, Path]) -> None:
    served, _ = guarded
    assert requests.get(f"{served.url}/{HANDLE}/a%20b%2520c").content == b"content of a b%20c"
    assert requests.get(f"{served.url}/{HANDLE}/.hidden").status_code == 404
    assert requests.get(f"{served.url}/unlisted.txt").status_code == 404
    # The links are listed, and are told from files only when they are opened.
    assert requests.get(f"{served.url}/{HANDLE}/linked").status_code == 503
    assert requests.get(f"{served.url}/provenance.json").status_code == 503


@hypothesis.settings(max_examples=500)
@hypothesis.given(strategies.one_of(strategies.text(), strategies.lists(PIECES).map("/".join)))
def test_a_route_is_a_listed_file_or_words(small_listing: Listing, target: str) -> None:
    for asked in (target, f"/{target}"):
        found = route(small_listing, asked)
        if isinstance(found, Reply):
            assert found.status in (302, 303, 404)
            assert set(found.headers.get("Location", "")) <= set("./4")
        else:
            assert found in small_listing.files.values()


@pytest.fixture(scope="module")
def small_listing(release: Path) -> Listing:
    return listing(read_manifest(release).values())


# Clients that stall, vanish, or come in crowds


def _asked(served: Served | ReleaseServer, buffer: int = 4096) -> socket.socket:
    """A connection that has asked for the archive, and reads nothing yet; little of it fits between."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    connection.settimeout(PATIENCE)
    connection.connect(served.address if isinstance(served, Served) else served.server_address)
    connection.sendall(f"GET /{HANDLE}?tf-hub-format=compressed HTTP/1.1\r\n\r\n".encode())
    assert connection.recv(9) == b"HTTP/1.1 "
    return connection


def _connected(server: ReleaseServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.server_address[1]), PATIENCE)


def test_clients_that_read_nothing_do_not_hold_up_others(own_cli: Command, small: Path) -> None:
    content = (small / f"{HANDLE}.tar.gz").read_bytes()
    with serving(own_cli, small) as served:
        stalled = [_asked(served) for _ in range(20)]
        silent = [served.connect() for _ in range(20)]
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            for answer in pool.map(lambda _: requests.get(f"{served.url}/{HANDLE}.tar.gz", timeout=20), range(24)):
                assert answer.content == content
        assert peak_memory(served.process.pid) < 100_000_000
        for connection in (*stalled, *silent):
            connection.close()


def test_a_client_that_vanishes_leaves_a_line_and_no_traceback(own_cli: Command, small: Path) -> None:
    with serving(own_cli, small) as served:
        for abrupt in (False, True):
            connection = _asked(served)
            if abrupt:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()
        size = (small / f"{HANDLE}.tar.gz").stat().st_size
        assert re.search(rf"200 \d+ of {size}$", served.logged(f"of {size}"))
        assert requests.get(served.url).ok
        assert served.stop() == 0
    assert not [line for line in served.log if "warning" in line]


@pytest.fixture
def impatient(small: Path) -> Iterator[tuple[ReleaseServer, list[str]]]:
    """A server in this process that waits a second for its clients."""
    log: list[str] = []
    with ReleaseServer(small, "127.0.0.1", 0, log.append, patience=1.0) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield server, log
        server.shutdown()
        thread.join()


def test_a_client_that_takes_nothing_or_never_ends_its_question_is_let_go(
    impatient: tuple[ReleaseServer, list[str]],
) -> None:
    server, log = impatient
    stalled = _asked(server)
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


def test_a_slow_client_that_goes_on_gets_everything(impatient: tuple[ReleaseServer, list[str]], small: Path) -> None:
    server, _ = impatient
    connection, content = _asked(server, 2**20), b""
    expected = (small / f"{HANDLE}.tar.gz").read_bytes()
    for _ in range(4):
        time.sleep(0.6)
        content += connection.recv(3_000_000, socket.MSG_WAITALL)
    while len(content.partition(b"\r\n\r\n")[2]) < len(expected):
        content += connection.recv(2**20)
    assert content.partition(b"\r\n\r\n")[2] == expected
    connection.close()


def test_a_crowd_is_told_to_come_back(impatient: tuple[ReleaseServer, list[str]]) -> None:
    server, _ = impatient
    server.patience = PATIENCE
    crowd = [_connected(server) for _ in range(MOST_CLIENTS)]
    one_more = _connected(server)
    assert received(one_more).startswith(b"HTTP/1.1 503 ")
    for connection in crowd:
        connection.close()
    end = time.monotonic() + PATIENCE
    while requests.get(server.url).status_code != 200:
        assert time.monotonic() < end


# A release that changes


def test_a_release_that_is_replaced_is_served_with_the_hash_of_its_new_bytes(own_cli: Command, small: Path) -> None:
    archive = small / f"{HANDLE}.tar.gz"
    old = archive.read_bytes()
    new = bytes(len(old))  # the weights of another checkpoint have the same size
    with serving(own_cli, small) as served:
        url = f"{served.url}/{HANDLE}?tf-hub-format=compressed"
        etag = requests.get(url).headers["ETag"]
        waiting = _asked(served, 2**20)
        (small / "new").write_bytes(new)
        (small / "new").replace(archive)
        between = requests.get(url)
        assert (between.status_code, between.headers["Retry-After"]) == (503, "5")
        assert "the manifest" in served.logged("warning") and str(small) not in between.text
        replace_manifest(small, [described(small, HANDLE)])
        after = requests.get(url)
        assert after.content == new
        assert after.headers["ETag"] == f'"{hashlib.sha256(new).hexdigest()}"' != etag
        # Who was in the middle of the old archive gets the rest of it.
        content = b""
        while not content.endswith(old[-100:]):
            content += waiting.recv(2**20)
        assert content.partition(b"\r\n\r\n")[2] == old
        waiting.close()


def test_a_transfer_of_a_file_that_is_written_over_is_cut(own_cli: Command, small: Path) -> None:
    archive = small / f"{HANDLE}.tar.gz"
    with archive.open("ab") as file:
        file.truncate(40_000_000)
    replace_manifest(small, [described(small, HANDLE)])
    with serving(own_cli, small) as served:
        connection = _asked(served)
        with archive.open("r+b") as file:
            file.seek(39_000_000)
            file.write(b"other")
        assert len(received(connection)) < 39_000_000
        assert served.logged("of 40000000")
        connection.close()


@pytest.mark.parametrize("damage", ["damaged", "gone"])
def test_a_manifest_that_fails_while_serving_is_told_and_recovers(own_cli: Command, small: Path, damage: str) -> None:
    manifest = small / "manifest.json"
    kept = manifest.read_bytes()
    with serving(own_cli, small) as served:
        assert requests.get(served.url).ok
        if damage == "gone":
            manifest.unlink()
        else:
            manifest.write_bytes(b"{")
        answer = requests.get(served.url)
        assert answer.status_code == 503 and str(small) not in answer.text
        assert "manifest.json" in served.logged("nasexport: warning: ")
        manifest.write_bytes(kept)
        assert requests.get(served.url).ok


def test_files_that_are_not_there_or_no_files(own_cli: Command, small: Path) -> None:
    (small / "index.html").unlink()
    (small / "provenance.json").unlink()
    os.mkfifo(small / "provenance.json")
    (small / HANDLE / "saved_model.pb").unlink()
    with serving(own_cli, small) as served:
        assert requests.get(served.url).status_code == 404
        assert requests.get(f"{served.url}/provenance.json").status_code == 503
        assert requests.get(f"{served.url}/{HANDLE}/saved_model.pb").status_code == 503
        assert "is not a file" in served.logged("provenance.json: ")
        assert "is not there" in served.logged("saved_model.pb: ")
        assert requests.get(f"{served.url}/SHA256SUMS").ok


# Beginning and end


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_peace(own_cli: Command, small: Path, number: int) -> None:
    with serving(own_cli, small) as served:
        stalled, silent = _asked(served), served.connect()
        begun = time.monotonic()
        assert served.stop(number) == 0
        assert time.monotonic() - begun < 5
        stalled.close()
        silent.close()
    (line,) = served.log
    assert " of " in line


def test_it_listens_to_this_machine_alone_unless_told_otherwise(own_cli: Command, small: Path) -> None:
    with serving(own_cli, small) as served:
        assert re.fullmatch(r"http://127\.0\.0\.1:[1-9]\d*", served.url)
    assert served.log == []
    with serving(own_cli, small, "--host", "0.0.0.0") as public:
        assert requests.get(f"http://127.0.0.1:{public.address[1]}").ok
        assert re.fullmatch(r"nasexport: warning: other machines may reach http://0\.0\.0\.0:\d+/: .*\n", public.log[0])


def test_it_speaks_ipv6(own_cli: Command, small: Path) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    with serving(own_cli, small, "--host", "::1") as served:
        assert served.url.startswith("http://[::1]:")
        assert requests.get(served.url).ok
    assert len(served.log) == 1


def test_an_address_that_cannot_be_had_is_an_error_of_one_line(own_cli: Command, small: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        message = refusal(own_cli("serve", small, "--port", port))
        assert message == (
            f"cannot listen on port {port} of 127.0.0.1: another program does; choose another --port, "
            "or 0 for any that is free"
        )
    assert "that is no address of this machine" in refusal(own_cli("serve", small, "--host", "192.0.2.1"))
    assert "that is no address of this machine" in refusal(own_cli("serve", small, "--host", "no.such.host.invalid"))
    assert own_cli("serve", small, "--port", 70_000).returncode == 2


def test_a_port_that_the_system_keeps_is_an_error_of_one_line(monkeypatch: pytest.MonkeyPatch, small: Path) -> None:
    """Not through the command: who runs tests in a container may listen anywhere."""

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("socketserver.TCPServer.server_bind", refuse)
    with pytest.raises(ServingError, match="the system does not allow it; choose a --port from 1024 up"):
        ReleaseServer(small, "127.0.0.1", 80, print)


def test_what_is_no_release_is_refused(own_cli: Command, small: Path, tmp_path: Path) -> None:
    assert "expected a folder that `nasexport release` finished" in refusal(own_cli("serve", tmp_path))
    assert "has no manifest.json" in refusal(own_cli("serve", tmp_path / "nothing"))
    (small / "manifest.json").write_bytes(b'{"schema": 1, "artifacts": 5}')
    assert "manifest.json is damaged" in refusal(own_cli("serve", small))
    (small / "manifest.json").write_bytes(b"\xff")
    assert "manifest.json is damaged" in refusal(own_cli("serve", small))
