"""``serve``: a release over HTTP."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from exporter.artifact.below import artifacts_below
from exporter.cli import ending
from exporter.cli.commands import Command, examples
from exporter.cli.options import path_type, print_text, tell, warn
from exporter.cli.values import TextType


@click.command(
    cls=Command, epilog=examples("nasexport serve release", "nasexport serve dist --host 0.0.0.0 --port 8080")
)
@click.argument("folder", metavar="DIR", type=path_type)
@click.option(
    "--host",
    type=TextType("host"),
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; 0.0.0.0 for every one.",
)
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 for any free port.")
def serve(folder: Path, host: str, port: int) -> None:
    """Serve a release, or any folder of artifacts, over HTTP.

    For tensorflow-hub and browsers. DIR is a folder that `nasexport release` wrote, or any other that has artifacts
    somewhere below it, such as the one that `nasexport build` writes into; it is only read, and may be replaced while
    it is served. hub.load("http://127.0.0.1:8000/google/imagenet/...") then loads what it used to load
    from tfhub.dev. Prints the address to standard output, and a line for each response to standard error. Ctrl-C,
    SIGTERM or SIGHUP stops it.
    """
    from exporter.files import temporary
    from exporter.hosting.server import ReleaseServer
    from exporter.hosting.tree_files import TreeFiles
    from exporter.release.manifest import MANIFEST_FILE

    with contextlib.ExitStack() as stack:
        files = None
        if not (folder / MANIFEST_FILE).exists() and folder.is_dir() and artifacts_below(folder):
            warn(f"{folder} has no {MANIFEST_FILE}: it is served as a folder of artifacts, not as a release")
            files = TreeFiles(folder, stack.enter_context(temporary.folder()))
        server = stack.enter_context(ReleaseServer(folder, host, port, tell, files=files))
        stack.enter_context(_signals_call(server.shutdown))
        if server.is_public:
            warn(f"other machines can reach {server.url}: anyone on the network can read this release")
        print_text(server.url)
        server.serve_forever(poll_interval=0.2)


@contextlib.contextmanager
def _signals_call(stop: Callable[[], None]) -> Iterator[None]:
    """Within the block, what stops a command calls ``stop`` instead, and the command then exits with 0."""

    def handle(*_: object) -> None:
        # In a thread: stopping waits for the loop that the signal has interrupted.
        threading.Thread(target=stop, daemon=True).start()

    before = {number: signal.signal(number, handle) for number in ending.heeded()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
