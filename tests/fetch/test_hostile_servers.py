"""Servers that send anything: each transfer ends with the file or in a line, soon, and leaves little on the disk."""

import gzip
import itertools
import re
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from exporter.errors import CacheError, FetchError
from exporter.fetch import download, http_client
from exporter.fetch.addresses import without_password
from exporter.fetch.transfer import receive
from exporter.terminal import message
from tests.support.command import files_below
from tests.support.faulty_server import RawServer, sending

ARCHIVE = gzip.compress(bytes(range(256)) * 40)
OK = b"HTTP/1.1 200 OK\r\n"
#: Seconds in which every transfer must have ended; those that fail at once take milliseconds, unless a machine is busy.
_SOON = 10


def _head(*lines: bytes) -> bytes:
    return b"\r\n".join([b"HTTP/1.1 200 OK", *lines, b"", b""])


WHOLE = _head(b"Content-Length: %d" % len(ARCHIVE)) + ARCHIVE


@pytest.fixture
def partial(tmp_path: Path) -> Path:
    return tmp_path / "file.part"


def _refused(url: str, partial: Path, *, timeout: float = 5, retries: int = 0, size: int | None = None) -> str:
    """What is said of a transfer that fails, soon, in two lines at most."""
    began = time.monotonic()
    with pytest.raises((FetchError, CacheError)) as caught:
        receive(url, partial, timeout=timeout, retries=retries, size=size)
    assert time.monotonic() - began < _SOON
    said = message(str(caught.value))
    assert len(said.splitlines()) <= 2
    return said


def _endless(start: bytes, piece: bytes) -> Callable[[], Iterator[bytes]]:
    return lambda: itertools.chain([start], itertools.repeat(piece))


REFUSED: dict[str, tuple[bytes | Callable[[], Iterator[bytes]], str]] = {
    "no HTTP": (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "does not speak HTTP"),
    "HTTP/0.9": (b"<html>hello</html>", "does not speak HTTP"),
    "noise": (bytes(range(1, 256)) * 4, "does not speak HTTP"),
    "a status that is none": (b"HTTP/1.1 abc OK\r\n\r\n", "does not speak HTTP"),
    "a status of a thousand digits": (b"HTTP/1.1 " + b"2" * 1000 + b" OK\r\n\r\n", "does not speak HTTP"),
    "a line without an end": (_endless(b"HTTP/1.1 200 ", b"x" * 10_000), "does not speak HTTP"),
    "a header without an end": (_endless(OK + b"X: ", b"x" * 10_000), "does not speak HTTP"),
    "headers without an end": (_endless(OK, b"X: y\r\n" * 100), "does not speak HTTP"),
    "more digits than Python reads": (_head(b"Content-Length: " + b"9" * 5000) + ARCHIVE, "states the length"),
    "a negative length": (_head(b"Content-Length: -5") + ARCHIVE, "states the length"),
    "a length that is none": (_head(b"Content-Length: all") + ARCHIVE, "states the length"),
    "a length with a sign": (_head(b"Content-Length: +5") + ARCHIVE, "states the length"),
    "two lengths": (_head(b"Content-Length: 5", b"Content-Length: 6") + ARCHIVE, "5, 6"),
    "a length of an exabyte": (_head(b"Content-Length: 999999999999999999") + ARCHIVE, "more bytes than any archive"),
    "a chunk of another length": (_head(b"Transfer-Encoding: chunked") + b"zz\r\n", "broke off"),
    "a chunk of negative length": (_head(b"Transfer-Encoding: chunked") + b"-5\r\nx", "broke off"),
    "a redirect to half an address": (b"HTTP/1.1 302 Found\r\nLocation: http://[::1\r\n\r\n", "redirects to"),
    "a redirect to a port": (b"HTTP/1.1 302 Found\r\nLocation: http://a:99999/\r\n\r\n", "redirects to"),
    "a redirect to no host": (b"HTTP/1.1 302 Found\r\nLocation: http:///x\r\n\r\n", "more than 10 times"),
    "a redirect to a file": (b"HTTP/1.1 301 Moved\r\nLocation: file:///etc/passwd\r\n\r\n", "no http or https URL"),
    "a redirect to data": (b"HTTP/1.1 301 Moved\r\nLocation: data:,x\r\n\r\n", "no http or https URL"),
    "a redirect to itself": (b"HTTP/1.1 308 P\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", "more than 10 times"),
    "a redirect to odd bytes": (b"HTTP/1.1 302 F\r\nLocation: http://\xff\xfe\x80/\r\n\r\n", ""),
    "a redirect with a body without an end": (
        _endless(b"HTTP/1.1 302 F\r\nLocation: ftp://x/\r\nContent-Encoding: deflate\r\n\r\n", b"\0" * 10_000),
        "redirects to",
    ),
    "a reason of an escape": (b"HTTP/1.1 404 \x1b[31m\x1b]0;x\x07\r\n\r\n", "\\x1b[31m"),
    "a reason of 60 kB": (b"HTTP/1.1 404 " + b"x" * 60_000 + b"\r\n\r\n", "answers 404"),
    "a folded header": (_head(b"Content-Type: a\r\n b\r\n c") + b"<html>", "no .tar.gz archive but a b c"),
    "a wait of a thousand digits": (b"HTTP/1.1 503 X\r\nRetry-After: " + b"9" * 1000 + b"\r\n\r\n", "answers 503"),
    "a wait until a time that is none": (b"HTTP/1.1 503 X\r\nRetry-After: Fri, 99 Foo 99999\r\n\r\n", "answers 503"),
    "a part that nobody asked for": (
        b"HTTP/1.1 206 P\r\nContent-Range: bytes " + b"9" * 5000 + b"-1/2\r\n\r\nx",
        "another part",
    ),
    "early hints": (b"HTTP/1.1 103 Early Hints\r\n\r\n", "answers 103"),
    "nothing but continue": (b"HTTP/1.1 100 Continue\r\n\r\n" * 3, "broke off"),
}


