"""What a server of a release answers: from the manifest, the address and the headers of a request.

tensorflow-hub asks for ``HANDLE?tf-hub-format=compressed`` and takes a ``.tar.gz``; people open ``HANDLE`` and get the
model page. Only what the manifest lists has an address: an address is looked up in a table, and is never made into a
path. Nothing here reads or sends: `exporter.hosting.released_files` and `exporter.hosting.server` do.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from urllib.parse import parse_qsl, unquote

from exporter.release.manifest import INDEX_FILE, MANIFEST_FILE, PROVENANCE_FILE, SUMS_FILE, Record

METHODS = ("GET", "HEAD")
_FORMAT = "tf-hub-format"
_TEXT = {"Content-Type": "text/plain; charset=utf-8", "Cache-Control": "no-store"}
_TYPES = {
    ".gz": "application/gzip",
    ".html": "text/html; charset=utf-8",
    ".json": "application/json",
    ".md": "text/markdown; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    "": "application/octet-stream",
}
#: So many handles are named in a refusal.
_MOST_NAMED = 50


@dataclass(frozen=True)
class Listed:
    """A file that is served: its path in the release, and its sha256 in hexadecimal where the manifest has it."""

    path: str
    sha256: str | None = None

    @property
    def content_type(self) -> str:
        if self.path == SUMS_FILE:
            return _TYPES[".txt"]
        return _TYPES.get(PurePosixPath(self.path).suffix, _TYPES[""])


@dataclass(frozen=True)
class Listing:
    """All that a release serves: files by their path, and records by their handle."""

    files: Mapping[str, Listed]
    records: Mapping[str, Record]


@dataclass(frozen=True)
class Reply:
    """An answer in words: its status, headers and text."""

    status: int
    text: str
    headers: Mapping[str, str] = field(default_factory=lambda: dict(_TEXT))


def listing(records: Iterable[Record]) -> Listing:
    """What the records of a release list, their own files, and those that every release has."""
    known = {record.handle: record for record in records}
    listed = [Listed(path) for path in (MANIFEST_FILE, SUMS_FILE, PROVENANCE_FILE, INDEX_FILE)]
    for record in known.values():
        listed.append(Listed(record.place.record))
        listed += [Listed(file.path, file.sha256) for file in record.all_files]
    return Listing({file.path: file for file in listed if _is_plain(file.path)}, known)


def _is_plain(path: str) -> bool:
    """Whether a path leads down only, to nothing hidden, also where a manifest says otherwise."""
    return "\0" not in path and all(part and not part.startswith(".") for part in path.split("/"))


def route(listing: Listing, target: str) -> Listed | Reply:
    """What a request is about. ``target`` is the request's, as it came: a path with a query, or a whole URL."""
    path, query = _parts(target)
    if path is None:
        return nothing(listing)
    wanted = dict(parse_qsl(query, errors="replace")).get(_FORMAT)
    record = listing.records.get(path.removesuffix("/"))
    file = listing.files.get(path or INDEX_FILE)
    if wanted == "uncompressed" and (record or file):
        return _no_bucket()
    if record and wanted == "compressed":
        return listing.files.get(record.archive.path) or nothing(listing)
    if record and wanted is None:
        # The page's links are relative to the folder that it lies in.
        if path.endswith("/"):
            return _redirect(f"../{record.version}")
        file = listing.files.get(record.page_html.path)
    if file:
        return file
    if wanted is None and any(handle.startswith(path.removesuffix("/") + "/") for handle in listing.records):
        return _redirect("../" * path.count("/") or "./")
    return nothing(listing)


def _parts(target: str) -> tuple[str | None, str]:
    """Path, without the first slash, and query; None for a path that can be nothing's.

    Each part of a path is decoded by itself, and once: an encoded slash or a second layer of encoding finds nothing.
    """
    if re.match(r"https?://", target, re.IGNORECASE):  # as a proxy is asked
        target = "/" + target.split("://", 1)[1].partition("/")[2]
    path, _, query = target.partition("#")[0].partition("?")
    if not path.startswith("/"):
        return None, query
    try:
        decoded = [unquote(part, errors="strict") for part in path[1:].split("/")]
    except UnicodeDecodeError:
        return None, query
    return None if any("/" in part for part in decoded) else "/".join(decoded), query


def nothing(listing: Listing) -> Reply:
    """Says what there is."""
    handles = sorted(listing.records)
    named = "".join(f"  /{handle}\n" for handle in handles[:_MOST_NAMED])
    more = f"  and {len(handles) - _MOST_NAMED} more\n" if len(handles) > _MOST_NAMED else ""
    return Reply(404, f"There is nothing at this address. This release has:\n{named}{more}/ is its index.\n")


def _no_bucket() -> Reply:
    """The hub answered 303 with a gs:// address as its text. tensorflow-hub prints what it gets in place of one.

    It tells its user nothing of an answer with another status, which is why this one has that status, and no Location.
    """
    return Reply(
        303,
        "no gs:// address: this server is no bucket. "
        "Set TFHUB_MODEL_LOAD_FORMAT=COMPRESSED, or copy the unpacked files and load them from their folder.\n",
    )


def _redirect(location: str) -> Reply:
    return Reply(302, f"See {location}\n", {**_TEXT, "Location": location})


def method_refused() -> Reply:
    return Reply(405, "This server only answers GET and HEAD.\n", {**_TEXT, "Allow": ", ".join(METHODS)})


def unavailable() -> Reply:
    text = (
        "The release is being replaced, or is damaged: try again, and tell whoever runs this server if it stays so.\n"
    )
    return Reply(503, text, {**_TEXT, "Retry-After": "5"})
