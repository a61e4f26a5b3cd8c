"""Moves an archive's bytes from a server or a folder into a partial file, and goes on where that was broken off."""

import base64
import contextlib
import errno
import gzip
import hashlib
import http.client
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any
from urllib.parse import urljoin, urlsplit, urlunsplit
from urllib.request import url2pathname

import google_crc32c
import requests
import urllib3

import exporter
from exporter.chunks import CHUNK
from exporter.errors import CacheError, FetchError
from exporter.progress import SILENT, Listener

_CONNECT_SECONDS = 10.0
#: Slower than this for a whole ``timeout`` is as good as nothing. Bytes a second.
MIN_SPEED = 1024
#: What must have come in since the last failure for it not to count as one in a row. Bytes.
_ENOUGH = 2**20
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 30.0
#: A server that wants to be left alone for longer is as good as down. Seconds.
_LONGEST_RETRY_AFTER = 120
_REDIRECTS = 10
_TEMPORARY = frozenset({408, 425, 429, 500, 502, 503, 504})
_GZIP = b"\x1f\x8b"
_HINT = "pass --checkpoint with a copy you have, name another source with --mirror, or try again"


@dataclass(frozen=True)
class Received:
    """A file that came in whole: its hash in hexadecimal and its size in bytes."""

    sha256: str
    size: int


class _TemporaryError(Exception):
    """A failure that may be over when the transfer is tried again. ``wait``: what the server asks for, in seconds."""

    def __init__(self, text: str, wait: float | None = None):
        super().__init__(text)
        self.wait = wait


class _RestartError(Exception):
    """What is there cannot be continued: everything has to come anew."""


def shown(url: str) -> str:
    """The URL without the password that it may hold."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def local_path(source: str) -> Path | None:
    """The file that a ``file://`` URL or a plain path means; None for what a server has."""
    parts = urlsplit(source)
    if parts.scheme == "file":
        return Path(url2pathname(parts.path))
    return Path(source).expanduser() if len(parts.scheme) < 2 else None  # one letter is a drive


def receive(
    source: str,
    partial: Path,
    *,
    size: int | None = None,
    sha256: str | None = None,
    timeout: float = 60.0,
    retries: int = 5,
    listener: Listener = SILENT,
) -> Received:
    """Brings the file at ``source`` to ``partial``, continuing what an earlier call left there.

    Args:
        source: an http or https URL, a file URL, or a path.
        partial: the file to write. What came is left in it when the source fails, and nothing when the disk is full.
        size, sha256: of the file, where they are known beforehand. They save transfers that cannot end well; what
            came in must be compared with them by the caller. Without a sha256, the hashes that the server states
            (``x-goog-hash``) are checked.
        timeout, retries: see `exporter.settings.Settings`.

    Raises:
        FetchError: the source does not have the file, fails for too long, or sends other bytes than it states.
        CacheError: ``partial`` cannot be written.
    """
    path = local_path(source)
    with _disk_errors(partial):
        if path is not None:
            return _copy(path, partial, listener)
        return _Download(source, partial, size, sha256, timeout, retries, listener).run()


def forget(partial: Path) -> None:
    """Removes a partial file and what is kept with it."""
    for path in (partial, _facts_file(partial)):
        path.unlink(missing_ok=True)


def _facts_file(partial: Path) -> Path:
    return partial.with_name(partial.name + ".json")


