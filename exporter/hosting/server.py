"""Serves a release over HTTP, read-only, to many clients at once.

Neither waitress 3.0.2 nor uvicorn 0.54 replaces this: both keep a client that sends its request byte by byte, or never
reads its response, for longer than any limit that they can be given, and ten tests of serving fail with waitress.
"""

import contextlib
import errno
import ipaddress
import os
import socket
import socketserver
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from exporter.errors import ServingError
from exporter.hosting.handler import WARNING, Handler, HandlerServer
from exporter.hosting.released_files import ReleasedFiles

#: Seconds that a client may take to send a request, and that it may go without reading any of the response.
CLIENT_TIMEOUT = 60.0
#: Simultaneous connections; each needs a thread and two of the 1024 file descriptors that a process usually has.
MAX_CONNECTIONS = 256


class ReleaseServer(socketserver.ThreadingMixIn, HandlerServer):
    """Listens as soon as it is created; ``serve_forever`` answers requests.

    Args:
        folder: the release.
        host: the address to listen on.
        port: the port; 0 for any free one.
        log: called with each line of the log, from many threads.
        client_timeout: in seconds, see `CLIENT_TIMEOUT`.
        files: what is served in place of the release in ``folder``.

    Raises:
        ReleaseError: there is no release in the folder, or its manifest is damaged.
        ServingError: it cannot listen at this address.
    """

    allow_reuse_address = True
    request_queue_size = 128
    daemon_threads = False  # one that writes to the log while the interpreter shuts down can make it crash

    def __init__(
        self,
        folder: Path,
        host: str,
        port: int,
        log: Callable[[str], None],
        client_timeout: float = CLIENT_TIMEOUT,
        files: ReleasedFiles | None = None,
    ) -> None:
        self.files = files or ReleasedFiles(folder)
        self.log = log
        self.client_timeout = client_timeout
        #: Connections that are being sent a request, with the time when it began.
        self.request_started = {}
        self._connections: set[socket.socket] = set()
        try:
            self.address_family, _, _, _, address = socket.getaddrinfo(
                host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            super().__init__(address, Handler)  # type: ignore[arg-type]
        except OSError as error:
            raise ServingError(_cannot_listen(host, port, error)) from error

    @property
    def url(self) -> str:
        host, port = self.server_address[:2]
        return f"http://[{host!s}]:{port}/" if self.address_family == socket.AF_INET6 else f"http://{host!s}:{port}/"

    @property
    def is_public(self) -> bool:
        """Whether other machines can reach it."""
        return not ipaddress.ip_address(str(self.server_address[0]).partition("%")[0]).is_loopback

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        if len(self._connections) > MAX_CONNECTIONS:
            request.settimeout(0)
            with contextlib.suppress(OSError):
                request.sendall(b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nContent-Length: 0\r\n\r\n")
            self.shutdown_request(request)
        else:
            super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Disconnects clients whose request takes too long; a timeout for each read would not catch a slow trickle."""
        oldest = time.monotonic() - self.client_timeout
        for connection, since in self.request_started.copy().items():
            if since < oldest:
                _disconnect(connection)

    def handle_error(self, request: Any, client_address: Any) -> None:
        self.log(f"{WARNING}an answer to {client_address[0]} failed: {sys.exc_info()[1]!r}")

    def server_close(self) -> None:
        """Stops listening, disconnects all clients, and waits for their threads."""
        for connection in self._connections.copy():
            _disconnect(connection)
        super().server_close()


def _disconnect(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _cannot_listen(host: str, port: int, error: OSError) -> str:
    failure = f"cannot listen on port {port} of {host}"
    if error.errno == errno.EADDRINUSE:
        return f"{failure}: another program already does; choose another --port, or 0 for any free one"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"{failure}: the system does not allow it; choose a --port from 1024 up, such as 8000"
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return f"{failure}: this machine has no such address; choose --host 127.0.0.1, or 0.0.0.0 for all of them"
    return f"{failure}: {error.strerror or os.strerror(error.errno or 0)}; choose another --host or --port"
