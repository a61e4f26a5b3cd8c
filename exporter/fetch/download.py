"""One file from one server, in as many attempts as it takes; each continues where the last was interrupted."""

import time
from pathlib import Path

from exporter.errors import WRONG, FetchError
from exporter.fetch.addresses import without_password
from exporter.fetch.http_client import Answer, InterruptedTransferError, Session, TransferError
from exporter.fetch.partial import (
    GZIP,
    HINT,
    NEXT,
    Facts,
    PartialFile,
    Received,
    TooLargeError,
    require_gzip,
    require_space,
    undo_content_encoding,
)
from exporter.progress import Listener

#: No archive has as many bytes as this: a file of unknown length ends here, before it has filled a disk.
LARGEST = 8 * 2**30
#: A server that is slower than this for a whole ``timeout`` counts as stalled. Bytes a second.
MIN_SPEED = 1024
#: After this much progress, failures are counted from one again. Bytes.
_ENOUGH = 2**20
#: The most that undoing ``Content-Encoding`` of a file that is not pinned gives: so many times its bytes, and so many.
_GROWTH, _ROOM = 4, 2**26
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 30.0
#: A server that asks for a longer wait counts as down. Seconds.
_LONGEST_RETRY_AFTER = 120
_TEMPORARY = frozenset({408, 425, 429, 500, 502, 503, 504})


class _TemporaryError(Exception):
    """A failure that may be over when the transfer is tried again. ``wait``: what the server asks for, in seconds."""

    def __init__(self, text: str, wait: float | None = None):
        super().__init__(text)
        self.wait = wait


