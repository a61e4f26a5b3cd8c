"""HTTP: one request with its redirects, what the headers of its response mean, and how it fails.

What the user's environment says counts here: proxies and certificates, but no passwords of ``.netrc``, which are for
other programs. The user name and password of an address are taken out of it first: no error of a library can show them.
"""

import contextlib
import http.client
import os
import queue
import re
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import requests
import requests.utils
import urllib3

import exporter
from exporter.fetch.addresses import credentials, parsed, without_password, without_passwords
from exporter.files.hashing import CHUNK
from exporter.validation import shown

#: The most redirects in a row.
REDIRECTS = 10
#: Environment variables that name a file, or a folder, of certificates; the first one that is set counts.
CERTIFICATES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")
_CONNECT_SECONDS = 10.0
_REDIRECTED = frozenset({301, 302, 303, 307, 308})
#: A number of bytes that a header may state; longer ones are of no file.
_NUMBER = re.compile(r"[0-9]{1,18}")
_ENCODED_ONCE = ("gzip", "x-gzip")


class TransferError(Exception):
    """A request failed, for the reason in the message."""


class InterruptedTransferError(TransferError):
    """There was a connection and it failed, for the reason in the message: another try may do better.

    ``silent``: whether it failed because nothing came.
    """

    def __init__(self, text: str, *, silent: bool = False):
        super().__init__(text)
        self.silent = silent


@dataclass(frozen=True)
class Answer:
    """A response whose head has come, and the first bytes of its body, if it is a file; none where it has none."""

    response: requests.Response
    first: bytes
    #: ", through the proxy …" where one was asked.
    via: str

    @property
    def status(self) -> int:
        return self.response.status_code

    @property
    def said(self) -> str:
        """The status in words: ``answers 404 Not Found``."""
        hint = " (it wants a user name and a password: http://user:password@host)" if self.status == 407 else ""
        return f"answers {self.status} {self.response.reason or ''}{self.via}{hint}"

    def header(self, name: str) -> str:
        """The value of a header, in one line; empty where there is none."""
        return " ".join(self.response.headers.get(name, "").split())

    @property
    def length(self) -> int | None:
        """The stated number of bytes; None where none is stated.

        Raises:
            TransferError: what is stated is no number of bytes, or two.
        """
        stated = self.header("Content-Length")
        if not stated:
            return None
        values = {value.strip() for value in stated.split(",")}
        value = values.pop()
        if values or not _NUMBER.fullmatch(value):
            raise TransferError(f"states the length {shown(stated)}, expected a number of bytes")
        return int(value)

    def part(self) -> tuple[int, int | None] | None:
        """Where the part of status 206 begins, and the size of the whole, if stated; None where that is unclear."""
        match = re.fullmatch(r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18}|\*)", self.header("Content-Range"))
        return (int(match[1]), None if match[2] == "*" else int(match[2])) if match else None

    @property
    def encoded(self) -> bool:
        """Whether the server says that it has packed the file for the way."""
        return self.header("Content-Encoding").lower() in _ENCODED_ONCE

    @property
    def validator(self) -> str | None:
        """What ``If-Range`` may name: a strong ETag, or else the time of the last change (RFC 9110, 13.1.5)."""
        etag = self.header("ETag")
        if etag and not etag.startswith("W/"):
            return etag
        return self.header("Last-Modified") or None

    @property
    def stated_hashes(self) -> dict[str, str]:
        """Google Cloud Storage's ``x-goog-hash: crc32c=…, md5=…``, each in base 64."""
        pairs = (part.strip().partition("=") for part in self.header("x-goog-hash").split(","))
        return {name.lower(): value for name, _, value in pairs if name.lower() in ("md5", "crc32c")}

    @property
    def retry_after(self) -> float | None:
        """How long the server asks to wait, in seconds; None where it does not say."""
        value = self.header("Retry-After")
        if not value or len(value) > 50:
            return None
        try:
            return urllib3.Retry().parse_retry_after(value)
        except (urllib3.exceptions.InvalidHeader, ValueError, OverflowError):
            return None

    def chunk(self) -> bytes:
        """The next bytes of the body as they were sent; empty at its end.

        Raises:
            InterruptedTransferError: the connection failed.
            TransferError: what came is no HTTP.
        """
        with _failures(self.via):
            # read1 returns what is there; read would wait for a whole chunk, however slowly it drips.
            return self.response.raw.read1(CHUNK, decode_content=False)


