"""``nasexport serve``: what tensorflow-hub, browsers and attackers get from it."""

import collections
import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import numpy as np
import pytest
import requests
from hypothesis import strategies

from exporter.checkpoint.synthetic import ImageSet
from exporter.release.manifest import read_manifest
from tests.support import reading
from tests.support.addresses import COMPRESSED, HANDLE, NAME, PIECES
from tests.support.command import Command, artifact_folder, peak_memory
from tests.support.networks import TOLERANCE, difference
from tests.support.releases import described, replace_manifest, write_release
from tests.support.servers import PATIENCE, Served, serving

#: What no file that is served contains.
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


def listed_bytes(release: Path) -> dict[str, bytes]:
    """All that may be served, by path."""
    records = read_manifest(release).values()
    paths = ["manifest.json", "SHA256SUMS", "provenance.json", "index.html", "imagenet_labels.txt"]
    paths += [record.place.record for record in records]
    paths += [file.path for record in records for file in record.all_files]
    return {path: (release / path).read_bytes() for path in paths}


# tensorflow-hub


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
def static_server(models: Path) -> Iterator[str]:
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
def test_tensorflow_hub_loads_from_it_what_the_folder_holds(
    serves_models: Served, static_server: str, artifacts: dict[int, Path], tmp_path: Path, reader: str
) -> None:
    """`hub.load`, `hub.KerasLayer`, and, in the old reader, `hub.load_module_spec` and `hub.Module`.

    From this server; from a static one; and from the cache, by an address that no server answers.
    """
    addresses = {f"{serves_models.url}/{NAME}/{version}": version for version in artifacts}
    addresses |= {f"{static_server}/{NAME}/{version}.tar.gz": version for version in (3, 4)}
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
def test_a_request_for_an_uncompressed_model_gets_advice(served: Served, tmp_path: Path, reader: str) -> None:
    variables = {"TFHUB_MODEL_LOAD_FORMAT": "UNCOMPRESSED"}
    process = _loaded(reading.READERS[reader](), tmp_path, [f"{served.url}/{HANDLE}"], variables)
    assert process.returncode != 0
    assert (
        "This server has no gs:// addresses of uncompressed models. Set TFHUB_MODEL_LOAD_FORMAT=COMPRESSED"
        in process.stderr
    )


def test_the_server_takes_little_memory_and_no_tensorflow(served: Served) -> None:
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
    assert len(files) == 5 + 2 * 8
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
def test_an_unknown_address_gets_the_handles_that_there_are(served: Served, path: str) -> None:
    answer = served.raw(f"GET /{path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert f"  /{HANDLE}\n".encode() in answer
    assert b"no-store" in answer


def test_other_methods_are_refused(served: Served) -> None:
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW"):
        answer = requests.request(method, f"{served.url}/{HANDLE}", data=b"x" * 100_000)
        assert answer.status_code == 405, method
        assert answer.headers["Allow"] == "GET, HEAD"


def test_the_body_of_a_request_is_not_another_request(served: Served) -> None:
    inner = b"GET /index.html HTTP/1.1\r\nHost: here\r\n\r\n"
    for method in (b"GET", b"POST"):
        for head in (b"Content-Length: %d" % len(inner), b"Transfer-Encoding: chunked", b"Content-Length: x"):
            answer = served.raw(b"%s /nothing HTTP/1.1\r\nHost: here\r\n%s\r\n\r\n%s" % (method, head, inner))
            assert answer.count(b"HTTP/1.1 ") == 1, (method, head)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET\r\n\r\n", 400),
        (b"GET / HTTP/one\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\n\r\n", 505),
        (b"GET /%s HTTP/1.1\r\n\r\n" % (b"a" * 70_000), 414),
        (b"GET / HTTP/1.1\r\n%s\r\n\r\n" % (b"a: b\r\n" * 200), 431),
        (b"GET *x HTTP/1.1\r\nHost: here\r\n\r\n", 400),
        (b"GET http://[ HTTP/1.1\r\nHost: here\r\n\r\n", 400),
        (b"GET http://elsewhere/%s HTTP/1.0\r\n\r\n" % HANDLE.encode(), 200),
    ],
)
def test_malformed_requests_get_a_response(served: Served, request_: bytes, status: int) -> None:
    assert int(served.raw(request_).split(b" ", 2)[1]) == status
    assert requests.get(served.url).ok