@pytest.mark.parametrize(("answer", "said"), REFUSED.values(), ids=REFUSED)
def test_an_answer_that_is_none_is_told(
    partial: Path, answer: bytes | Callable[[], Iterator[bytes]], said: str
) -> None:
    with sending(answer) as server:
        assert said in _refused(server.url("x"), partial)
    assert not partial.exists() or partial.stat().st_size < 100_000


TAKEN = {
    "as it should be": WHOLE,
    "two lengths that are one": _head(b"Content-Length: %d" % len(ARCHIVE), b"Content-Length: %d" % len(ARCHIVE))
    + ARCHIVE,
    "no length": _head() + ARCHIVE,
    "chunks": _head(b"Transfer-Encoding: chunked") + b"%x\r\n%s\r\n0\r\n\r\n" % (len(ARCHIVE), ARCHIVE),
    "bad deflate": _head(b"Content-Encoding: deflate", b"Content-Length: %d" % len(ARCHIVE)) + ARCHIVE,
    "brotli": _head(b"Content-Encoding: br") + ARCHIVE,
    "its own packing in the head": _head(b"Content-Encoding: gzip") + ARCHIVE,
    "packed twice": _head(b"Content-Encoding: gzip") + gzip.compress(ARCHIVE),
}


@pytest.mark.parametrize("answer", TAKEN.values(), ids=TAKEN)
def test_an_answer_with_the_file_in_it_is_taken(partial: Path, answer: bytes) -> None:
    with sending(answer) as server:
        assert receive(server.url("x"), partial, timeout=10, retries=0).size == len(ARCHIVE)
    assert partial.read_bytes() == ARCHIVE


@pytest.mark.parametrize("bad", ["cut", "noise", "checksum"])
def test_packing_that_cannot_be_undone_leaves_the_bytes_as_they_came(partial: Path, bad: str) -> None:
    """They are then no archive, or not the pinned one; what they are is told by who unpacks them."""
    content = gzip.compress(ARCHIVE)
    content = {
        "cut": content[:-20],
        "noise": content[:40] + b"\xff" * 40 + content[80:],
        "checksum": content[:-8] + bytes(8),
    }[bad]
    with sending(_head(b"Content-Encoding: gzip", b"Content-Length: %d" % len(content)) + content) as server:
        assert receive(server.url("x"), partial, timeout=10, retries=0).size == len(content)
    assert partial.read_bytes() == content


