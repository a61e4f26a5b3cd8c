"""Responses with a file: all of it, a range, or only headers when the client has it already (RFC 9110)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from exporter.hosting.routes import ListedFile
from exporter.release.media_types import CACHE_CONTROL

#: 18 digits are more than any file size has; Python refuses to convert thousands of them.
_RANGE = re.compile(r"bytes\s*=\s*([0-9]{0,18})\s*-\s*([0-9]{0,18})\s*", re.IGNORECASE)

_ETAG = re.compile(r'(?:W/)?("[^"]*")')


@dataclass(frozen=True)
class Delivery:
    """A response with a file: status, headers, and which bytes to send: ``length`` of them from ``start`` on."""

    status: int
    headers: Mapping[str, str]
    start: int = 0
    length: int = 0


def deliver(file: ListedFile, size: int, sha256: str, method: str, headers: Mapping[str, str]) -> Delivery:
    """The response to a request for a file of ``size`` bytes with this hash.

    Args:
        file: what is sent.
        size: its size in bytes.
        sha256: its hash in hexadecimal, which is its ETag.
        method: GET or HEAD.
        headers: those of the request, with names in title case, such as ``If-None-Match``.
    """
    etag = f'"{sha256}"'
    validators = {"ETag": etag, "Cache-Control": CACHE_CONTROL}
    if not _matches(headers.get("If-Match"), etag, default=True, weak=False):
        return Delivery(412, {"ETag": etag, "Cache-Control": "no-store", "Content-Length": "0"})
    if _matches(headers.get("If-None-Match"), etag, default=False, weak=True):
        return Delivery(304, validators)
    entity = {**validators, "Content-Type": file.content_type, "Accept-Ranges": "bytes"}
    requested = _range(headers, size, etag) if method == "GET" else None
    if requested is None:
        return Delivery(200, {**entity, "Content-Length": str(size)}, 0, size)
    start, end = requested
    if start >= end:
        return Delivery(416, {"Content-Range": f"bytes */{size}", "Cache-Control": "no-store", "Content-Length": "0"})
    length = end - start
    partial = {"Content-Range": f"bytes {start}-{end - 1}/{size}", "Content-Length": str(length)}
    return Delivery(206, {**entity, **partial}, start, length)


def _matches(header: str | None, etag: str, default: bool, weak: bool) -> bool:
    """Whether a header lists this tag (if ``weak``, also as a weak one); ``default`` if there is no such header."""
    if header is None:
        return default
    tags = (match for match in _ETAG.finditer(header) if weak or not match[0].startswith("W/"))
    return header.strip() == "*" or any(match[1] == etag for match in tags)


def _range(headers: Mapping[str, str], size: int, etag: str) -> tuple[int, int] | None:
    """The first byte of the requested range and the byte after its last; None for the whole file.

    The range is empty if it lies beyond the end of the file. Requests for several ranges and invalid ones are answered
    with the whole file, which RFC 9110 allows.
    """
    match = _RANGE.fullmatch(headers.get("Range", "").strip())
    if match is None or headers.get("If-Range", etag).strip() != etag:
        return None
    first, last = match.groups()
    if first and last and int(last) < int(first):
        return None
    if first:
        return min(int(first), size), min(int(last) + 1, size) if last else size
    return (max(size - int(last), 0), size) if last else None