def test_one_connection_takes_many_requests(served: Served, release: Path) -> None:
    with requests.Session() as session:
        for _ in range(20):
            assert session.get(f"{served.url}/nothing").status_code == 404
            assert session.head(f"{served.url}/{HANDLE}.tar.gz").status_code == 200
            assert session.get(f"{served.url}/index.html").content == (release / "index.html").read_bytes()


def test_each_response_has_a_printable_line_in_the_log(served: Served) -> None:
    served.raw(b"GET /a\x1b[31mb\xe9\xff?c HTTP/1.0\r\n\r\n")
    line = served.logged("[31mb")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d 127\.0\.0\.1 GET /a\?\[31mb\?\?\?c 400 \d+\n", line)
    served.raw(b"GET /a[32mb\xe9\xff?c HTTP/1.0\r\n\r\n")
    assert served.logged("[32mb").endswith(" GET /a[32mb???c 404 " + served.logged("[32mb").split()[-1] + "\n")


# Ranges and conditions


@pytest.mark.parametrize(
    ("requested", "start", "end"),
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
def test_a_range_is_sent_alone(served: Served, release: Path, requested: str, start: int, end: int | None) -> None:
    content = (release / f"{HANDLE}.tar.gz").read_bytes()
    url = f"{served.url}/{HANDLE}?tf-hub-format=compressed"
    answer = requests.get(url, headers={"Range": requested})
    expected = content[start:end]
    first = len(content) + start if start < 0 else start
    assert (answer.status_code, answer.content) == (206, expected)
    assert answer.headers["Content-Range"] == f"bytes {first}-{first + len(expected) - 1}/{len(content)}"
    # HEAD ignores ranges: the standard has them for GET only.
    whole = requests.head(url, headers={"Range": requested})
    assert (whole.status_code, whole.headers["Content-Length"]) == (200, str(len(content)))


@pytest.mark.parametrize(
    "requested", ["bytes=4-2", "bytes=-", "bytes=0-1,3-4", "lines=0-1", "bytes=x-", "0-1", "bytes=" + "9" * 5000 + "-"]
)
def test_an_invalid_range_is_answered_with_the_whole_file(served: Served, release: Path, requested: str) -> None:
    answer = requests.get(f"{served.url}/SHA256SUMS", headers={"Range": requested})
    assert (answer.status_code, answer.content) == (200, (release / "SHA256SUMS").read_bytes())


def test_a_range_beyond_the_end_is_refused_with_the_size(served: Served, release: Path) -> None:
    size = (release / "SHA256SUMS").stat().st_size
    for requested in (f"bytes={size}-", f"bytes={size}-{size + 5}", "bytes=-0"):
        answer = requests.get(f"{served.url}/SHA256SUMS", headers={"Range": requested})
        assert (answer.status_code, answer.content) == (416, b"")
        assert answer.headers["Content-Range"] == f"bytes */{size}"


def test_conditions_are_compared_with_the_hash(served: Served) -> None:
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


# Attacks


@pytest.fixture(scope="module")
def guarded(cli: Command, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, Path]]:
    """A release and secrets: beside it, hidden or unlisted in it, linked to, and listed although hidden."""
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
    # The links are listed; that they are no files shows only when they are opened.
    assert requests.get(f"{served.url}/{HANDLE}/linked").status_code == 503
    assert requests.get(f"{served.url}/provenance.json").status_code == 503
