"""An HTTP server that serves one archive, and misbehaves in the ways it is told to."""

import base64
import contextlib
import gzip
import hashlib
import http.server
import re
import socket
import socketserver
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import google_crc32c

#: What a request is answered with.
Answer = Callable[["Request"], None]


@dataclass
class Served:
    """The archive as the server has it. ``etag`` may be None, and ``hashes`` False, for servers that have none."""

    content: bytes
    etag: str | None = '"1"'
    ranges: bool = True
    hashes: bool = False


class Request(http.server.BaseHTTPRequestHandler):
    """One request; the answers below are written with its methods."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # a body would wait until the client has acknowledged the headers
    server: "FaultyServer"

    def do_GET(self) -> None:
        self.server.asked.append(self)
        with self.server.guard:
            script = self.server.script
            answer = script.pop(0) if script else whole
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            answer(self)
        self.close_connection = True

    def begin(self, status: int = 200, **headers: object) -> None:
        """Sends the head. Underscores in the headers' names are hyphens."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.send_header("Connection", "close")
        self.end_headers()

    def facts(self) -> dict[str, object]:
        served = self.server.served
        found: dict[str, object] = {}
        if served.etag:
            found["ETag"] = served.etag
        if served.hashes:
            found["x_goog_hash"] = goog_hash(served.content)
        return found

    def body(self) -> tuple[int, bytes, dict[str, object]]:
        """Status, bytes and headers of an honest answer: the part asked for, where it can be had."""
        served = self.server.served
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if not (wanted and served.ranges) or self.headers.get("If-Range") not in (None, served.etag):
            return 200, served.content, {**self.facts(), "Content_Length": len(served.content)}
        start, size = int(wanted[1]), len(served.content)
        part = {"Content_Range": f"bytes {start}-{size - 1}/{size}", "Content_Length": size - start}
        return 206, served.content[start:], {**self.facts(), **part}

    def log_message(self, *_: Any) -> None:
        pass


def goog_hash(content: bytes) -> str:
    """The header as Google Cloud Storage sends it."""
    md5 = base64.b64encode(hashlib.md5(content).digest()).decode()
    crc32c = base64.b64encode(google_crc32c.Checksum(content).digest()).decode()
    return f"crc32c={crc32c}, md5={md5}"


class FaultyServer(http.server.ThreadingHTTPServer):
    """Answers each request with the next answer of ``script``, and with the archive once that is used up."""

    daemon_threads = True
    request_queue_size = 50

    def __init__(self, served: Served, tls: ssl.SSLContext | None = None):
        self.served = served
        self.script: list[Answer] = []
        self.asked: list[Request] = []
        self.guard = threading.Lock()
        super().__init__(("127.0.0.1", 0), Request)
        self.scheme = "https" if tls else "http"
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_side=True)

    def url(self, name: str) -> str:
        return f"{self.scheme}://127.0.0.1:{self.server_port}/{name}"

    def handle_error(self, *_: Any) -> None:
        """A client that hangs up is part of the tests."""


Server = TypeVar("Server", bound=socketserver.BaseServer)


@contextlib.contextmanager
def serving(server: Server) -> Iterator[Server]:
    """The server, running in a thread for the time of the block."""
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def whole(request: Request) -> None:
    """The archive, or the part asked for."""
    status, content, headers = request.body()
    request.begin(status, **headers)
    request.wfile.write(content)


def cut(after: int) -> Answer:
    """So many bytes, then the connection is closed."""

    def answer(request: Request) -> None:
        status, content, headers = request.body()
        request.begin(status, **headers)
        request.wfile.write(content[:after])

    return answer


def reset(after: int) -> Answer:
    """So many bytes, then the connection is reset, as by a firewall."""

    def answer(request: Request) -> None:
        cut(after)(request)
        request.wfile.flush()
        request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        request.connection.close()

    return answer


def hang_up(request: Request) -> None:
    """Not a byte, not even a head."""


def stall(after: int, seconds: float) -> Answer:
    """So many bytes, then silence on an open connection."""

    def answer(request: Request) -> None:
        cut(after)(request)
        request.wfile.flush()
        time.sleep(seconds)

    return answer


def drip(seconds: float) -> Answer:
    """A byte at a time, never silent for long."""

    def answer(request: Request) -> None:
        status, content, headers = request.body()
        request.begin(status, **headers)
        end = time.monotonic() + seconds
        for index in range(len(content)):
            if time.monotonic() > end:
                return
            request.wfile.write(content[index : index + 1])
            time.sleep(0.05)

    return answer


