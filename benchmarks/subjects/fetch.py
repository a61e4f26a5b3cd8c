"""Throughput of ``nasexport fetch`` beside ``curl`` and ``sha256sum``, for one archive on one machine.

The archive is served on loopback by a process of its own.
"""

import contextlib
import functools
import hashlib
import http.server
import multiprocessing
import random
import shlex
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measuring import Contestant, megabytes, seconds
from benchmarks.results import Figure
from benchmarks.workspace import HERE, Workspace, nasexport
from exporter.models.config import models

NAME = "benchmark"
FETCH, CURL = "nasexport fetch", "curl, then sha256sum"
MEGABYTES = 400


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def _serve(folder: str, port: "multiprocessing.Queue[int]") -> None:
    handler = functools.partial(_Quiet, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        port.put(server.server_port)
        server.serve_forever()


@contextlib.contextmanager
def _served(folder: Path) -> Iterator[str]:
    """The address of a server of that folder."""
    # A fork would copy this process without its threads, and whatever locks they hold.
    context = multiprocessing.get_context("spawn")
    ports = context.Queue()
    server = context.Process(target=_serve, args=(str(folder), ports), daemon=True)
    server.start()
    try:
        yield f"http://127.0.0.1:{ports.get(timeout=60)}"
    finally:
        server.kill()
        server.join()


def measure(workspace: Workspace) -> list[Figure]:
    """Time and memory for an archive of the size of the largest published one."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        archive = folder / f"{NAME}.tar.gz"
        sha256 = _write(archive)
        with _served(folder) as address:
            url = f"{address}/{archive.name}"
            # The network does not matter: a pinned archive is not unpacked.
            config = {**models()["nasnet_mobile"].to_dict(), "name": NAME, "checkpoint": NAME}
            path, lock, cache = workspace.yaml(config), folder / "bench.lock", folder / "cache"
            size = archive.stat().st_size
            lock.write_text(f'[checkpoint.{NAME}]\nurl = "{url}"\nsize = {size}\nsha256 = "{sha256}"\n')
            proxy = {"NO_PROXY": "127.0.0.1"}
            copy = shlex.quote(str(folder / "copy"))
            options = ("--lock-file", lock, "--cache-dir", cache)
            contestants = [
                Contestant(FETCH, nasexport("fetch", path, *options), {**HERE, **proxy}, workspace.fresh(cache)),
                Contestant(CURL, ["sh", "-c", f"curl -sf -o {copy} {url} && sha256sum {copy}"], proxy),
            ]
            runs = workspace.take_turns("fetch", contestants)
    title = f"fetch an archive of {MEGABYTES} MB from this machine"
    return [
        Figure("fetch/time", title, "s", seconds(runs), FETCH, CURL),
        Figure("fetch/memory", f"{title}, largest process", "MB", megabytes(runs, largest=True), FETCH, CURL),
    ]


def _write(archive: Path) -> str:
    """Writes a file that starts like an archive, and returns its sha256."""
    block = b"\x1f\x8b" + random.Random(0).randbytes(10**6 - 2)
    digest = hashlib.sha256()
    with open(archive, "wb") as file:
        for _ in range(MEGABYTES):
            file.write(block)
            digest.update(block)
    return digest.hexdigest()