def _bomb() -> bytes:
    """A few kilobytes that unpack to an archive's first bytes and 200 MB of zeros."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return packer.compress(ARCHIVE[:10]) + b"".join(packer.compress(bytes(2**20)) for _ in range(200)) + packer.flush()


@pytest.mark.parametrize("size", [None, 10**6], ids=["not pinned", "pinned"])
def test_a_bomb_is_refused_and_leaves_nothing(partial: Path, size: int | None) -> None:
    with sending(_head(b"Content-Encoding: gzip") + _bomb()) as server:
        assert "unpack to more than" in _refused(server.url("x"), partial, size=size)
    assert files_below(partial.parent) == []


def test_a_file_without_an_end_is_refused_at_its_pinned_size_and_leaves_nothing(partial: Path) -> None:
    with sending(_endless(_head() + ARCHIVE, bytes(2**16))) as server:
        assert "more bytes than the 1,000,000 that checkpoints.lock says" in _refused(
            server.url("x"), partial, size=10**6
        )
    assert files_below(partial.parent) == []


def test_a_file_without_an_end_that_is_not_pinned_is_refused_before_it_fills_the_disk(partial: Path) -> None:
    with sending(_endless(_head() + ARCHIVE, bytes(2**16))) as server, mock.patch.object(download, "LARGEST", 10**7):
        assert "more bytes than any archive has (10,000,000)" in _refused(server.url("x"), partial)
    assert files_below(partial.parent) == []


def _drip() -> Iterator[bytes]:
    return iter([OK, *([b"X-Wait: y\r\n"] * 90)])


SILENT: dict[str, tuple[bytes | Callable[[], Iterator[bytes]], float]] = {
    "no byte": (b"", 0),
    "half a head": (OK + b"Content-", 0),
    "a head alone": (_head(b"Content-Length: 999"), 0),
    "a head that drips": (_drip, 0.1),
    "continue without an end": (_endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), 0.05),
}


@pytest.mark.parametrize(("answer", "pause"), SILENT.values(), ids=SILENT)
def test_a_server_without_a_first_byte_has_one_timeout_and_no_retries(
    partial: Path, answer: bytes | Callable[[], Iterator[bytes]], pause: float
) -> None:
    with sending(answer) as server:
        server.stays_open, server.pause = True, pause
        began = time.monotonic()
        said = _refused(server.url("x"), partial, timeout=0.7, retries=5)
        assert "sent nothing for 0.7 s" in said
        assert 0.6 < time.monotonic() - began < 3.5  # with retries it would take 4.2 at least
        assert len(server.asked) == 1


def test_many_retries_are_no_error_of_arithmetic(partial: Path) -> None:
    with sending(b"HTTP/1.1 503 X\r\n\r\n") as server, mock.patch.object(time, "sleep"):
        assert "answers 503 X, 1201 times" in _refused(server.url("x"), partial, retries=1200)


# Passwords.

PASSWORD = "s3cr3t-word"


def test_a_password_is_sent_to_its_server_and_kept_nowhere(partial: Path) -> None:
    with sending(_head(b"Content-Length: 99999", b'ETag: "1"') + ARCHIVE) as server:
        url = server.url("x").replace("//", f"//user%40home:{PASSWORD}%2F@")
        said = _refused(url, partial)
        assert b"Authorization: Basic dXNlckBob21lOnMzY3IzdC13b3JkLw==" in server.asked[0]
    assert PASSWORD not in said and "user" not in said
    assert files_below(partial.parent) == ["file.part", "file.part.json"]
    assert all(PASSWORD.encode() not in path.read_bytes() for path in partial.parent.iterdir())


@pytest.mark.parametrize(
    ("target", "sent"),
    [("/elsewhere", True), ("http://127.0.0.1:{own}/y", True), ("http://127.0.0.1:{other}/y", False)],
)
def test_a_redirect_takes_the_password_to_the_same_server_only(partial: Path, target: str, sent: bool) -> None:
    with sending(b"") as server, sending(WHOLE) as other:
        to = target.format(own=server.port, other=other.port).encode()
        server.answers = [b"HTTP/1.1 302 F\r\nContent-Length: 0\r\nLocation: %s\r\n\r\n" % to, WHOLE]
        receive(server.url("x").replace("//", f"//user:{PASSWORD}@"), partial, timeout=10, retries=0)
        last = (other.asked or server.asked)[-1]
        assert (b"Authorization: Basic" in last) == sent


def test_what_is_in_netrc_is_sent_to_nobody(partial: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine 127.0.0.1\nlogin user\npassword {PASSWORD}\n", encoding="utf-8")
    monkeypatch.setenv("NETRC", str(netrc))
    with sending(b"HTTP/1.1 302 F\r\nContent-Length: 0\r\nLocation: /y\r\n\r\n", WHOLE) as server:
        receive(server.url("x"), partial, timeout=10, retries=0)
        assert len(server.asked) == 2
        assert not any(b"Authorization" in head for head in server.asked)


_PART = st.text(st.sampled_from("aZ0.-_~!$&'()*+,;=%\x1bé "), max_size=6)
_SECRET = st.text(st.sampled_from("aZ0:/?#@[]\\%.-\x1b é"), max_size=8).map(lambda text: f"{PASSWORD}{text}")


@settings(max_examples=300, deadline=None)
@given(
    scheme=st.sampled_from(["http://", "HTTPS://", "ftp://", "http:\\\\", "http:", "socks5://", "http:///"]),
    user=_PART,
    secret=_SECRET,
    host=st.sampled_from(["host", "host:80", "[::1]", "[::1", "host:port", ""]),
    path=st.sampled_from(["", "/", "/models/x.tar.gz", "/a@b/c", "?q=a@b"]),
)
@example("http://", "user", "s3cr3t-word/with:slash", "host:80", "/models/")
def test_no_password_is_shown_of_any_address(scheme: str, user: str, secret: str, host: str, path: str) -> None:
    shown = without_password(f"{scheme}{user}:{secret}@{host}{path}")
    assert PASSWORD not in shown, shown


@settings(max_examples=100, deadline=None)
@given(host=st.sampled_from(["host", "host:80", "[::1]:8", "1.2.3.4"]), path=st.sampled_from(["/x", "/a@b/c:d@e", ""]))
def test_an_address_without_a_password_is_shown_as_it_is(host: str, path: str) -> None:
    assert without_password(f"https://{host}{path}") == f"https://{host}{path}"
    assert without_password(f"/folder{path}") == f"/folder{path}"


# What the environment says.


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in (*http_client.CERTIFICATES, "http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return monkeypatch


@pytest.mark.parametrize("variable", http_client.CERTIFICATES)
@pytest.mark.parametrize(("kind", "said"), [("absent", "No such file"), ("text", "it holds no certificates")])
def test_certificates_that_cannot_be_read_are_named(
    environment: pytest.MonkeyPatch, partial: Path, tmp_path: Path, variable: str, kind: str, said: str
) -> None:
    path = tmp_path / kind
    if kind == "text":
        path.write_text("no certificate")
    environment.setenv(variable, str(path))
    told = _refused("https://127.0.0.1:9/x", partial)
    assert f"{variable} names {path}" in told and said in told


def test_the_first_of_the_certificates_counts(environment: pytest.MonkeyPatch, partial: Path) -> None:
    for number, variable in enumerate(http_client.CERTIFICATES):
        environment.setenv(variable, f"/absent/{number}")
    assert "REQUESTS_CA_BUNDLE names /absent/0" in _refused("https://127.0.0.1:9/x", partial)
    environment.setenv("REQUESTS_CA_BUNDLE", "")
    assert "CURL_CA_BUNDLE names /absent/1" in _refused("https://127.0.0.1:9/x", partial)


def test_a_proxy_is_named_with_its_refusal_and_without_its_password(
    environment: pytest.MonkeyPatch, partial: Path
) -> None:
    def told(proxy: str, url: str = "http://checkpoints.invalid/x", variable: str = "http_proxy") -> str:
        environment.setenv(variable, proxy)
        said = _refused(url, partial)
        assert PASSWORD not in said
        environment.delenv(variable)
        return said

    with sending(b"") as gone:
        pass
    proxy = f"http://user:{PASSWORD}@127.0.0.1:{gone.port}"
    shown = f"through the proxy http://127.0.0.1:{gone.port}"
    for url, variable in (("http://a.invalid/", "http_proxy"), ("https://a.invalid/", "https_proxy")):
        said = told(proxy, url, variable)
        assert shown in said and "Connection refused" in said
    with sending(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n") as wants_password:
        said = told(wants_password.url())
        assert "answers 407" in said and "through the proxy" in said and "user name and a password" in said
        said = told(wants_password.url(), "https://a.invalid/", "https_proxy")
        assert "407" in said and "through the proxy" in said
        assert "PySocks" in told(f"socks5://user:{PASSWORD}@127.0.0.1:1", variable="all_proxy")
    with sending(b"") as silent:
        silent.stays_open = True
        for url, variable in (("http://a.invalid/", "http_proxy"), ("https://a.invalid/", "https_proxy")):
            environment.setenv(variable, silent.url())
            said = _refused(url, partial, timeout=0.5)
            assert f"sent nothing for 0.5 s, through the proxy {silent.url()}" in said
            environment.delenv(variable)
    for wrong in ("http://[::1", "foo://x", "http://a:99999", "http://", f"http://user:{PASSWORD}@:x", "socks9://a"):
        told(wrong)


def test_a_proxy_gets_its_password_and_no_proxy_counts(environment: pytest.MonkeyPatch, partial: Path) -> None:
    with sending(WHOLE) as proxy:
        environment.setenv("http_proxy", proxy.url().replace("//", f"//user:{PASSWORD}@"))
        receive("http://checkpoints.invalid/x", partial, timeout=10, retries=0)
        assert b"Proxy-Authorization: Basic" in proxy.asked[0]
    partial.unlink()
    with sending(WHOLE) as server:
        environment.setenv("no_proxy", "127.0.0.1")
        receive(server.url("x"), partial, timeout=10, retries=0)
        assert server.asked[0].startswith(b"GET /x")


# Anything at all.

_NUMBER = st.sampled_from(
    [b"0", b"-1", b"5", b"99", b"9" * 30, b"9" * 5000, b"", b"abc", b"1e3", b"0x10", b"5, 5", b"\xb2"]
)
_RUBBISH = st.binary(max_size=30)
_VALUES: dict[bytes, st.SearchStrategy[bytes]] = {
    b"Content-Length": _NUMBER | st.just(b"%d" % len(ARCHIVE)),
    b"Content-Range": st.builds(b"bytes %b-%b/%b".__mod__, st.tuples(_NUMBER, _NUMBER, _NUMBER)) | _RUBBISH,
    b"Content-Encoding": st.sampled_from([b"gzip", b"deflate", b"br", b"gzip, gzip", b"\xff"]) | _RUBBISH,
    b"Transfer-Encoding": st.sampled_from([b"chunked", b"gzip, chunked", b"identity"]) | _RUBBISH,
    b"Location": st.sampled_from([b"/y", b"http://[", b"//", b"http://127.0.0.1:1/", b"https://x:y/", b"?"]) | _RUBBISH,
    b"Retry-After": _NUMBER | st.just(b"Fri, 31 Dec 9999 23:59:59 GMT"),
    b"x-goog-hash": st.sampled_from([b"md5=", b"crc32c", b"md5=\xff,md5=x"]) | _RUBBISH,
    b"ETag": _RUBBISH,
    b"Set-Cookie": _RUBBISH,
    b"Connection": st.sampled_from([b"close", b"keep-alive", b"upgrade"]),
    b"Content-Type": _RUBBISH,
}
_HEADER = st.one_of([st.tuples(st.just(name), value) for name, value in _VALUES.items()]) | st.tuples(
    _RUBBISH, _RUBBISH
)
_STATUS = st.sampled_from(
    [b"HTTP/1.1 %d %s" % (code, said) for code in (200, 206, 302, 404, 416, 503) for said in (b"OK", b"\x1b[1m")]
)
_CHUNKS = st.lists(st.tuples(_NUMBER, _RUBBISH), max_size=3).map(
    lambda parts: b"".join(b"%b\r\n%b\r\n" % part for part in parts)
)
_BODY = (
    st.sampled_from([ARCHIVE, ARCHIVE[:50], gzip.compress(ARCHIVE), b"\x1f\x8b" + b"\xff" * 30, b""])
    | _RUBBISH
    | _CHUNKS
)
_ANSWER = st.builds(
    lambda status, headers, body: b"\r\n".join([status, *(b": ".join(header) for header in headers), b"", body]),
    st.one_of(_STATUS, _STATUS, _RUBBISH),
    st.lists(_HEADER, max_size=6),
    _BODY,
)


@pytest.fixture(scope="module")
def raw() -> Iterator[RawServer]:
    with sending(b"") as server:
        yield server


@settings(max_examples=300, deadline=None)
@given(answers=st.lists(_ANSWER, min_size=1, max_size=3), size=st.sampled_from([None, len(ARCHIVE)]))
def test_whatever_a_server_sends_is_the_file_or_an_error_in_two_lines(
    raw: RawServer, tmp_path_factory: pytest.TempPathFactory, answers: list[bytes], size: int | None
) -> None:
    folder = tmp_path_factory.mktemp("transfer")
    raw.answers = [*answers, b""]
    began = time.monotonic()
    with mock.patch.object(download, "_FIRST_WAIT", 0.001), mock.patch.object(download, "_LONGEST_RETRY_AFTER", -1):
        try:
            received = receive(raw.url("x"), folder / "f.part", size=size, timeout=1, retries=1)
        except (FetchError, CacheError) as error:
            said = message(str(error))
            assert 1 <= len(said.splitlines()) <= 2 and re.match(r"http://127|[\d,]+ bytes are to come", said), said
        else:
            assert (folder / "f.part").read_bytes().startswith(b"\x1f\x8b")
            assert received.size == (folder / "f.part").stat().st_size
    assert time.monotonic() - began < _SOON
    assert sum(path.stat().st_size for path in folder.iterdir()) < 2**20
