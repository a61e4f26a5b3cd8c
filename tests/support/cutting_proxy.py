"""A proxy in front of a server of the tests, which cuts all connections after so many bytes that clients have sent."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit


class CuttingProxy:
    """Passes bytes on both ways. ``cut`` says whether it has begun to cut."""

    def __init__(self, server: str, after: int):
        parts = urlsplit(server)
        assert parts.hostname and parts.port
        self._server = parts.hostname, parts.port
        self._left: float = after
        self._guard = threading.Lock()
        self.cut = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def let_pass(self) -> None:
        """From now on nothing is cut."""
        self._left, self.cut = float("inf"), False

    def close(self) -> None:
        # close alone would leave a thread in accept.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.cut:
                client.close()
                continue
            server = socket.create_connection(self._server)
            for source, target, counts in ((client, server, True), (server, client, False)):
                threading.Thread(target=self._pass, args=(source, target, counts), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, counts: bool) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(2**16):
                if counts:
                    with self._guard:
                        left = max(0, int(min(self._left, len(piece))))
                        self._left -= len(piece)
                        self.cut |= self._left < 0
                    piece = piece[:left]
                if piece:
                    target.sendall(piece)
                if self.cut:
                    break
        for each in (source, target):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


@contextlib.contextmanager
def cutting(server: str, after: int) -> Iterator[CuttingProxy]:
    proxy = CuttingProxy(server, after)
    try:
        yield proxy
    finally:
        proxy.close()
