"""Reads the requests of one connection to the server of a release, and sends the responses."""

import hashlib
import http.server
import os
import socket
import socketserver
import time
from collections.abc import Callable
from typing import Any

import exporter
from exporter.errors import ReleaseError
from exporter.hosting import addressed, kaggle
from exporter.hosting.released_files import OpenFile, ReleasedFiles, UnavailableError
from exporter.hosting.request import RefusedError, Request, read
from exporter.hosting.responses import Delivery, deliver
from exporter.hosting.routes import METHODS, ListedFile, Reply, method_refused, not_found, route, unavailable

#: Bytes that are read and sent between two checks that the file has not changed.
_CHUNK = 2**18

#: Bytes of a request's body that are read at most: many clients read the response only after sending it.
_MAX_DISCARDED_BODY = 2**20

#: Seconds that a client has to read a response after which its connection is closed.
_LINGER = 1.0

WARNING = "nasexport: warning: "


class HandlerServer(socketserver.TCPServer):
    """What a connection asks of its server.

    ``client_timeout`` is in seconds; ``request_started`` has the time at which each connection's request began.
    """

    files: ReleasedFiles
    log: Callable[[str], None]
    client_timeout: float
    request_started: dict[socket.socket, float]


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    request_version = "HTTP/1.1"  # a malformed request gets a response with headers, too
    disable_nagle_algorithm = True  # a short body would wait until the client has acknowledged the headers
    server: HandlerServer
    _bytes_sent = 0

    def setup(self) -> None:
        super().setup()
        self.connection.settimeout(self.server.client_timeout)

    def handle_one_request(self) -> None:
        self.close_connection = True
        self.server.request_started[self.connection] = time.monotonic()
        try:
            request = read(self.rfile.readline)
            if request:
                self.requestline, self.command, self.path = request.line, request.method, request.target
                self.close_connection = request.closing
                self._answer(request)
                if request.body != 0:
                    self._let_read()
        except RefusedError as error:
            self.requestline, self.command = error.line, ""
            self._reply(Reply(error.status, f"{error.status.phrase}\n"))
            self._let_read()
        except OSError:  # the client has disconnected
            self.close_connection = True
        finally:
            self.server.request_started.pop(self.connection, None)

    def _answer(self, request: Request) -> None:
        body = self._body(request)
        self.server.request_started.pop(self.connection, None)
        is_call = kaggle.is_call(request.method, self.path)
        if not (is_call or request.method in METHODS):
            self._reply(method_refused())
            return
        try:
            listing = self.server.files.listing()
            answer = kaggle.answer(listing, self.path, body if is_call else None) or route(listing, self.path)
            if isinstance(answer, Reply):
                self._reply(answer)
                return
            try:
                with self.server.files.open(answer) as opened:
                    self._deliver(answer, opened, request)
            except FileNotFoundError:
                if answer.sha256 is None:
                    self._reply(not_found(listing))
                else:
                    raise UnavailableError(f"{answer.path}: is missing, but the manifest lists it") from None
        except (ReleaseError, UnavailableError) as error:
            self.server.log(f"{WARNING}{error}")
            self._reply(unavailable())

    def _deliver(self, listed: ListedFile, opened: OpenFile, request: Request) -> None:
        if listed.addressed and addressed.wants_page(request, listed.path):
            self._deliver_page(listed, opened, request)
            return
        delivery = deliver(listed, opened.size, opened.sha256, self.command, request.headers)
        headers = {**delivery.headers, **addressed.VARY} if listed.addressed else delivery.headers
        self._send(delivery.status, headers, delivery.length, lambda: self._send_file(delivery, opened))

    def _deliver_page(self, listed: ListedFile, opened: OpenFile, request: Request) -> None:
        """A page with the address that the client knows this server by; its ETag is the hash of what is sent."""
        content = addressed.addressed(opened.content(), addressed.base_url(request, self.connection.getsockname()))
        sha256 = hashlib.sha256(content).hexdigest()
        delivery = deliver(listed, len(content), sha256, self.command, request.headers)
        part = content[delivery.start : delivery.start + delivery.length]
        headers = {**delivery.headers, **addressed.VARY}
        self._send(delivery.status, headers, delivery.length, lambda: self._send_bytes(part))

    def _send_file(self, delivery: Delivery, opened: OpenFile) -> None:
        """Sends what belongs to the ETag, or not all of it.

        What was read before the file was changed belongs to it. A client that gets fewer bytes than Content-Length
        knows that the transfer failed. `socket.sendfile` would be no better: what it has sent can still change.
        """
        at, end = delivery.start, delivery.start + delivery.length
        while at < end:
            content = os.pread(opened.file.fileno(), min(_CHUNK, end - at), at)
            if not content or opened.has_changed():
                raise ConnectionAbortedError
            at += len(content)
            self._send_bytes(content)

    def _send_bytes(self, content: bytes) -> None:
        """Sends all of it; the client has `HandlerServer.client_timeout` for each part that it takes."""
        view = memoryview(content)
        while view:
            sent = self.connection.send(view)
            self._bytes_sent += sent
            view = view[sent:]

    def _reply(self, reply: Reply) -> None:
        content = reply.text.encode()
        headers = {**reply.headers, "Content-Length": str(len(content))}
        self._send(reply.status, headers, len(content), lambda: self._send_text(content))

    def _send_text(self, content: bytes) -> None:
        self._send_bytes(content)

    def _send(self, status: int, headers: Any, length: int, send_body: Callable[[], None]) -> None:
        expected = 0 if self.command == "HEAD" else length
        self._bytes_sent = 0
        try:
            self.send_response_only(status)
            self.send_header("Server", self.version_string())
            self.send_header("Date", self.date_time_string())
            self.send_header("X-Content-Type-Options", "nosniff")
            for name, value in headers.items():
                self.send_header(name, value)
            if self.close_connection:
                self.send_header("Connection", "close")
            self.end_headers()
            if expected:
                send_body()
        except OSError:
            self.close_connection = True
        self._log(status, expected)

    def _log(self, status: int, expected: int) -> None:
        size = str(self._bytes_sent) if self._bytes_sent == expected else f"{self._bytes_sent} of {expected}"
        request = " ".join(self.requestline.split(" ")[:2])[:1000]
        printable = "".join(letter if letter.isascii() and letter.isprintable() else "?" for letter in request)
        now = time.strftime("%Y-%m-%d %H:%M:%S")
        self.server.log(f"{now} {self.client_address[0]} {printable} {status} {size}")

    def _body(self, request: Request) -> bytes:
        """Reads a short body, needed or not: many clients read the response only after sending theirs."""
        if request.body and "Expect" not in request.headers:
            return self.rfile.read(min(request.body, _MAX_DISCARDED_BODY))
        return b""

    def _let_read(self) -> None:
        """Ends the connection only when the client has: with bytes unread, it would lose the response to a reset."""
        self.close_connection = True
        end, left = time.monotonic() + _LINGER, _MAX_DISCARDED_BODY
        self.connection.shutdown(socket.SHUT_WR)
        self.connection.settimeout(_LINGER)
        while left > 0 and time.monotonic() < end and (content := self.connection.recv(2**16)):
            left -= len(content)

    def version_string(self) -> str:
        return f"nasexport/{exporter.__version__}"

    def log_message(self, *_: Any) -> None:
        """Drops the base class's lines about clients that timed out; `_log` writes one line for each response."""
