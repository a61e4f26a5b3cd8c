"""Answers what kagglehub asks of Kaggle, and tensorflow-hub of its addresses: old handles load from one's own server.

kagglehub up to 0.3 asks the server that ``KAGGLE_API_ENDPOINT`` names, by GET, for
``api/v1/models/OWNER/MODEL/FRAMEWORK/VARIATION`` and then ``/get`` for the newest version, or ``/VERSION/files`` and
``/VERSION/download`` with a file's path. From 0.4 on it sends the same questions by POST, each to the address of a
method, as JSON; and no variable names it a server, but ``KAGGLE_API_ENVIRONMENT`` ports of this machine. Files are
answered with redirects to those of the release: with their hashes, and so that a transfer can be continued.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, quote

import msgspec

from exporter.hosting.routes import FORMAT, ListedFile, Listing, Reply, parts, redirect
from exporter.models.formats import FORMATS
from exporter.models.old_addresses import KaggleName, framework_of
from exporter.release.manifest import Record

_API = ["api", "v1"]
_MODELS = [*_API, "models"]
_SERVICE = [*_API, "models.ModelApiService"]
_PAGES = ["models"]
_METHODS = ("GetModelInstance", "ListModelInstanceVersionFiles", "DownloadModelInstanceVersion")
_JSON = {"Content-Type": "application/json", "Cache-Control": "no-store"}


class _Call(msgspec.Struct, rename="camel"):
    """A question of kagglehub from 0.4 on."""

    owner_slug: str
    model_slug: str
    framework: str
    instance_slug: str
    version_number: int = 0
    path: str = ""


def is_call(method: str, target: str) -> bool:
    """Whether a request is a question by POST, whose body is to be read."""
    path = parts(target)[0]
    return method == "POST" and path is not None and path.split("/")[:-1] == _SERVICE


def answer(listing: Listing, target: str, call: bytes | None = None) -> ListedFile | Reply | None:
    """What answers a request for an address; None where it is none of Kaggle's.

    Args:
        target: that of the request line.
        call: the body, of a question by POST.
    """
    path, query = parts(target)
    if path is None:
        return None
    names = path.split("/")
    if call is not None:
        return _call(listing, names, call)
    if names[:3] == _MODELS:
        return _question(listing, names)
    if names[:1] == _PAGES:
        return _page(listing, names, dict(parse_qsl(query, errors="replace")).get(FORMAT))
    return None


def _call(listing: Listing, names: Sequence[str], call: bytes) -> Reply:
    try:
        asked = msgspec.json.decode(call, type=_Call)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        return _refusal(400, f"this is no question of kagglehub's: {' '.join(str(error).split())[:200]}")
    if names[-1] not in _METHODS:
        return _refusal(404, f"this server answers {', '.join(_METHODS)}")
    wanted = (asked.owner_slug, asked.model_slug, asked.framework, asked.instance_slug)
    if names[-1] == _METHODS[0]:
        return _newest(listing, wanted)
    if names[-1] == _METHODS[1]:
        return _files(listing, wanted, asked.version_number)
    return _download(listing, wanted, asked.version_number, asked.path, len(names) - 1)


def _question(listing: Listing, names: Sequence[str]) -> Reply:
    wanted, rest = names[3:7], names[7:]
    if len(wanted) == 4 and rest == ["get"]:
        return _newest(listing, wanted)
    if len(rest) > 1 and rest[0].isascii() and rest[0].isdigit() and len(rest[0]) < 10:
        if rest[1:] == ["files"]:
            return _files(listing, wanted, int(rest[0]))
        if rest[1] == "download":
            return _download(listing, wanted, int(rest[0]), "/".join(rest[2:]), len(names) - 1)
    return _refusal(404, "this server answers what kagglehub asks to download a model, and nothing else")


def _page(listing: Listing, names: Sequence[str], format_: str | None) -> ListedFile | Reply | None:
    """A model's own address, which tensorflow-hub is given and people open in a browser."""
    long = names[3:4] == ["frameworks"] and names[5:6] == ["variations"] and names[7:8] == ["versions"]
    if long:
        names = [*names[:3], names[4], names[6], *names[8:]]
    if len(names) != 6:
        return None
    version = int(names[5]) if names[5].isascii() and names[5].isdigit() and len(names[5]) < 10 else 0
    record = _found(listing, names[1:5], version)
    if record is None or format_ not in (None, "compressed"):
        return None
    if format_ == "compressed":
        return listing.files.get(record.archive.path)
    return redirect("../" * (8 if long else 5) + record.handle)


def _found(listing: Listing, wanted: Sequence[str], version: int) -> Record | None:
    owner, model, framework, variation = wanted
    return listing.on_kaggle.get(KaggleName(owner, model, framework_of(framework), variation, version))


def _newest(listing: Listing, wanted: Sequence[str]) -> Reply:
    owner, model, framework, variation = wanted
    asked = (owner, model, framework_of(framework), variation)
    versions = [name.version for name in listing.on_kaggle if name.unversioned == asked]
    if not versions:
        return _missing(listing, wanted)
    return _said({"slug": variation, "framework": framework, "versionNumber": max(versions)})


def _files(listing: Listing, wanted: Sequence[str], version: int) -> Reply:
    record = _found(listing, wanted, version)
    if record is None:
        return _missing(listing, wanted, version)
    folder = f"{record.place.folder}/"
    files = [{"name": file.path.removeprefix(folder), "size": file.size} for file in record.files]
    return _said({"files": files, "nextPageToken": ""})


def _download(listing: Listing, wanted: Sequence[str], version: int, path: str, depth: int) -> Reply:
    """A redirect to a file, or to the archive where no file is named; ``depth`` is that of the address asked for."""
    record = _found(listing, wanted, version)
    if record is None:
        return _missing(listing, wanted, version)
    file = f"{record.place.folder}/{path}" if path else record.archive.path
    if file not in listing.files or not any(each.path == file for each in (*record.files, record.archive)):
        return _refusal(404, f"{'/'.join(wanted)}/{version} has no file of that name")
    return redirect("../" * depth + quote(file))


def _missing(listing: Listing, wanted: Sequence[str], version: int | None = None) -> Reply:
    asked = "/".join(wanted) + (f"/{version}" if version is not None else "")
    have = ", ".join(sorted(_written(name, record) for name, record in listing.on_kaggle.items())[:10])
    return _refusal(404, f"this release has no {asked[:200]}; it has {have or 'nothing that Kaggle had'}")


def _written(name: KaggleName, record: Record) -> str:
    """A name as people write it."""
    return f"{name.owner}/{name.model}/{FORMATS[record.format].kaggle_framework}/{name.variation}/{name.version}"


def _said(value: Mapping[str, Any], status: int = 200) -> Reply:
    return Reply(status, json.dumps(value) + "\n", dict(_JSON))


def _refusal(status: int, message: str) -> Reply:
    return _said({"code": status, "message": message}, status)