class _WithoutRedirects(requests.Session):
    """requests reads the body that comes with a redirect whole, and into memory, whether it follows it or not."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        return None


class Session:
    """Asks servers; cookies last as long as it does. Use it as a context manager."""

    def __init__(self) -> None:
        self._session = _WithoutRedirects()
        # The environment is read here, not by requests, which would take passwords from .netrc as well.
        self._session.trust_env = False
        self._session.headers.update(
            # A server that packs the archive once more would make its length and hashes those of something else.
            {"Accept-Encoding": "identity", "User-Agent": f"nasexport/{exporter.__version__}"}
        )

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    @contextlib.contextmanager
    def asked(self, url: str, headers: dict[str, str], seconds: float) -> Iterator[Answer]:
        """The answer of a server, after redirects.

        Args:
            seconds: the time until the first byte of the file, in all, and then until any other.

        Raises:
            InterruptedTransferError: there was a connection, and it failed.
            TransferError: there is no answer, or none in time.
        """
        try:
            answer = _within(seconds, lambda: self._answer(url, headers, seconds), lambda late: late.response.close())
        except (InterruptedTransferError, _LateError) as error:
            if isinstance(error, _LateError) or error.silent:
                raise TransferError(f"sent nothing for {seconds:g} s{_via(_proxy(url)[1])}") from error
            raise
        try:
            yield answer
        finally:
            answer.response.close()

    def _answer(self, url: str, headers: dict[str, str], seconds: float) -> Answer:
        for _ in range(REDIRECTS + 1):
            response, via = self._response(url, headers, seconds)
            target = response.headers.get("Location") if response.status_code in _REDIRECTED else None
            if target is None:
                answer = Answer(response, b"", via)
                return Answer(response, answer.chunk(), via) if response.status_code in (200, 206) else answer
            response.close()  # what comes with it, at whatever length, is not read
            url = self._redirected(url, target)
        raise TransferError(f"redirects more than {REDIRECTS} times")

    def _response(self, url: str, headers: dict[str, str], seconds: float) -> tuple[requests.Response, str]:
        with _failures(""):
            bare, user = credentials(url)
            proxies, proxy = _proxy(bare)
        via = _via(proxy)
        if proxy:
            _require_socks(proxy, via)
        with _failures(via):
            response = self._session.get(
                bare,
                headers=headers,
                auth=user,
                proxies=proxies,
                verify=_certificates() if bare.lower().startswith("https") else True,
                timeout=(min(_CONNECT_SECONDS, seconds), seconds),
                stream=True,
                allow_redirects=False,
            )
        return response, via

    def _redirected(self, url: str, target: str) -> str:
        """The address that a redirect names, with the user name and password where it is the same server."""
        try:
            # requests decodes headers as latin-1; addresses are sent in UTF-8.
            absolute = urljoin(url, target.encode("latin-1").decode("utf-8", "replace").strip())
            new, old = parsed(absolute), parsed(url)
        except ValueError as error:
            raise TransferError(
                f"redirects to {shown(_bare(target))}, which nobody can be asked for: {without_passwords(str(error))}"
            ) from error
        if old.scheme == "https" and new.scheme != "https":
            raise TransferError(f"redirects to {_bare(absolute)}, which is not encrypted: refused")
        if "@" in old.netloc and "@" not in new.netloc and not self._session.should_strip_auth(url, absolute):
            absolute = new._replace(netloc=f"{old.netloc.rpartition('@')[0]}@{new.netloc}").geturl()
        return absolute


def _bare(url: str) -> str:
    """An address of somebody else's without what may be secret in it: a password, or a signature in its query."""
    return without_password(re.split(r"[?#]", url)[0])


