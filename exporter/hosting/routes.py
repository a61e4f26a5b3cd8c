"""Which file of a release, or which short text, answers a request for an address.

tensorflow-hub requests ``HANDLE?tf-hub-format=compressed`` and expects a ``.tar.gz``; people open ``HANDLE`` in a
browser and get the model page. Only files that the manifest lists are served: an address is looked up in a table and
never turned into a path. This module does no input or output: `exporter.hosting.released_files` reads the files and
`exporter.hosting.handler` sends them.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote

from exporter.models.old_addresses import KaggleName, kaggle_name
from exporter.release import signatures
from exporter.release.manifest import INDEX_FILE, LABELS_FILE, MANIFEST_FILE, PROVENANCE_FILE, SUMS_FILE, Record
from exporter.release.media_types import media_type

METHODS = ("GET", "HEAD")
#: What tensorflow-hub appends to an address.
FORMAT = "tf-hub-format"
_TEXT = {"Content-Type": "text/plain; charset=utf-8", "Cache-Control": "no-store"}
#: Handles that a 404 lists at most.
_MAX_HANDLES_LISTED = 50


@dataclass(frozen=True)
class ListedFile:
    """A file that is served: its path in the release, and its sha256 in hexadecimal if the manifest states it.

    ``addressed`` is whether it is a page of a release without an address: then it has that of the server.
    """

    path: str
    sha256: str | None = None
    addressed: bool = False

    @property
    def content_type(self) -> str:
        return media_type(self.path)


@dataclass(frozen=True)
class Listing:
    """Everything that is served of a release: files by path, and records by handle and by what Kaggle calls them."""

    files: Mapping[str, ListedFile]
    records: Mapping[str, Record]
    on_kaggle: Mapping[KaggleName, Record] = field(default_factory=dict)


@dataclass(frozen=True)
class Reply:
    """An answer that is a short text: its status, headers and text."""

    status: int
    text: str
    headers: Mapping[str, str] = field(default_factory=lambda: dict(_TEXT))


def listing(records: Iterable[Record]) -> Listing:
    """The listing of a release with these records: their files, and those of the whole, signatures among them."""
    by_handle = {record.handle: record for record in records}
    files = [ListedFile(path) for path in (MANIFEST_FILE, SUMS_FILE, PROVENANCE_FILE, LABELS_FILE, *signatures.KINDS)]
    addressed = all(record.page_links.base_url is None for record in by_handle.values())
    files.append(ListedFile(INDEX_FILE, addressed=addressed))
    for record in by_handle.values():
        files.append(ListedFile(record.place.record))
        pages = (record.page.path, record.page_html.path) if addressed else ()
        files += [ListedFile(file.path, file.sha256, file.path in pages) for file in record.all_files]
    named = ((kaggle_name(each.model, each.task, each.version, each.format), each) for each in by_handle.values())
    on_kaggle = {name: record for name, record in named if name}
    return Listing({file.path: file for file in files if _is_safe(file.path)}, by_handle, on_kaggle)


def _is_safe(path: str) -> bool:
    """Whether a path stays inside the release and names nothing hidden, whatever a manifest lists."""
    return "\0" not in path and all(part and not part.startswith(".") for part in path.split("/"))


def route(listing: Listing, target: str) -> ListedFile | Reply:
    """The file or the text that answers a request. ``target`` is that of the request line: path and query, or a URL."""
    path, query = parts(target)
    if path is None:
        return not_found(listing)
    format_ = dict(parse_qsl(query, errors="replace")).get(FORMAT)
    record = listing.records.get(path.removesuffix("/"))
    file = listing.files.get(path or INDEX_FILE)
    if format_ == "uncompressed" and (record or file):
        return _uncompressed_refused()
    if record and format_ == "compressed":
        return listing.files.get(record.archive.path) or not_found(listing)
    if record and format_ is None:
        # The page's links are relative to the folder that contains it.
        if path.endswith("/"):
            return redirect(f"../{record.version}")
        file = listing.files.get(record.page_html.path)
    if file:
        return file
    if format_ is None and any(handle.startswith(path.removesuffix("/") + "/") for handle in listing.records):
        return redirect("../" * path.count("/") or "./")
    return not_found(listing)


def parts(target: str) -> tuple[str | None, str]:
    """The path, without its first slash, and the query; the path is None if no file can have it.

    Each part of a path is decoded separately and once, so an encoded slash or a double encoding matches no file.
    """
    if re.match(r"https?://", target, re.IGNORECASE):  # the form that proxies are sent
        target = "/" + target.split("://", 1)[1].partition("/")[2]
    path, _, query = target.partition("#")[0].partition("?")
    if not path.startswith("/"):
        return None, query
    try:
        decoded = [unquote(part, errors="strict") for part in path[1:].split("/")]
    except UnicodeDecodeError:
        return None, query
    return None if any("/" in part for part in decoded) else "/".join(decoded), query


def not_found(listing: Listing) -> Reply:
    """A 404 that lists the handles of the release."""
    handles = sorted(listing.records)
    lines = "".join(f"  /{handle}\n" for handle in handles[:_MAX_HANDLES_LISTED])
    more = f"  and {len(handles) - _MAX_HANDLES_LISTED} more\n" if len(handles) > _MAX_HANDLES_LISTED else ""
    return Reply(404, f"There is nothing at this address. This release has:\n{lines}{more}/ is its index.\n")


def _uncompressed_refused() -> Reply:
    """Refuses to name a gs:// address, which the hub sent as the text of a 303.

    tensorflow-hub prints the text that it gets instead of an address, but only if the status is 303; hence this status,
    without a Location.
    """
    return Reply(
        303,
        "This server has no gs:// addresses of uncompressed models. "
        "Set TFHUB_MODEL_LOAD_FORMAT=COMPRESSED, or copy the unpacked files and load them from their folder.\n",
    )


def redirect(location: str) -> Reply:
    """A 302 to another address of this server, relative to the one that was asked for."""
    return Reply(302, f"See {location}\n", {**_TEXT, "Location": location})


def method_refused() -> Reply:
    return Reply(405, "This server only answers GET and HEAD.\n", {**_TEXT, "Allow": ", ".join(METHODS)})


def unavailable() -> Reply:
    text = "The release is being replaced or is damaged. Try again; if this persists, tell the server's operator.\n"
    return Reply(503, text, {**_TEXT, "Retry-After": "5"})