@contextlib.contextmanager
def _disk_errors(partial: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            partial.unlink(missing_ok=True)  # it would keep the disk full for everyone
            raise CacheError(
                f"the disk is full ({error.strerror}) while writing to {partial.parent}:\n"
                f"make room, or name another folder with --cache-dir"
            ) from error
        raise CacheError(f"cannot write {partial}: {error.strerror or error}") from error


def _require_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise CacheError(
            f"{needed:,} bytes are to come, but the disk of {folder} has {free:,} left:\n"
            f"make room, or name another folder with --cache-dir"
        )


def _copy(path: Path, partial: Path, listener: Listener) -> Received:
    if path.exists() and not path.is_file():
        raise FetchError(f"{path} is not a file: {_HINT}")
    try:
        file: IO[bytes] = open(path, "rb")  # noqa: SIM115 - its errors are the source's, not the cache's
        total = os.fstat(file.fileno()).st_size
    except OSError as error:
        raise FetchError(f"cannot read {path}: {error.strerror}") from error
    with file:
        _require_space(partial.parent, total)
        received = _written(file, partial, lambda done: listener.transferred(done, max(total, done)))
    _require_gzip(str(path), partial)
    return received


def _written(
    source: IO[bytes] | gzip.GzipFile, target: Path, transferred: Callable[[int], None] = lambda _: None
) -> Received:
    """Writes all that ``source`` gives to the file ``target``; tells how many bytes there are so far."""
    digest, size = hashlib.sha256(), 0
    with open(target, "wb") as file:
        while chunk := source.read(CHUNK):
            file.write(chunk)
            digest.update(chunk)
            size += len(chunk)
            transferred(size)
    return Received(digest.hexdigest(), size)


def _require_gzip(source: str, partial: Path, content_type: str = "") -> None:
    """Recognizes an error page, or whatever else is no archive, before anybody tries to unpack it."""
    with open(partial, "rb") as file:
        start = file.read(40)
    if not start.startswith(_GZIP):
        what = f"{content_type}, " if content_type else ""
        partial.unlink()
        raise FetchError(
            f"{shown(source)} has no .tar.gz archive but {what}{start[:24]!r}: is a login page or proxy in between?\n"
            f"{_HINT[0].upper()}{_HINT[1:]}"
        )


@dataclass
class _Facts:
    """What must be known of a partial file to go on with it; kept beside it."""

    source: str = ""
    validator: str | None = None
    total: int | None = None
    encoded: bool = False
    stated: dict[str, str] = field(default_factory=dict)


class _Hashes:
    """The hashes of all bytes so far."""

    def __init__(self, stated: bool):
        """``stated``: whether those are wanted too that a server may state; they take longer than the sha256."""
        self.count = 0
        self.sha256 = hashlib.sha256()
        self._others: dict[str, Any] = {}
        if stated:
            self._others = {"md5": hashlib.md5(usedforsecurity=False), "crc32c": google_crc32c.Checksum()}

    def update(self, chunk: bytes) -> None:
        self.count += len(chunk)
        self.sha256.update(chunk)
        for other in self._others.values():
            other.update(chunk)

    def contradiction(self, stated: dict[str, str]) -> str | None:
        """How the bytes differ from what the server states of them; None where they do not."""
        for name, other in self._others.items():
            found = base64.b64encode(other.digest()).decode()
            if name in stated and stated[name] != found:
                return f"states {name} {stated[name]},\nbut what it sent has {found}"
        return None


class _Session(requests.Session):
    """Follows redirects, but never from https to http."""

    def __init__(self) -> None:
        super().__init__()
        self.max_redirects = _REDIRECTS
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
                    f"{shown(resp.url)} redirects to {shown(absolute)}, which is not encrypted: refused\n"
                    f"{_HINT[0].upper()}{_HINT[1:]}"
                )
        return target


