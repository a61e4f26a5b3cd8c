"""Serves a release over HTTP, read-only, to many clients at once."""

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
from exporter.hosting.handler import WARNING, Handler
from exporter.hosting.released_files import ReleasedFiles

#: Seconds that a client may take to ask, and that it may take no byte of what it is sent.
PATIENCE = 60.0
#: Connections at once; each needs a thread and two files, of the 1024 that a process usually may open.
MOST_CLIENTS = 256


class ReleaseServer(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """Listens from the moment it is made; ``serve_forever`` answers.

    ``log`` gets each line for whoever runs the server, from many threads. ``patience`` is in seconds, see `PATIENCE`.

    Raises:
        ReleaseError: there is no release in the folder, or its manifest is damaged.
        ServingError: it cannot listen at this address.
    """

    allow_reuse_address = True
    request_queue_size = 128
    daemon_threads = False  # one that writes a line while the interpreter ends can make it crash

    def __init__(
        self, folder: Path, host: str, port: int, log: Callable[[str], None], patience: float = PATIENCE
    ) -> None:
        self.files = ReleasedFiles(folder)
        self.log = log
        self.patience = patience
        #: Connections that are in the middle of asking, with the time when they began.
        self.asking: dict[socket.socket, float] = {}
        self._connections: set[socket.socket] = set()
        try:
            self.address_family, _, _, _, address = socket.getaddrinfo(
                host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            super().__init__(address, Handler)  # type: ignore[arg-type]
        except OSError as error:
            raise ServingError(_refusal(host, port, error)) from error

    @property
    def url(self) -> str:
        host, port = self.server_address[:2]
        return f"http://[{host!s}]:{port}/" if self.address_family == socket.AF_INET6 else f"http://{host!s}:{port}/"

    @property
    def is_public(self) -> bool:
        """Whether other machines may reach it."""
        return not ipaddress.ip_address(str(self.server_address[0]).partition("%")[0]).is_loopback

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        if len(self._connections) > MOST_CLIENTS:
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
        """Ends connections that ask too slowly, which a limit to each of their bytes would not."""
        latest = time.monotonic() - self.patience
        for connection, since in self.asking.copy().items():
            if since < latest:
                _end(connection)

    def handle_error(self, request: Any, client_address: Any) -> None:
        self.log(f"{WARNING}an answer to {client_address[0]} failed: {sys.exc_info()[1]!r}")

    def server_close(self) -> None:
        """Stops listening, ends all connections, and waits for their threads."""
        for connection in self._connections.copy():
            _end(connection)
        super().server_close()


def _end(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _refusal(host: str, port: int, error: OSError) -> str:
    tried = f"cannot listen on port {port} of {host}"
    if error.errno == errno.EADDRINUSE:
        return f"{tried}: another program does; choose another --port, or 0 for any that is free"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"{tried}: the system does not allow it; choose a --port from 1024 up, such as 8000"
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return f"{tried}: that is no address of this machine; choose --host 127.0.0.1, or 0.0.0.0 for all of them"
    return f"{tried}: {error.strerror or os.strerror(error.errno or 0)}; choose another --host or --port"