def slowly(pieces: int, seconds: float) -> Answer:
    """All of it, in so many pieces over so many seconds."""

    def answer(request: Request) -> None:
        status, content, headers = request.body()
        request.begin(status, **headers)
        size = len(content) // pieces + 1
        for start in range(0, len(content), size):
            request.wfile.write(content[start : start + size])
            request.wfile.flush()
            time.sleep(seconds / pieces)

    return answer


def status(code: int, **headers: object) -> Answer:
    """An answer without content."""
    return lambda request: request.begin(code, Content_Length=0, **headers)


def page(code: int = 200) -> Answer:
    """A page in HTML, as a proxy or a login page sends it."""

    def answer(request: Request) -> None:
        content = b"<!DOCTYPE html><html><body>Please log in.</body></html>"
        request.begin(code, Content_Type="text/html", Content_Length=len(content))
        request.wfile.write(content)

    return answer


def instead(content: bytes, **headers: object) -> Answer:
    """Other bytes, honestly described."""

    def answer(request: Request) -> None:
        request.begin(200, Content_Length=len(content), **headers)
        request.wfile.write(content)

    return answer


def misstated(length: int) -> Answer:
    """All bytes, with another length in the head."""

    def answer(request: Request) -> None:
        request.begin(200, **{**request.facts(), "Content_Length": length})
        request.wfile.write(request.server.served.content)

    return answer


def chunked(request: Request) -> None:
    """All bytes in chunks, without a length."""
    request.begin(200, Transfer_Encoding="chunked")
    content = request.server.served.content
    for start in range(0, len(content), 5000):
        part = content[start : start + 5000]
        request.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
    request.wfile.write(b"0\r\n\r\n")


def chunked_cut(request: Request) -> None:
    """A chunk, and then the end where there should be more."""
    request.begin(200, Transfer_Encoding="chunked")
    request.wfile.write(b"%x\r\n%s\r\n" % (5000, request.server.served.content[:5000]))


def unlimited(request: Request) -> None:
    """All bytes, neither length nor chunks: the end of the connection is the end."""
    request.begin(200)
    request.wfile.write(request.server.served.content)


def packed(request: Request) -> None:
    """The archive, compressed once more on the way by a server that was asked not to."""
    content = gzip.compress(request.server.served.content)
    request.begin(200, Content_Encoding="gzip", Content_Length=len(content))
    request.wfile.write(content)


def called_gzip(request: Request) -> None:
    """The archive as it is, with a head that calls its own compression one of the transfer."""
    content = request.server.served.content
    request.begin(200, Content_Encoding="gzip", Content_Length=len(content))
    request.wfile.write(content)


def other_part(request: Request) -> None:
    """A part that begins elsewhere than asked."""
    content = request.server.served.content
    request.begin(
        206,
        **request.facts(),
        Content_Range=f"bytes 1-{len(content) - 1}/{len(content)}",
        Content_Length=len(content) - 1,
    )
    request.wfile.write(content[1:])


def part_of_another(etag: str) -> Answer:
    """The part asked for, of a file that has changed, by a server that does not heed If-Range."""

    def answer(request: Request) -> None:
        size = len(request.server.served.content)
        match = re.fullmatch(r"bytes=(\d+)-", request.headers["Range"])
        assert match
        start = int(match[1])
        request.begin(206, ETag=etag, Content_Range=f"bytes {start}-{size - 1}/{size}", Content_Length=size - start)
        request.wfile.write(b"\0" * (size - start))

    return answer


def redirect(url: str, code: int = 302) -> Answer:
    return status(code, Location=url)


class RawServer:
    """A server that sends bytes as they are, whatever they mean: the answer to each connection, or silence.

    ``answers`` are taken in turn, the last one again and again. Each is what to send, which may go on for ever, and
    ``pause`` is how long to wait before each piece of it, in seconds. ``asked`` has the head of each request.
    """

    def __init__(self) -> None:
        self.answers: list[bytes | Callable[[], Iterator[bytes]]] = []
        self.pause = 0.0
        self.stays_open = False
        self.asked: list[bytes] = []
        self._closing = threading.Event()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self, path: str = "") -> str:
        return f"http://127.0.0.1:{self.port}/{path}"

    def close(self) -> None:
        self._closing.set()
        # accept waits for ever on a socket that is only closed
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                piece = connection.recv(65536)
                if not piece:
                    return
                head += piece
            self.asked.append(head)
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            for piece in [answer] if isinstance(answer, bytes) else answer():
                if self._closing.wait(self.pause):
                    return
                connection.sendall(piece)
            if self.stays_open:
                self._closing.wait(60)


@contextlib.contextmanager
def sending(*answers: bytes | Callable[[], Iterator[bytes]]) -> Iterator[RawServer]:
    """A `RawServer` for the time of the block."""
    server = RawServer()
    server.answers = list(answers)
    try:
        yield server
    finally:
        server.close()