class _RestartError(Exception):
    """The partial file cannot be continued: all of it has to be sent again."""


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
        self._url, self._shown = url, without_password(url)
        self._size, self._sha256, self._timeout, self._retries = size, sha256, timeout, retries
        self._listener = listener
        # Not the address itself: what is kept on the disk has no passwords.
        self._partial = PartialFile(partial, self._shown, stated=sha256 is None)
        #: Whether what is there was received in more than one part.
        self._continued = False

    def run(self) -> Received:
        failures = restarts = 0
        with Session() as session:
            while True:
                before = self._partial.size
                try:
                    self._attempt(session)
                    return self._finished()
                except FetchError:
                    if not self._partial.size:
                        self._discard()
                    raise
                except _RestartError as reason:
                    self._discard()
                    restarts += 1
                    if restarts > self._retries:
                        raise FetchError(f"{self._shown} {reason}, again and again: {HINT}") from None
                    self._listener.note(f"{self._shown} {reason}: starting anew")
                except _TemporaryError as failure:
                    failures = 1 if self._partial.size - before >= _ENOUGH else failures + 1
                    if failures > self._retries:
                        raise FetchError(f"{self._shown} {failure}, {failures} times: {HINT}") from None
                    self._wait(failure, failures)

    def _wait(self, failure: _TemporaryError, failures: int) -> None:
        wait = failure.wait
        if wait is None:
            wait = min(_FIRST_WAIT * 2 ** min(failures - 1, 10), _LONGEST_WAIT)
        elif wait > _LONGEST_RETRY_AFTER:
            raise FetchError(f"{self._shown} {failure} and asks to come back in {wait:.0f} s: {HINT}")
        self._listener.note(f"{self._shown} {failure}: trying again in {wait:.1f} s ({failures} of {self._retries})")
        time.sleep(wait)

    def _discard(self) -> None:
        self._partial.discard()
        self._continued = False

    def _attempt(self, session: Session) -> None:
        present = self._partial.size
        headers = {}
        if present and self._partial.facts.validator and present != self._partial.facts.total:
            headers = {"Range": f"bytes={present}-", "If-Range": self._partial.facts.validator}
        elif present and present == self._partial.facts.total:
            self._continued = True
            return  # an earlier process got as far as this
        try:
            with session.asked(self._url, headers, self._timeout) as answer:
                self._accept(answer, bool(headers), present)
                self._receive(answer)
        except InterruptedTransferError as error:
            raise _TemporaryError(f"broke off after {self._partial.size:,} bytes ({error})") from error
        except TransferError as error:
            raise FetchError(f"{self._shown} {error}: {HINT}") from error

    def _accept(self, answer: Answer, continued: bool, present: int) -> None:
        """Takes the head of a response: decides where its bytes belong."""
        status, facts = answer.status, self._partial.facts
        if status in _TEMPORARY:
            raise _TemporaryError(answer.said, answer.retry_after)
        if continued and status == 416:
            raise _RestartError(answer.said)
        if status not in (200, 206):
            raise FetchError(f"{self._shown} {answer.said}: {HINT}")
        if status == 206:
            part = answer.part()
            if not continued or part is None or part[0] != present:
                raise _RestartError("sent another part than the one asked for")
            same_size = facts.total is None or part[1] in (None, facts.total)
            if answer.validator != facts.validator or not same_size:
                raise _RestartError("has changed since the transfer began")
            self._continued = True
            self._listener.note(f"continuing after {present:,} bytes")
            return
        if present:
            self._discard()
        self._partial.begin(
            Facts(
                address=self._shown,
                validator=answer.validator,
                total=answer.length,
                encoded=answer.encoded,
                stated=answer.stated_hashes,
            )
        )

    def _require_size(self) -> None:
        """Ends a transfer that would bring another file than the pinned one."""
        total = self._partial.facts.total
        if self._size is not None and total not in (None, self._size) and not self._partial.facts.encoded:
            self._discard()
            raise FetchError(
                f"{self._shown} has {total:,} bytes, but checkpoints.lock says {self._size:,}: "
                f"it is not the published file",
                status=WRONG,
            )

    def _receive(self, answer: Answer) -> None:
        """Appends the body of a response to the partial file."""
        stated, encoded = self._partial.facts.total, self._partial.facts.encoded
        total = stated if stated is not None else self._size
        most = self._size if self._size is not None and not encoded else LARGEST
        if stated is not None and stated > LARGEST:
            self._refuse_length(LARGEST)
        if total is not None:
            require_space(self._partial.path.parent, total - self._partial.size)
        window_began, window_bytes = time.monotonic(), 0
        with self._partial.appending() as file:
            self._listener.transferred(file.size, total)
            chunk = answer.first
            while chunk:
                file.write(chunk)
                if file.size - len(chunk) < len(GZIP) <= file.size:
                    file.flush()
                    require_gzip(self._url, self._partial.path, answer.header("Content-Type"))
                    self._require_size()
                window_bytes += len(chunk)
                self._listener.transferred(file.size, max(total, file.size) if total is not None else None)
                if stated is not None and file.size > stated:
                    raise _RestartError(f"sent more than the {stated:,} bytes it stated")
                if file.size > most:
                    self._refuse_length(most)
                if (elapsed := time.monotonic() - window_began) > self._timeout:
                    if window_bytes < MIN_SPEED * elapsed:
                        raise _TemporaryError(f"sends {window_bytes / elapsed:.0f} bytes a second")
                    window_began, window_bytes = time.monotonic(), 0
                chunk = answer.chunk()
        if stated is not None and self._partial.size < stated:
            raise _TemporaryError(f"broke off after {self._partial.size:,} of {stated:,} bytes")

    def _refuse_length(self, most: int) -> None:
        self._discard()
        says = f"the {most:,} that checkpoints.lock says" if most == self._size else f"any archive has ({most:,})"
        text = f"{self._shown} sends more bytes than {says}: it is not the published file\n{NEXT}"
        raise FetchError(text, status=WRONG)

    def _finished(self) -> Received:
        if not self._partial.size:
            raise FetchError(f"{self._shown} sent nothing: {HINT}")
        hashes, facts = self._partial.hashes(), self._partial.facts
        received = Received(hashes.sha256.hexdigest(), hashes.count)
        contradiction = hashes.contradiction(facts.stated)
        if facts.encoded and received.sha256 != self._sha256:
            received = self._without_content_encoding(received)
        if self._continued and (contradiction or self._sha256 not in (None, received.sha256)):
            raise _RestartError("sent parts of different files")
        require_gzip(self._url, self._partial.path)
        if contradiction:
            self._discard()
            raise FetchError(f"{self._shown} {contradiction}: {HINT}", status=WRONG)
        return received

    def _without_content_encoding(self, received: Received) -> Received:
        """Unpacks what the server packed for the way.

        An archive is packed already: what grows much more than once is none, and would fill the disk.
        """
        most = self._size if self._size is not None else _GROWTH * received.size + _ROOM
        try:
            return undo_content_encoding(self._partial.path, most) or received
        except TooLargeError:
            self._discard()
            what = f"{received.size:,} bytes that unpack to more than {most:,}"
            raise FetchError(f"{self._shown} sent {what}: it is no archive\n{NEXT}", status=WRONG) from None