def _proxy(url: str) -> tuple[dict[str, str], str | None]:
    """The proxies that the environment names, none where this URL needs none, and the one that the URL is asked of."""
    proxies = requests.utils.get_environ_proxies(url)
    return proxies, requests.utils.select_proxy(url, proxies)


def _via(proxy: str | None) -> str:
    return f", through the proxy {without_password(proxy)} of the environment" if proxy else ""


def _require_socks(proxy: str, via: str) -> None:
    if not proxy.lower().startswith("socks"):
        return
    try:
        import socks  # type: ignore[import-untyped] # noqa: F401
    except ImportError:
        raise TransferError(f"cannot be asked{via}: SOCKS needs PySocks (pip install pysocks)") from None


def _certificates() -> str | bool:
    """The file or folder of certificates that the environment names; True for those that come with requests.

    Raises:
        TransferError: it cannot be read, or holds none.
    """
    variable = next((name for name in CERTIFICATES if os.environ.get(name)), None)
    if variable is None:
        return True
    path = os.environ[variable]
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if Path(path).is_dir():
            list(Path(path).iterdir())
            context.load_verify_locations(capath=path)
        else:
            context.load_verify_locations(cafile=path)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        what = "it holds no certificates" if isinstance(error, ssl.SSLError) else getattr(error, "strerror", error)
        raise TransferError(f"cannot be asked: {variable} names {path} ({what})") from error
    return path


class _LateError(Exception):
    """Work that is not done in time."""


def _within(seconds: float, work: Callable[[], Any], abandon: Callable[[Any], object]) -> Any:
    """What ``work`` returns, or raises; ``abandon`` is given what it returns too late.

    It runs in a thread: to find an address, to connect to the third of a host's, to shake hands and to send a head a
    byte at a time each have a time limit of their own, if any.

    Raises:
        _LateError: it took longer.
    """
    outcome: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()
    late = threading.Event()

    def run() -> None:
        try:
            result = work()
        except BaseException as error:
            outcome.put((None, error))
            return
        if late.is_set():
            abandon(result)
        else:
            outcome.put((result, None))

    threading.Thread(target=run, daemon=True).start()
    try:
        result, error = outcome.get(timeout=seconds)
    except queue.Empty:
        late.set()
        raise _LateError from None
    if error is not None:
        raise error
    return result


@contextlib.contextmanager
def _failures(via: str) -> Iterator[None]:
    """Within it, whatever a library raises for a connection or an answer is raised as a TransferError."""
    try:
        yield
    except TransferError:
        raise
    # For what a server sent, libraries also raise what int, a codec or a missing match does.
    except Exception as error:
        causes = _causes(error)
        why = f"{reason(error)}{via}"
        if _is_interruption(causes):
            silent = any(isinstance(cause, urllib3.exceptions.ReadTimeoutError) for cause in causes)
            raise InterruptedTransferError(why, silent=silent) from error
        if any(_is_nonsense(cause) for cause in causes):
            raise TransferError(f"does not speak HTTP ({why})") from error
        raise TransferError(f"cannot be downloaded ({why})") from error


def _is_interruption(causes: list[BaseException]) -> bool:
    """Whether there was a connection and it failed; one that cannot be made is not worth another try."""
    not_made = (
        *(requests.ConnectTimeout, requests.exceptions.SSLError, requests.exceptions.ProxyError),
        *(urllib3.exceptions.NewConnectionError, urllib3.exceptions.SSLError),
    )
    if any(isinstance(cause, not_made) or _is_nonsense(cause) for cause in causes):
        return False
    broken = (urllib3.exceptions.ProtocolError, urllib3.exceptions.ReadTimeoutError, requests.ReadTimeout)
    return any(isinstance(cause, broken) for cause in causes)


def _is_nonsense(cause: BaseException) -> bool:
    """Whether what came is no HTTP: the same server would send it again."""
    closed = (http.client.RemoteDisconnected, http.client.IncompleteRead)
    return isinstance(cause, http.client.HTTPException) and not isinstance(cause, closed)


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
    text = without_passwords(" ".join(str(innermost).split()))
    return re.sub(r"^<[^>]*>: |^\w+\(.*?\): ", "", text)[:160] or type(innermost).__name__
