"""One file from one server, in as many attempts as it takes; each goes on where the last was broken off."""

import base64
import hashlib
import json
import re
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import google_crc32c
import requests
import urllib3

from exporter.errors import FetchError
from exporter.fetch import http_client
from exporter.fetch.partial import (
    GZIP,
    HINT,
    Received,
    facts_file,
    forget,
    require_gzip,
    require_space,
    without_encoding,
)
from exporter.fetch.sources import shown
from exporter.files.hashing import CHUNK
from exporter.progress import Listener

_CONNECT_SECONDS = 10.0
#: Slower than this for a whole ``timeout`` is as good as nothing. Bytes a second.
MIN_SPEED = 1024
#: What must have come in since the last failure for it not to count as one in a row. Bytes.
_ENOUGH = 2**20
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 30.0
#: A server that wants to be left alone for longer is as good as down. Seconds.
_LONGEST_RETRY_AFTER = 120
_TEMPORARY = frozenset({408, 425, 429, 500, 502, 503, 504})


class _TemporaryError(Exception):
    """A failure that may be over when the transfer is tried again. ``wait``: what the server asks for, in seconds."""

    def __init__(self, text: str, wait: float | None = None):
        super().__init__(text)
        self.wait = wait


class _RestartError(Exception):
    """What is there cannot be continued: everything has to come anew."""


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


class Download:
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
        self._facts_file = facts_file(partial)
        self._facts = self._read_facts()
        self._hashes = _Hashes(sha256 is None)
        self._continued = False

    def run(self) -> Received:
        failures = restarts = 0
        with http_client.Session() as session:
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
                        raise FetchError(f"{self._shown} {reason}, again and again: {HINT}") from None
                    self._listener.note(f"{self._shown} {reason}: starting anew")
                except _TemporaryError as failure:
                    failures = 1 if self._present() - before >= _ENOUGH else failures + 1
                    if failures > self._retries:
                        raise FetchError(f"{self._shown} {failure}, {failures} times: {HINT}") from None
                    self._wait(failure, failures)

    def _wait(self, failure: _TemporaryError, failures: int) -> None:
        wait = failure.wait
        if wait is None:
            wait = min(_FIRST_WAIT * 2 ** (failures - 1), _LONGEST_WAIT)
        elif wait > _LONGEST_RETRY_AFTER:
            raise FetchError(f"{self._shown} {failure} and asks to come back in {wait:.0f} s: {HINT}")
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
            raise FetchError(f"{self._shown} redirects more than {http_client.REDIRECTS} times: {HINT}") from error
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            if http_client.is_broken_off(error):
                raise _TemporaryError(
                    f"broke off after {self._present():,} bytes ({http_client.reason(error)})"
                ) from error
            raise FetchError(f"cannot download {self._shown} ({http_client.reason(error)}): {HINT}") from error

    def _accept(self, response: requests.Response, continued: bool, present: int) -> None:
        """Takes the head of a response: decides where its bytes belong."""
        status = response.status_code
        answer = f"answers {status} {response.reason}"
        if status in _TEMPORARY:
            raise _TemporaryError(answer, http_client.retry_after(response))
        if continued and status == 416:
            raise _RestartError(answer)
        if status not in (200, 206):
            raise FetchError(f"{self._shown} {answer}: {HINT}")
        validator = http_client.validator(response)
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
            stated=http_client.stated_hashes(response),
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
            require_space(self._partial.parent, total - present)
        window_began, window_bytes = time.monotonic(), 0
        with open(self._partial, "ab") as file:
            self._listener.transferred(present, total)
            # read1 returns what is there; read would wait for a whole chunk, however slowly it drips.
            while chunk := response.raw.read1(CHUNK, decode_content=False):
                file.write(chunk)
                self._hashes.update(chunk)
                present += len(chunk)
                if present - len(chunk) < len(GZIP) <= present:
                    file.flush()
                    require_gzip(self._url, self._partial, response.headers.get("Content-Type", ""))
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
            raise FetchError(f"{self._shown} sent nothing: {HINT}")
        self._catch_up()
        received = Received(self._hashes.sha256.hexdigest(), self._hashes.count)
        contradiction = self._hashes.contradiction(self._facts.stated)
        if self._facts.encoded and received.sha256 != self._sha256:
            received = without_encoding(self._partial) or received
        if self._continued and (contradiction or self._sha256 not in (None, received.sha256)):
            raise _RestartError("sent another file in parts than it has")
        require_gzip(self._url, self._partial)
        if contradiction:
            self._forget()
            raise FetchError(f"{self._shown} {contradiction}: {HINT}")
        return received
