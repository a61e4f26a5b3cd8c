"""One connection to the server of a release."""

import http.server
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import exporter
from exporter.errors import ReleaseError
from exporter.hosting.released_files import OpenFile, UnavailableError
from exporter.hosting.responses import Delivery, deliver
from exporter.hosting.routes import Listed, Reply, method_refused, nothing, route, unavailable

if TYPE_CHECKING:
    from exporter.hosting.server import ReleaseServer

#: Bytes sent between two looks at whether the file is still the same.
_PIECE = 2**22

#: Most of a body that nobody asked for that is read, so that its sender gets to reading the answer. Bytes.
_MOST_IGNORED = 2**20

WARNING = "nasexport: warning: "


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    default_request_version = "HTTP/1.0"  # also what cannot be read gets an answer with a head
    disable_nagle_algorithm = True  # a short answer would wait for the client to acknowledge its head
    server: "ReleaseServer"
    _sent = 0

    def setup(self) -> None:
        super().setup()
        self.connection.settimeout(self.server.patience)

    def handle_one_request(self) -> None:
        self.server.asking[self.connection] = time.monotonic()
        try:
            super().handle_one_request()
        except OSError:  # the client is gone
            self.close_connection = True
        finally:
            self.server.asking.pop(self.connection, None)

    def do_GET(self) -> None:
        self._ignore_body()
        self.server.asking.pop(self.connection, None)
        try:
            listing = self.server.files.listing()
            found = route(listing, self.path)
            if isinstance(found, Reply):
                self._reply(found)
                return
            try:
                with self.server.files.opened(found) as opened:
                    self._deliver(found, opened)
            except FileNotFoundError:
                if found.sha256 is None:
                    self._reply(nothing(listing))
                else:
                    raise UnavailableError(f"{found.path}: is not there, but in the manifest") from None
        except (ReleaseError, UnavailableError) as error:
            self.server.log(f"{WARNING}{error}")
            self._reply(unavailable())

    do_HEAD = do_GET  # noqa: N815

    def _deliver(self, listed: Listed, opened: OpenFile) -> None:
        headers = {name.title(): value for name, value in self.headers.items()}
        delivery = deliver(listed, opened.size, opened.sha256, self.command, headers)
        self._send(delivery.status, delivery.headers, delivery.length, lambda: self._send_file(delivery, opened))

    def _send_file(self, delivery: Delivery, opened: OpenFile) -> None:
        end = delivery.start + delivery.length
        while (at := delivery.start + self._sent) < end:
            # The bytes that follow are not those of the ETag any more: a client takes less than it was told to expect
            # for a failure, and what came so far is right.
            if opened.has_changed():
                raise ConnectionAbortedError
            sent = self.connection.sendfile(opened.file, at, min(_PIECE, end - at))
            if not sent:
                raise ConnectionAbortedError
            self._sent += sent

    def _reply(self, reply: Reply) -> None:
        content = reply.text.encode()
        headers = {**reply.headers, "Content-Length": str(len(content))}
        self._send(reply.status, headers, len(content), lambda: self._send_text(content))

    def _send_text(self, content: bytes) -> None:
        self.wfile.write(content)
        self._sent = len(content)

    def _send(self, status: int, headers: Any, length: int, send_body: Callable[[], None]) -> None:
        expected = 0 if self.command == "HEAD" else length
        self._sent = 0
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
        size = str(self._sent) if self._sent == expected else f"{self._sent} of {expected}"
        asked = " ".join(self.requestline.split(" ")[:2])[:1000]
        plain = "".join(letter if letter.isascii() and letter.isprintable() else "?" for letter in asked)
        when = time.strftime("%Y-%m-%d %H:%M:%S")
        self.server.log(f"{when} {self.client_address[0]} {plain} {status} {size}")

    def _ignore_body(self) -> None:
        """What follows a request that has a body must not be taken for the next request."""
        length = self.headers.get("Content-Length", "0")
        if length != "0" or "Transfer-Encoding" in self.headers:
            self.close_connection = True
            if length.isdecimal() and len(length) < 10 and "Expect" not in self.headers:
                self.rfile.read(min(int(length), _MOST_IGNORED))

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the base class refuses by itself: what is no HTTP, and methods that have no ``do_…``."""
        if code == http.HTTPStatus.NOT_IMPLEMENTED:
            self._ignore_body()
            self._reply(method_refused())
        else:
            self.close_connection = True
            self._reply(Reply(code, f"{http.HTTPStatus(code).phrase}\n"))

    def handle_expect_100(self) -> bool:
        return True  # nothing is made of a body: its sender gets the answer instead of the invitation

    def version_string(self) -> str:
        return f"nasexport/{exporter.__version__}"

    def log_message(self, *_: Any) -> None:
        """The base class tells of clients that were silent for long; `_log` tells of answers."""
