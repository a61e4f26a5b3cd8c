"""HTTP: redirects, what the headers of responses mean, and how connections fail."""

import http.client
import re
from urllib.parse import urljoin, urlsplit

import requests
import urllib3

import exporter
from exporter.errors import FetchError
from exporter.fetch.addresses import without_password
from exporter.fetch.partial import HINT

#: The most redirects in a row.
REDIRECTS = 10


class Session(requests.Session):
    """Follows redirects, but never from https to http."""

    def __init__(self) -> None:
        super().__init__()
        self.max_redirects = REDIRECTS
        self.headers.update(
            # A server that packs the archive once more would make its length and hashes those of something else.
            {"Accept-Encoding": "identity", "User-Agent": f"nasexport/{exporter.__version__}"}
        )

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        target = super().get_redirect_target(resp)
        if target and urlsplit(resp.url).scheme == "https":
            absolute = urljoin(resp.url, target)
            if urlsplit(absolute).scheme != "https":
                raise FetchError(
                    f"{without_password(resp.url)} redirects to {without_password(absolute)}, "
                    f"which is not encrypted: refused\n"
                    f"{HINT[0].upper()}{HINT[1:]}"
                )
        return target


def validator(response: requests.Response) -> str | None:
    """What ``If-Range`` may name: a strong ETag, or else the time of the last change (RFC 9110, 13.1.5)."""
    etag = response.headers.get("ETag", "")
    if etag and not etag.startswith("W/"):
        return etag
    return response.headers.get("Last-Modified")


def stated_hashes(response: requests.Response) -> dict[str, str]:
    """Google Cloud Storage's ``x-goog-hash: crc32c=…, md5=…``, each in base 64."""
    pairs = (part.strip().partition("=") for part in response.headers.get("x-goog-hash", "").split(","))
    return {name.lower(): value for name, _, value in pairs if name.lower() in ("md5", "crc32c")}


def retry_after(response: requests.Response) -> float | None:
    """How long the server asks to wait, in seconds; None where it does not say."""
    value = response.headers.get("Retry-After")
    if value is None:
        return None
    try:
        return urllib3.Retry().parse_retry_after(value)
    except urllib3.exceptions.InvalidHeader:
        return None


def is_interruption(error: Exception) -> bool:
    """Whether there was a connection and it failed; one that cannot be made is not worth another try."""
    if isinstance(error, requests.ConnectTimeout | requests.exceptions.SSLError | requests.exceptions.ProxyError):
        return False
    causes = _causes(error)
    if any(isinstance(cause, urllib3.exceptions.NewConnectionError | urllib3.exceptions.SSLError) for cause in causes):
        return False
    broken = (urllib3.exceptions.ProtocolError, urllib3.exceptions.ReadTimeoutError, requests.ReadTimeout)
    return any(isinstance(cause, broken) for cause in causes)


def _causes(error: BaseException) -> list[BaseException]:
    """The error and those within it, the innermost last."""
    found = [error]
    while True:
        inner = getattr(error, "reason", None)
        if not isinstance(inner, BaseException):
            inner = next((part for part in reversed(error.args) if isinstance(part, BaseException)), None)
        if inner is None or inner in found:
            return found
        found.append(inner)
        error = inner


def reason(error: Exception) -> str:
    """The innermost cause, in a few words."""
    innermost = _causes(error)[-1]
    if isinstance(innermost, http.client.IncompleteRead):
        return "the connection was closed"
    if isinstance(innermost, OSError) and innermost.strerror:
        return innermost.strerror
    text = " ".join(str(innermost).split())
    return re.sub(r"^<[^>]*>: |^\w+\(.*?\): ", "", text)[:160] or type(innermost).__name__
