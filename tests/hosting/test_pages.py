"""Pages that are served: with the address that people asked at, and as they are stored for who copies a release."""

import hashlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from exporter.hosting import addressed
from exporter.hosting.request import Request
from exporter.hosting.server import ReleaseServer
from exporter.release import address
from exporter.release.manifest import INDEX_FILE, PageLinks, Place
from tests.support.addresses import HANDLE
from tests.support.releases import add_artifact, described, finish
from tests.support.servers import PATIENCE, received

#: What browsers send.
BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"}
PLACE = Place(HANDLE)
PAGES = [PLACE.page, PLACE.page_html, INDEX_FILE]


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str | None], ReleaseServer]]:
    """Serves a release whose pages have this address, or that which stands for any."""
    servers: dict[str | None, ReleaseServer] = {}
    threads = []

    def serve(base_url: str | None) -> ReleaseServer:
        if base_url not in servers:
            folder = tmp_path_factory.mktemp("addressed")
            artifact = folder / "source" / HANDLE
            artifact.mkdir(parents=True)
            (artifact / "saved_model.pb").write_bytes(b"graph")
            release = folder / "release"
            add_artifact(release, artifact)
            text = f"HUB = &quot;{base_url or address.DEFAULT}&quot;\n" * 3
            for path in (PLACE.page, PLACE.page_html, PLACE.report):
                (release / path).write_text(text, encoding="utf-8")
            links = PageLinks(base_url, ())
            finish(release, [msgspec.structs.replace(described(release, HANDLE), page_links=links)])
            (release / INDEX_FILE).write_text(text, encoding="utf-8")
            server = servers[base_url] = ReleaseServer(release, "127.0.0.1", 0, lambda line: None)
            threads.append(threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True))
            threads[-1].start()
        return servers[base_url]

    yield serve
    for server in servers.values():
        server.shutdown()
        server.server_close()
    for thread in threads:
        thread.join()


def _stored(server: ReleaseServer, path: str) -> bytes:
    return (Path(server.files._folder) / path).read_bytes()


@pytest.mark.parametrize("path", PAGES)
def test_a_browser_gets_the_address_that_it_asked_at(serve: Any, path: str) -> None:
    server = serve(None)
    own = server.url.rstrip("/")
    assert own != address.DEFAULT
    for host in (own.removeprefix("http://"), "models.example.org", "models.example.org:81", "[::1]:8080", "a_b"):
        answer = requests.get(f"{server.url}{path}", headers={**BROWSER, "Host": host})
        expected = _stored(server, path).replace(address.DEFAULT.encode(), f"http://{host}".encode())
        assert answer.content == expected != _stored(server, path)
        assert answer.headers["ETag"] == f'"{hashlib.sha256(expected).hexdigest()}"'
        assert "Accept" in answer.headers["Vary"]
        again = requests.get(
            f"{server.url}{path}", headers={**BROWSER, "Host": host, "If-None-Match": answer.headers["ETag"]}
        )
        assert (again.status_code, again.content) == (304, b"")
        part = requests.get(f"{server.url}{path}", headers={**BROWSER, "Host": host, "Range": "bytes=3-40"})
        assert (part.status_code, part.content) == (206, expected[3:41])
        head = requests.head(f"{server.url}{path}", headers={**BROWSER, "Host": host})
        assert (head.headers["Content-Length"], head.content) == (str(len(expected)), b"")


def test_the_model_page_at_a_handle_has_it_too(serve: Any) -> None:
    """With any client: no file has that address. The start page is at one, too."""
    server = serve(None)
    for path in (HANDLE, f"{HANDLE}/", "", f"{HANDLE}?x=1"):
        text = requests.get(f"{server.url}{path}").text
        assert f"HUB = &quot;{server.url.rstrip('/')}&quot;" in text and address.DEFAULT not in text


@pytest.mark.parametrize("accept", ["*/*", "", "text/markdown, */*", "application/json", "text/htmlx", "xtext/html"])
def test_who_copies_a_release_gets_every_file_as_it_is_stored(serve: Any, accept: str) -> None:
    server = serve(None)
    for path in (*PAGES, PLACE.report, PLACE.record, "SHA256SUMS"):
        answer = requests.get(f"{server.url}{path}", headers={"Accept": accept})
        assert answer.content == _stored(server, path)
        assert answer.headers["ETag"] == f'"{hashlib.sha256(answer.content).hexdigest()}"'
        # A cache between must not give one client what another was sent.
        assert ("Vary" in answer.headers) == (path in PAGES)


def test_what_is_no_page_is_never_changed(serve: Any) -> None:
    server = serve(None)
    for path in (PLACE.report, PLACE.archive, PLACE.record, f"{HANDLE}/saved_model.pb"):
        assert requests.get(f"{server.url}{path}", headers=BROWSER).content == _stored(server, path)


def test_an_address_that_the_release_was_given_stays(serve: Any) -> None:
    server = serve("https://models.example.org/nasnet")
    for path in PAGES:
        answer = requests.get(f"{server.url}{path}", headers=BROWSER)
        assert answer.content == _stored(server, path) and "https://models.example.org/nasnet" in answer.text
        assert "Vary" not in answer.headers


@pytest.mark.parametrize(
    ("head", "shown"),
    [
        (b"GET http://other.example:99/index.html HTTP/1.1\r\nHost: here\r\n", "http://other.example:99"),
        (b"GET HTTPS://other.example/index.html HTTP/1.1\r\nHost: here\r\n", "https://other.example"),
        (b"GET /index.html HTTP/1.0\r\n", None),
        (b"GET /index.html HTTP/1.1\r\nHost: \r\n", None),
        (b"GET /index.html HTTP/1.1\r\nHost: a';x='b\r\n", None),
        (b"GET /index.html HTTP/1.1\r\nHost: a&lt;b\r\n", None),
        (b"GET /index.html HTTP/1.1\r\nHost: a%22b\r\n", None),
        (b"GET /index.html HTTP/1.1\r\nHost: $(id)\r\n", None),
    ],
)
def test_a_host_that_no_program_can_have_is_not_shown(serve: Any, head: bytes, shown: str | None) -> None:
    """Then it is the address that the connection came to."""
    server = serve(None)
    with socket.create_connection(server.server_address[:2], PATIENCE) as connection:
        connection.sendall(head + b"Accept: text/html\r\nConnection: close\r\n\r\n")
        body = received(connection).partition(b"\r\n\r\n")[2].decode()
    assert body == f"HUB = &quot;{shown or server.url.rstrip('/')}&quot;\n" * 3


_AUTHORITY = st.text("abcXYZ019.-_:[]%&'\"<>$();=,/ \\", max_size=20)


@given(host=_AUTHORITY, target=st.sampled_from(["/", "/x", "http://y/", "https://[::1]:7/a", "http://'/"]))
def test_no_address_means_anything_on_a_page(host: str, target: str) -> None:
    request = Request("", "GET", target, {"Host": host}, False, 0)
    shown = addressed.base_url(request, ("::1", 80, 0, 0))
    assert shown.startswith(("http://", "https://")) and not set(shown.partition("://")[2]) & set("'\"<>&$();=,/ \\%")
