"""Requests that can be read in two ways (RFC 9112): refused, and the connection closed or its state unharmed."""

import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from exporter.hosting.request import MAX_LINE, RefusedError, Request, read
from tests.support.command import Command
from tests.support.servers import Served, serving

HOST = b"Host: here\r\n"
#: What comes after each request in the same connection: it is answered right, or not at all.
NEXT = b"GET /provenance.json HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n"

#: Requests that nobody may take for something, by what is wrong with them, and the status of the answer.
REFUSED: dict[str, tuple[bytes, int]] = {
    "two lengths": (b"GET / HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400),
    "a length twice": (b"GET / HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400),
    "a list of lengths": (b"GET / HTTP/1.1\r\n" + HOST + b"Content-Length: 5, 5\r\n\r\nhello", 400),
    "a length with a sign": (b"GET / HTTP/1.1\r\n" + HOST + b"Content-Length: +5\r\n\r\nhello", 400),
    "a negative length": (b"GET / HTTP/1.1\r\n" + HOST + b"Content-Length: -5\r\n\r\nhello", 400),
    "a hexadecimal length": (b"GET / HTTP/1.1\r\n" + HOST + b"Content-Length: 0x5\r\n\r\nhello", 400),
    "a length of other digits": (b"GET / HTTP/1.1\r\n" + HOST + b"Content-Length: \xb2\r\n\r\nhe", 400),
    "a length with an underscore": (b"GET / HTTP/1.1\r\n" + HOST + b"Content-Length: 1_0\r\n\r\nhello", 400),
    "no length": (b"GET / HTTP/1.1\r\n" + HOST + b"Content-Length:\r\n\r\nhello", 400),
    "a huge length": (b"GET / HTTP/1.1\r\n" + HOST + b"Content-Length: %s\r\n\r\n" % (b"9" * 5000), 413),
    "a length and a coding": (
        b"GET / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        400,
    ),
    "a coding and a length": (
        b"GET / HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    "an unknown coding": (b"GET / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400),
    "a coding that is not the last": (
        b"GET / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        400,
    ),
    "two codings": (
        b"GET / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    "a coding in HTTP/1.0": (b"GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "a space before the colon": (b"GET / HTTP/1.1\r\n" + HOST + b"Content-Length : 5\r\n\r\nhello", 400),
    "a tab before the colon": (b"GET / HTTP/1.1\r\n" + HOST + b"Content-Length\t: 5\r\n\r\nhello", 400),
    "a folded header": (b"GET / HTTP/1.1\r\n" + HOST + b"X: a\r\n b\r\n\r\n", 400),
    "a header folded with a tab": (b"GET / HTTP/1.1\r\n" + HOST + b"X: a\r\n\tb\r\n\r\n", 400),
    "a space before the first header": (b"GET / HTTP/1.1\r\n " + HOST + b"\r\n", 400),
    "a header without a name": (b"GET / HTTP/1.1\r\n" + HOST + b": x\r\n\r\n", 400),
    "a header without a colon": (b"GET / HTTP/1.1\r\n" + HOST + b"Content-Length 5\r\n\r\nhello", 400),
    "a name with a byte that no name has": (b"GET / HTTP/1.1\r\n" + HOST + b"Content\xadLength: 5\r\n\r\nhello", 400),
    "a lone line feed after the request": (b"GET / HTTP/1.1\n" + HOST + b"\r\n", 400),
    "a lone line feed after a header": (b"GET / HTTP/1.1\r\nHost: here\nX: y\r\n\r\n", 400),
    "lone line feeds at the end": (b"GET / HTTP/1.1\r\nHost: here\n\n", 400),
    "a lone carriage return in a value": (b"GET / HTTP/1.1\r\n" + HOST + b"X: a\rContent-Length: 5\r\n\r\nhello", 400),
    "a lone carriage return in the request": (b"GET /\r HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "two carriage returns": (b"GET / HTTP/1.1\r\r\n" + HOST + b"\r\n", 400),
    "a zero byte in a value": (b"GET / HTTP/1.1\r\n" + HOST + b"X: a\0b\r\n\r\n", 400),
    "a zero byte in a name": (b"GET / HTTP/1.1\r\n" + HOST + b"X\0: a\r\n\r\n", 400),
    "a zero byte in the address": (b"GET /\0 HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "no Host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "two Hosts": (b"GET / HTTP/1.1\r\n" + HOST + HOST + b"\r\n", 400),
    "two Hosts in HTTP/1.0": (b"GET / HTTP/1.0\r\n" + HOST + HOST + b"\r\n", 400),
    "a Host with a space": (b"GET / HTTP/1.1\r\nHost: he re\r\n\r\n", 400),
    "a Host with a path": (b"GET / HTTP/1.1\r\nHost: here/there\r\n\r\n", 400),
    "a Host with a user": (b"GET / HTTP/1.1\r\nHost: me@here\r\n\r\n", 400),
    "a Host with an open bracket": (b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 400),
    "a Host with another port": (b"GET / HTTP/1.1\r\nHost: here:http\r\n\r\n", 400),
    "two Hosts in one": (b"GET / HTTP/1.1\r\nHost: here, there, \xe9\r\n\r\n", 400),
    "an address without a Host": (b"GET http:///index.html HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "an address with a user": (b"GET http://me@here/ HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "an address of something else": (b"GET ftp://here/ HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "no slash": (b"GET index.html HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "a fragment": (b"GET /index.html#x HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "an asterisk": (b"GET * HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "two spaces": (b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "a space in the address": (b"GET /a b HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "a space at the end": (b"GET / HTTP/1.1 \r\n" + HOST + b"\r\n", 400),
    "a tab": (b"GET\t/ HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "no version": (b"GET /\r\n" + HOST + b"\r\n", 400),
    "a version of other digits": (b"GET / HTTP/1.10\r\n" + HOST + b"\r\n", 400),
    "a version in small letters": (b"GET / http/1.1\r\n" + HOST + b"\r\n", 400),
    "a newer version": (b"GET / HTTP/2.0\r\n" + HOST + b"\r\n", 505),
    "an older version": (b"GET / HTTP/0.9\r\n" + HOST + b"\r\n", 505),
    "a method that is no word": (b"G(T / HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "two empty lines": (b"\r\n\r\nGET / HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "a long address": (b"GET /%s HTTP/1.1\r\n" % (b"a" * MAX_LINE) + HOST + b"\r\n", 414),
    "a long value": (b"GET / HTTP/1.1\r\n" + HOST + b"X: %s\r\n\r\n" % (b"a" * MAX_LINE), 431),
    "many headers": (b"GET / HTTP/1.1\r\n" + HOST + b"X: y\r\n" * 100 + b"\r\n", 431),
    "another protocol": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n", 400),
}


@pytest.fixture(scope="module")
def own_served(cli: Command, release: Path) -> Iterator[Served]:
    with serving(cli, release) as served:
        yield served


def statuses(answer: bytes) -> list[int]:
    """The status of each response; fails where what was sent is no row of whole responses."""
    found = []
    while answer:
        head, separator, rest = answer.partition(b"\r\n\r\n")
        assert separator, answer[:200]
        first, *fields = head.split(b"\r\n")
        match = re.fullmatch(rb"HTTP/1\.1 ([0-9]{3}) [A-Za-z -]+", first)
        assert match, first
        (length,) = (int(field.split(b": ")[1]) for field in fields if field.startswith(b"Content-Length: "))
        assert len(rest) >= length, "cut short"
        found.append(int(match[1]))
        closed = b"Connection: close" in fields
        answer = rest[length:]
        assert not (closed and answer), "more came after the last response"
        if not answer:
            assert closed, "the connection was closed without a word"
    return found


@pytest.mark.parametrize("name", REFUSED)
def test_what_can_be_read_in_two_ways_is_refused_and_the_connection_closed(own_served: Served, name: str) -> None:
    request, status = REFUSED[name]
    assert statuses(own_served.raw(request + NEXT)) == [status]


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /SHA256SUMS HTTP/1.1\r\n" + HOST + b"\r\n",
        b"\r\nGET /SHA256SUMS HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET http://elsewhere:80/SHA256SUMS HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET HTTPS://[::1]/SHA256SUMS HTTP/1.1\r\nHost: [::1]:8000\r\n\r\n",
        b"GET /SHA256SUMS? HTTP/1.1\r\nHost:\r\n\r\n",
        b"GET /SHA256SUMS HTTP/1.9\r\nhOST:here\t\r\nX:\t y z \r\n\r\n",
        b"GET /SHA256SUMS HTTP/1.1\r\n" + HOST + b"Content-Length: 0\r\n\r\n",
        b"GET /SHA256SUMS HTTP/1.1\r\n" + HOST + b"X: \xe9\r\n" * 99 + b"\r\n",
    ],
)
def test_what_the_standard_allows_is_answered_and_the_next_request_too(own_served: Served, request_: bytes) -> None:
    assert statuses(own_served.raw(request_ + NEXT)) == [200, 200]


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /SHA256SUMS HTTP/1.1\r\n" + HOST + b"Connection: x, CLOSE\r\n\r\n", 200),
        (b"GET /SHA256SUMS HTTP/1.0\r\n\r\n", 200),
        (b"GET /SHA256SUMS HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 200),
        (b"GET /SHA256SUMS HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n\r\nhello", 200),
        (b"GET /SHA256SUMS HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 200),
        (b"POST /SHA256SUMS HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n\r\nhello", 405),
        (b"POST /SHA256SUMS HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n", 405),
    ],
)
def test_a_connection_ends_where_it_should_or_a_body_came(own_served: Served, request_: bytes, status: int) -> None:
    assert statuses(own_served.raw(request_ + NEXT)) == [status]


def test_the_answer_arrives_before_the_connection_ends(own_served: Served) -> None:
    """What a client still sends must not make the system throw away what it was told."""
    bad = b"GET / HTTP/1.1\r\nHost : here\r\n\r\n"
    good = b"GET / HTTP/1.1\r\nHost: here\r\nContent-Length: 400000\r\n\r\n"
    for request, status in ((bad, 400), (good, 200)):
        assert statuses(own_served.raw(request + bytes(400_000))) == [status]


# Anything at all

LINES = st.sampled_from(
    [
        b"GET / HTTP/1.1", b"HEAD / HTTP/1.1", b"GET /SHA256SUMS HTTP/1.1", b"GET / HTTP/1.0", b"POST / HTTP/1.1",
        b"GET /", b"Host: here", b"Host:", b"host: [::1]:80", b"Content-Length: 5", b"Content-Length: 0",
        b"content-length:3", b"Transfer-Encoding: chunked", b"Connection: close", b"Connection: keep-alive",
        b"Expect: 100-continue",
        b"X: y", b" folded", b"X : y", b"\0", b"", b"", b"hello", b"5", b"0",
        *(name.split(b"\r\n")[-3] for name, _ in REFUSED.values() if name.count(b"\r\n") > 2),
    ]
)  # fmt: skip
ENDS = st.sampled_from([b"\r\n"] * 12 + [b"\n", b"\r", b"", b"\r\r\n", b" \r\n", b"\x0b", b"\x85"])
ANYTHING = st.one_of(
    st.binary(max_size=200),
    st.lists(st.tuples(LINES, ENDS).map(b"".join), max_size=8).map(b"".join),
    st.builds(
        lambda request, at, piece: request[: at % len(request)] + piece + request[at % len(request) + 1 :],
        st.sampled_from([b"GET /SHA256SUMS HTTP/1.1\r\nHost: here\r\nRange: bytes=0-4\r\n\r\n", NEXT]),
        st.integers(0, 200),
        st.binary(max_size=2),
    ),
)
#: A request as the standard has it, and nothing else: what is none must not be taken for one.
STRICT = re.compile(
    rb"(\r\n)?(?P<method>[A-Za-z0-9!#$%&'*+.^_`|~-]+) [!-~\x80-\xff]+ HTTP/1\.[0-9]\r\n"
    rb"(?P<fields>([A-Za-z0-9!#$%&'*+.^_`|~-]+:[\t -~\x80-\xff]*\r\n)*)\r\n"
)


def _is_sound(head: re.Match[bytes]) -> bool:
    fields = [line.partition(b":")[::2] for line in head["fields"].split(b"\r\n")[:-1]]
    names = [name.lower() for name, _ in fields]
    lengths = [value.strip(b" \t") for name, value in fields if name.lower() == b"content-length"]
    old = b" HTTP/1.0\r\n" in head[0]
    return (
        names.count(b"host") <= 1
        and (old or b"host" in names)
        and (not lengths or (len(lengths) == 1 and lengths[0].isdigit()))
        and not (b"transfer-encoding" in names and (lengths or old))
    )


@settings(max_examples=400, deadline=None)
@given(st.lists(ANYTHING, min_size=1, max_size=3).map(b"".join))
@example(NEXT + NEXT)
@example(b"GET / HTTP/1.1\r\nHost: here\r\nX: a\r\n\r\n" + NEXT)
def test_no_bytes_are_taken_for_a_request_that_the_standard_does_not_have(content: bytes) -> None:
    stream = io.BytesIO(content)
    while True:
        begun = stream.tell()
        try:
            request = read(stream.readline)
        except RefusedError:
            return
        if request is None:
            return
        taken = content[begun : stream.tell()]
        match = STRICT.fullmatch(taken)
        assert match and _is_sound(match), taken
        assert isinstance(request, Request) and request.method.encode() == match["method"]
        if request.body:
            assert request.closing


@settings(max_examples=150, deadline=None)
@given(ANYTHING)
def test_a_connection_stays_in_step_whatever_is_sent(own_served: Served, content: bytes) -> None:
    """Whole responses come, at most one for each request; and either the last of them is to the last request, or the
    connection was closed before it, with a reason.
    """
    answer = own_served.raw(content + NEXT)
    # What follows may have become a part of it, as a value or a body.
    found = statuses(answer) if answer else []
    assert len(found) <= content.count(b"HTTP/1.") + 1 + content.count(b"\n")
    head = STRICT.match(content + NEXT)
    if found[:1] == [200]:
        assert head and _is_sound(head), content
    assert statuses(own_served.raw(NEXT)) == [200]
