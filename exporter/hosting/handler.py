"""Reads the requests of one connection to the server of a release, and sends the responses."""

import http.server
import socket
import socketserver
import time
from collections.abc import Callable
from typing import Any

import exporter
from exporter.errors import ReleaseError
from exporter.hosting.released_files import OpenFile, ReleasedFiles, UnavailableError
from exporter.hosting.responses import Delivery, deliver
from exporter.hosting.routes import ListedFile, Reply, method_refused, not_found, route, unavailable

#: Bytes that are sent between two checks that the file has not changed.
_CHUNK = 2**22

#: Bytes of a request's body that are read and discarded at most: many clients read the response only after sending it.
_MAX_DISCARDED_BODY = 2**20

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
    default_request_version = "HTTP/1.0"  # so that malformed requests get a response with headers, too
    disable_nagle_algorithm = True  # a short body would wait until the client has acknowledged the headers
    server: HandlerServer
    _bytes_sent = 0

    def setup(self) -> None:
        super().setup()
        self.connection.settimeout(self.server.client_timeout)

    def handle_one_request(self) -> None:
        self.server.request_started[self.connection] = time.monotonic()
        try:
            super().handle_one_request()
        except OSError:  # the client has disconnected
            self.close_connection = True
        finally:
            self.server.request_started.pop(self.connection, None)

    def do_GET(self) -> None:
        self._discard_body()
        self.server.request_started.pop(self.connection, None)
        try:
            listing = self.server.files.listing()
            answer = route(listing, self.path)
            if isinstance(answer, Reply):
                self._reply(answer)
                return
            try:
                with self.server.files.open(answer) as opened:
                    self._deliver(answer, opened)
            except FileNotFoundError:
                if answer.sha256 is None:
                    self._reply(not_found(listing))
                else:
                    raise UnavailableError(f"{answer.path}: is missing, but the manifest lists it") from None
        except (ReleaseError, UnavailableError) as error:
            self.server.log(f"{WARNING}{error}")
            self._reply(unavailable())

    do_HEAD = do_GET  # noqa: N815

    def _deliver(self, listed: ListedFile, opened: OpenFile) -> None:
        headers = {name.title(): value for name, value in self.headers.items()}
        delivery = deliver(listed, opened.size, opened.sha256, self.command, headers)
        self._send(delivery.status, delivery.headers, delivery.length, lambda: self._send_file(delivery, opened))

    def _send_file(self, delivery: Delivery, opened: OpenFile) -> None:
        end = delivery.start + delivery.length
        while (at := delivery.start + self._bytes_sent) < end:
            # The rest of the file no longer belongs to the ETag. A client that gets fewer bytes than Content-Length
            # knows that the transfer failed, and the bytes sent so far are correct.
            if opened.has_changed():
                raise ConnectionAbortedError
            sent = self.connection.sendfile(opened.file, at, min(_CHUNK, end - at))
            if not sent:
                raise ConnectionAbortedError
            self._bytes_sent += sent

    def _reply(self, reply: Reply) -> None:
        content = reply.text.encode()
        headers = {**reply.headers, "Content-Length": str(len(content))}
        self._send(reply.status, headers, len(content), lambda: self._send_text(content))

    def _send_text(self, content: bytes) -> None:
        self.wfile.write(content)
        self._bytes_sent = len(content)

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

    def _discard_body(self) -> None:
        """Keeps the body of a request from being read as the next request."""
        length = self.headers.get("Content-Length", "0")
        if length != "0" or "Transfer-Encoding" in self.headers:
            self.close_connection = True
            if length.isdecimal() and len(length) < 10 and "Expect" not in self.headers:
                self.rfile.read(min(int(length), _MAX_DISCARDED_BODY))

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answers what the base class refuses by itself: malformed requests, and methods without a ``do_…``."""
        if code == http.HTTPStatus.NOT_IMPLEMENTED:
            self._discard_body()
            self._reply(method_refused())
        else:
            self.close_connection = True
            self._reply(Reply(code, f"{http.HTTPStatus(code).phrase}\n"))

    def handle_expect_100(self) -> bool:
        return True  # bodies are not used, so the client gets the response instead of 100 Continue

    def version_string(self) -> str:
        return f"nasexport/{exporter.__version__}"

    def log_message(self, *_: Any) -> None:
        """Drops the base class's lines about clients that timed out; `_log` writes one line for each response."""
