"""The head of a request, read as strictly as RFC 9112 allows.

Two programs that read the same bytes as different requests can be played off against each other: a proxy lets pass what
the server then takes for something else. So what can be read in two ways is refused, and the connection is closed,
since nobody knows where the next request would begin.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

#: Bytes of a line at most, and header fields at most.
MAX_LINE = 2**16
MAX_FIELDS = 100

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_REQUEST_LINE = re.compile(rb"(%s) ([^\x00-\x20\x7f]+) HTTP/([0-9])\.([0-9])" % _TOKEN)
#: Every control character but the tab is invalid in a value; a line that begins with a space continues another one.
_FIELD = re.compile(rb"(%s):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)" % _TOKEN)
_DIGITS = re.compile(r"[0-9]+")
#: Of a length: Python refuses to convert thousands of them.
_MAX_DIGITS = 18
#: A name, an address, or an IPv6 address in brackets; then perhaps a port (RFC 3986, 3.2.2 and 3.2.3).
_AUTHORITY = r"(\[[0-9A-Za-z:.%~_-]+\]|([0-9A-Za-z._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*)(:[0-9]*)?"
_HOST = re.compile(_AUTHORITY)
#: What a server may be asked for: a path, or a whole address. A fragment is never sent.
_TARGET = re.compile(rf"(https?://(?=[^/?:]){_AUTHORITY}(/[^?#]*)?|/[^?#]*)(\?[^#]*)?", re.IGNORECASE)


class RefusedError(Exception):
    """A request that is answered with ``status``, after which its connection is closed."""

    def __init__(self, status: HTTPStatus, line: str = ""):
        super().__init__(status, line)
        self.status, self.line = status, line


@dataclass(frozen=True)
class Request:
    """The head of a request: ``headers`` by their names in title case, values of the same name joined by commas.

    ``closing`` tells that no other request comes in its connection; ``body`` is the number of bytes that follow, None
    where it is not known beforehand.
    """

    line: str
    method: str
    target: str
    headers: dict[str, str]
    closing: bool
    body: int | None


def read(read_line: Callable[[int], bytes]) -> Request | None:
    """The next request of a connection; None where it has ended.

    Args:
        read_line: gives the next line with its end, or as many of its bytes as it is given, or what came before the
            end of the connection.

    Raises:
        RefusedError: it is malformed, ambiguous, too long, or of another version of HTTP.
    """
    line = _line(read_line, HTTPStatus.REQUEST_URI_TOO_LONG)
    if line == b"":
        line = _line(read_line, HTTPStatus.REQUEST_URI_TOO_LONG)  # one may come after a body
    if line is None:
        return None
    shown = line.decode("latin-1")
    try:
        return _request(shown, line, read_line)
    except RefusedError as error:
        raise RefusedError(error.status, shown) from error


def _request(shown: str, line: bytes, read_line: Callable[[int], bytes]) -> Request | None:
    match = _REQUEST_LINE.fullmatch(line)
    if match is None:
        raise RefusedError(HTTPStatus.BAD_REQUEST)
    if match[3] != b"1":
        raise RefusedError(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED)
    method, target, old = match[1].decode("ascii"), match[2].decode("latin-1"), match[4] == b"0"
    fields = _fields(read_line)
    if fields is None:
        return None
    _require_target(method, target)
    _require_host(fields.get("Host", []), old)
    headers = {name: ", ".join(values) for name, values in fields.items()}
    connection = {token.strip().lower() for token in headers.get("Connection", "").split(",")}
    body = _body(fields, old)
    # In HTTP/1.0 a connection is for one request; what was agreed on there besides is not worth its trouble.
    return Request(shown, method, target, headers, old or "close" in connection or body != 0, body)


def _line(read_line: Callable[[int], bytes], too_long: HTTPStatus) -> bytes | None:
    """A line without its end; None where the connection ends instead."""
    line = read_line(MAX_LINE + 1)
    if len(line) > MAX_LINE:
        raise RefusedError(too_long)
    if not line.endswith(b"\n"):
        return None
    # A lone line feed or carriage return ends a line for some programs, and is part of it for others.
    if not line.endswith(b"\r\n") or b"\r" in line[:-2]:
        raise RefusedError(HTTPStatus.BAD_REQUEST)
    return line[:-2]


def _fields(read_line: Callable[[int], bytes]) -> dict[str, list[str]] | None:
    """The values of each field; None where the connection ends before they do."""
    fields: dict[str, list[str]] = {}
    count = 0
    while line := _line(read_line, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE):
        count += 1
        if count > MAX_FIELDS:
            raise RefusedError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        match = _FIELD.fullmatch(line)
        if match is None:
            raise RefusedError(HTTPStatus.BAD_REQUEST)
        fields.setdefault(match[1].decode("ascii").title(), []).append(match[2].decode("latin-1").rstrip(" \t"))
    return None if line is None else fields


def _require_target(method: str, target: str) -> None:
    """What else than an address there is, is for methods that this server does not know."""
    if method in ("CONNECT", "OPTIONS"):
        return
    if not _TARGET.fullmatch(target):
        raise RefusedError(HTTPStatus.BAD_REQUEST)


def _require_host(hosts: list[str], old: bool) -> None:
    if len(hosts) > 1 or not (hosts or old) or not all(_HOST.fullmatch(host) for host in hosts):
        raise RefusedError(HTTPStatus.BAD_REQUEST)


def _body(fields: dict[str, list[str]], old: bool) -> int | None:
    """The length of the body: 0 without one, None for one that says itself where it ends."""
    lengths, codings = fields.get("Content-Length", []), fields.get("Transfer-Encoding", [])
    if codings:
        # Beside a length, or in HTTP/1.0, where it is not known, it is what an attack looks like.
        if lengths or old or [coding.lower() for coding in codings] != ["chunked"]:
            raise RefusedError(HTTPStatus.BAD_REQUEST)
        return None
    if not lengths:
        return 0
    if len(lengths) > 1 or not _DIGITS.fullmatch(lengths[0]):
        raise RefusedError(HTTPStatus.BAD_REQUEST)
    digits = lengths[0].lstrip("0") or "0"
    if len(digits) > _MAX_DIGITS:
        raise RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    return int(digits)
