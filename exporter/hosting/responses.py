"""How a file is sent over HTTP: whole, in part, or not at all where the client has it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from exporter.hosting.routes import Listed

#: A version can be built anew, and its files belong together: what was cached must be asked for again, which costs
#: an answer without content as long as nothing has changed.
_CACHED = "public, no-cache"

#: More digits than any size has; Python refuses to read thousands of them.
_RANGE = re.compile(r"bytes\s*=\s*([0-9]{0,18})\s*-\s*([0-9]{0,18})\s*", re.IGNORECASE)

_ETAG = re.compile(r'(?:W/)?("[^"]*")')


@dataclass(frozen=True)
class Delivery:
    """An answer with a file: status, headers, and the bytes to send, from ``start`` on."""

    status: int
    headers: Mapping[str, str]
    start: int = 0
    length: int = 0


def deliver(file: Listed, size: int, sha256: str, method: str, headers: Mapping[str, str]) -> Delivery:
    """How a file of ``size`` bytes with this hash is sent: the whole, one part of it, or nothing that is not needed.

    ``headers`` are the request's, with names in the case of ``If-None-Match``.
    """
    etag = f'"{sha256}"'
    kept = {"ETag": etag, "Cache-Control": _CACHED}
    if not _matches(headers.get("If-Match"), etag, True, weak=False):
        return Delivery(412, {"ETag": etag, "Cache-Control": "no-store", "Content-Length": "0"})
    if _matches(headers.get("If-None-Match"), etag, False, weak=True):
        return Delivery(304, kept)
    described = {**kept, "Content-Type": file.content_type, "Accept-Ranges": "bytes"}
    part = _range(headers, size, etag) if method == "GET" else None
    if part is None:
        return Delivery(200, {**described, "Content-Length": str(size)}, 0, size)
    start, end = part
    if start >= end:
        unmet = {"Content-Range": f"bytes */{size}", "Cache-Control": "no-store", "Content-Length": "0"}
        return Delivery(416, unmet)
    length = end - start
    ranged = {"Content-Range": f"bytes {start}-{end - 1}/{size}", "Content-Length": str(length)}
    return Delivery(206, {**described, **ranged}, start, length)


def _matches(header: str | None, etag: str, without: bool, weak: bool) -> bool:
    """Whether one of a header's tags is this one; ``without`` where there is no such header."""
    if header is None:
        return without
    tags = (match for match in _ETAG.finditer(header) if weak or not match[0].startswith("W/"))
    return header.strip() == "*" or any(match[1] == etag for match in tags)


def _range(headers: Mapping[str, str], size: int, etag: str) -> tuple[int, int] | None:
    """The first byte asked for and the one after the last; None for all.

    Nothing lies between them where no byte is there to be sent. Several parts at once are answered with all, which a
    server is free to do, and so is what makes no sense.
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