class _Download:
    """One file from one server, in as many attempts as it takes."""

    def __init__(
        self,
        url: str,
        partial: Path,
        size: int | None,
        sha256: str | None,
        timeout: float,
        retries: int,
        listener: Listener,
    ):
        self._url, self._shown, self._partial = url, shown(url), partial
        self._size, self._sha256, self._timeout, self._retries = size, sha256, timeout, retries
        self._listener = listener
        self._facts_file = _facts_file(partial)
        self._facts = self._read_facts()
        self._hashes = _Hashes(sha256 is None)
        self._continued = False

    def run(self) -> Received:
        failures = restarts = 0
        with _Session() as session:
            while True:
                before = self._present()
                try:
                    self._attempt(session)
                    return self._finished()
                except FetchError:
                    if not self._present():
                        self._forget()
                    raise
                except _RestartError as reason:
                    self._forget()
                    restarts += 1
                    if restarts > self._retries:
                        raise FetchError(f"{self._shown} {reason}, again and again: {_HINT}") from None
                    self._listener.note(f"{self._shown} {reason}: starting anew")
                except _TemporaryError as failure:
                    failures = 1 if self._present() - before >= _ENOUGH else failures + 1
                    if failures > self._retries:
                        raise FetchError(f"{self._shown} {failure}, {failures} times: {_HINT}") from None
                    self._wait(failure, failures)

    def _wait(self, failure: _TemporaryError, failures: int) -> None:
        wait = failure.wait
        if wait is None:
            wait = min(_FIRST_WAIT * 2 ** (failures - 1), _LONGEST_WAIT)
        elif wait > _LONGEST_RETRY_AFTER:
            raise FetchError(f"{self._shown} {failure} and asks to come back in {wait:.0f} s: {_HINT}")
        self._listener.note(f"{self._shown} {failure}: trying again in {wait:.1f} s ({failures} of {self._retries})")
        time.sleep(wait)

    def _present(self) -> int:
        return self._partial.stat().st_size if self._partial.exists() else 0

    def _read_facts(self) -> _Facts:
        """Facts of a partial file that an earlier process left; without them it is worth nothing."""
        try:
            facts = _Facts(**json.loads(self._facts_file.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return _Facts()
        return facts if facts.source == self._url else _Facts()

    def _forget(self) -> None:
        forget(self._partial)
        self._facts = _Facts()
        self._continued = False

    def _attempt(self, session: requests.Session) -> None:
        present = self._present()
        headers = {}
        if present and self._facts.validator and present != self._facts.total:
            headers = {"Range": f"bytes={present}-", "If-Range": self._facts.validator}
        elif present and present == self._facts.total:
            self._continued = True
            return  # an earlier process got as far as this
        timeouts = (min(_CONNECT_SECONDS, self._timeout), self._timeout)
        try:
            with session.get(self._url, stream=True, timeout=timeouts, headers=headers) as response:
                self._accept(response, bool(headers), present)
                self._stream(response)
        except requests.TooManyRedirects as error:
            raise FetchError(f"{self._shown} redirects more than {_REDIRECTS} times: {_HINT}") from error
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            if _is_broken_off(error):
                raise _TemporaryError(f"broke off after {self._present():,} bytes ({_reason(error)})") from error
            raise FetchError(f"cannot download {self._shown} ({_reason(error)}): {_HINT}") from error

    def _accept(self, response: requests.Response, continued: bool, present: int) -> None:
        """Takes the head of a response: decides where its bytes belong."""
        status = response.status_code
        answer = f"answers {status} {response.reason}"
        if status in _TEMPORARY:
            raise _TemporaryError(answer, _retry_after(response))
        if continued and status == 416:
            raise _RestartError(answer)
        if status not in (200, 206):
            raise FetchError(f"{self._shown} {answer}: {_HINT}")
        validator = _validator(response)
        if status == 206:
            match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
            if not continued or not match or int(match[1]) != present:
                raise _RestartError("sent another part than the one asked for")
            same_size = self._facts.total is None or match[2] in ("*", str(self._facts.total))
            if validator != self._facts.validator or not same_size:
                raise _RestartError("has changed since the transfer began")
            self._continued = True
            self._catch_up()
            self._listener.note(f"continuing after {present:,} bytes")
            return
        if present:
            self._forget()
        length = response.headers.get("Content-Length", "")
        self._hashes = _Hashes(self._sha256 is None)
        self._facts = _Facts(
            source=self._url,
            validator=validator,
            total=int(length) if length.isdecimal() else None,
            encoded=response.headers.get("Content-Encoding", "").lower() in ("gzip", "x-gzip"),
            stated=_stated_hashes(response),
        )
        self._facts_file.write_text(json.dumps(asdict(self._facts)), encoding="utf-8")

    def _require_size(self) -> None:
        """Ends a transfer that would bring another file than the pinned one."""
        total = self._facts.total
        if self._size is not None and total not in (None, self._size) and not self._facts.encoded:
            self._partial.unlink()
            raise FetchError(
                f"{self._shown} has {total:,} bytes, but checkpoints.lock says {self._size:,}: "
                f"it is not the published file"
            )

    def _catch_up(self) -> None:
        """Hashes the bytes that an earlier process wrote."""
        present = self._present()
        if self._hashes.count == present:
            return
        self._hashes = _Hashes(self._sha256 is None)
        with open(self._partial, "rb") as file:
            while chunk := file.read(CHUNK):
                self._hashes.update(chunk)

    def _stream(self, response: requests.Response) -> None:
        present = self._present()
        total = self._facts.total if self._facts.total is not None else self._size
        if total is not None:
            _require_space(self._partial.parent, total - present)
        window_began, window_bytes = time.monotonic(), 0
        with open(self._partial, "ab") as file:
            self._listener.transferred(present, total)
            # read1 returns what is there; read would wait for a whole chunk, however slowly it drips.
            while chunk := response.raw.read1(CHUNK, decode_content=False):
                file.write(chunk)
                self._hashes.update(chunk)
                present += len(chunk)
                if present - len(chunk) < len(_GZIP) <= present:
                    file.flush()
                    _require_gzip(self._url, self._partial, response.headers.get("Content-Type", ""))
                    self._require_size()
                window_bytes += len(chunk)
                self._listener.transferred(present, max(total, present) if total is not None else None)
                if self._facts.total is not None and present > self._facts.total:
                    raise _RestartError(f"sent more than the {self._facts.total:,} bytes it stated")
                if (elapsed := time.monotonic() - window_began) > self._timeout:
                    if window_bytes < MIN_SPEED * elapsed:
                        raise _TemporaryError(f"sends {window_bytes / elapsed:.0f} bytes a second")
                    window_began, window_bytes = time.monotonic(), 0
        if self._facts.total is not None and present < self._facts.total:
            raise _TemporaryError(f"broke off after {present:,} of {self._facts.total:,} bytes")

    def _finished(self) -> Received:
        if not self._present():
            raise FetchError(f"{self._shown} sent nothing: {_HINT}")
        self._catch_up()
        received = Received(self._hashes.sha256.hexdigest(), self._hashes.count)
        contradiction = self._hashes.contradiction(self._facts.stated)
        if self._facts.encoded and received.sha256 != self._sha256:
            received = _without_encoding(self._partial) or received
        if self._continued and (contradiction or self._sha256 not in (None, received.sha256)):
            raise _RestartError("sent another file in parts than it has")
        _require_gzip(self._url, self._partial)
        if contradiction:
            self._forget()
            raise FetchError(f"{self._shown} {contradiction}: {_HINT}")
        return received


def _without_encoding(partial: Path) -> Received | None:
    """Undoes ``Content-Encoding: gzip`` where it was put around the archive; some servers call the archive itself that.

    None where the bytes are the archive as they are.
    """
    with gzip.open(partial) as content:
        try:
            if content.peek(2)[:2] != _GZIP:
                return None
            decoded = partial.with_name(partial.name + ".decoded")
            received = _written(content, decoded)
        except (EOFError, gzip.BadGzipFile):
            return None
    os.replace(decoded, partial)
    _facts_file(partial).unlink()  # its length is no longer that of the partial file
    return received


def _validator(response: requests.Response) -> str | None:
    """What ``If-Range`` may name: a strong ETag, or else the time of the last change (RFC 9110, 13.1.5)."""
    etag = response.headers.get("ETag", "")
    if etag and not etag.startswith("W/"):
        return etag
    return response.headers.get("Last-Modified")


def _stated_hashes(response: requests.Response) -> dict[str, str]:
    """Google Cloud Storage's ``x-goog-hash: crc32c=…, md5=…``, each in base 64."""
    pairs = (part.strip().partition("=") for part in response.headers.get("x-goog-hash", "").split(","))
    return {name.lower(): value for name, _, value in pairs if name.lower() in ("md5", "crc32c")}


def _retry_after(response: requests.Response) -> float | None:
    value = response.headers.get("Retry-After")
    if value is None:
        return None
    try:
        return urllib3.Retry().parse_retry_after(value)
    except urllib3.exceptions.InvalidHeader:
        return None


def _is_broken_off(error: Exception) -> bool:
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


def _reason(error: Exception) -> str:
    """The innermost cause, which says it in the fewest words."""
    innermost = _causes(error)[-1]
    if isinstance(innermost, http.client.IncompleteRead):
        return "the connection was closed"
    if isinstance(innermost, OSError) and innermost.strerror:
        return innermost.strerror
    text = " ".join(str(innermost).split())
    return re.sub(r"^<[^>]*>: |^\w+\(.*?\): ", "", text)[:160] or type(innermost).__name__
