"""Runs ``nasexport serve`` in a process of its own, and asks it in raw HTTP."""

import contextlib
import queue
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from tests.support.command import Command

#: Seconds that no answer of a server on this machine takes.
PATIENCE = 30.0


@dataclass
class Served:
    """A server that runs: its address without the last slash, its process, and the lines that it has printed."""

    url: str
    process: subprocess.Popen[str]
    log: list[str] = field(default_factory=list)

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.url)
        assert parts.hostname and parts.port
        return parts.hostname, parts.port

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, PATIENCE)

    def raw(self, request: bytes) -> bytes:
        """All that comes back until the server closes the connection."""
        with self.connect() as connection:
            connection.sendall(request)
            return received(connection)

    def logged(self, text: str) -> str:
        """The first line of its log with that text; waits for it."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            for line in self.log:
                if text in line:
                    return line
            time.sleep(0.02)
        raise AssertionError(f"no line has {text!r}: {self.log}")

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Its exit status after a signal."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)


def received(connection: socket.socket) -> bytes:
    content = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := connection.recv(2**16):
            content += piece
    return content


@contextlib.contextmanager
def serving(command: Command, release: Path, *options: object) -> Iterator[Served]:
    """``nasexport serve`` at a port of its choice for the time of the block; it must not have printed a traceback."""
    process = command.start("serve", release, "--port", 0, *options)
    assert process.stdout and process.stderr
    served = Served("", process)
    lines: queue.Queue[str] = queue.Queue()
    readers = [
        threading.Thread(target=_pass_on, args=(process.stderr, served.log.append), daemon=True),
        threading.Thread(target=_pass_on, args=(process.stdout, lines.put), daemon=True),
    ]
    for reader in readers:
        reader.start()
    try:
        served.url = lines.get(timeout=PATIENCE).rstrip("\n").removesuffix("/")
        yield served
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(PATIENCE)
        for reader in readers:
            reader.join(PATIENCE)
    assert lines.empty(), "only the address goes to standard output"
    assert "Traceback" not in "".join(served.log), served.log


def _pass_on(stream: IO[str], take: Callable[[str], None]) -> None:
    for line in stream:
        take(line)
