"""What differs between the kinds of stores that fsspec reaches: headers, hashes that they state, files half written."""

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from exporter.fetch.sendable import Item

#: Bytes of each part of a large upload: what an S3 store hashes part by part is known to who knows their size.
PART = 50 * 2**20

#: What fsspec says of a file.
Info = Mapping[str, Any]


def _no_headers(media_type: str, cache_control: str | None) -> dict[str, Any]:
    return {}


def _nothing_stated(info: Info, item: Item) -> bool:
    return False


@dataclass(frozen=True)
class StoreKind:
    """A kind of store.

    Args:
        headers: the arguments of fsspec's ``put_file`` with which a file gets its media type and, unless that is None,
            what caches are told of it (``Cache-Control``).
        buckets: whether the first part of a path is a bucket, which must be there; folders need not be made then.
        whole: whether a file appears when all of it is there; elsewhere it gets another name until then.
        confirms: whether the store states a hash that it computed of a file, and this is the item's; False says
            nothing: the bytes must be read.
    """

    headers: Callable[[str, str | None], dict[str, Any]] = _no_headers
    buckets: bool = False
    whole: bool = False
    confirms: Callable[[Info, Item], bool] = _nothing_stated


def _s3_headers(media_type: str, cache_control: str | None) -> dict[str, Any]:
    kept = {} if cache_control is None else {"CacheControl": cache_control}
    return {"ContentType": media_type, **kept, "chunksize": PART}


def _s3_confirms(info: Info, item: Item) -> bool:
    """By the ETag: the md5 of the bytes, or of the parts' md5s, unless the store encrypts with a key of its own."""
    etag = str(info.get("ETag") or "").strip('"').lower()
    digest, _, parts = etag.partition("-")
    if not parts:
        return digest == item.digest("md5")[0].hex()
    found = item.digest("md5", piece=PART)
    return parts == str(len(found)) and digest == _md5(b"".join(found))


def _md5(content: bytes) -> str:
    import hashlib

    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _gcs_headers(media_type: str, cache_control: str | None) -> dict[str, Any]:
    kept = {} if cache_control is None else {"fixed_key_metadata": {"cache_control": cache_control}}
    return {"content_type": media_type, **kept}


def _gcs_confirms(info: Info, item: Item) -> bool:
    stated = info.get("md5Hash")
    return bool(stated) and stated == base64.b64encode(item.digest("md5")[0]).decode()


_S3 = StoreKind(_s3_headers, buckets=True, whole=True, confirms=_s3_confirms)
_GCS = StoreKind(_gcs_headers, buckets=True, whole=True, confirms=_gcs_confirms)
_KINDS: dict[str, StoreKind] = {"s3": _S3, "s3a": _S3, "gs": _GCS, "gcs": _GCS}


def kind_of(protocol: str) -> StoreKind:
    """What is known of the stores of a protocol; of all others nothing is taken for granted."""
    return _KINDS.get(protocol, StoreKind())
