"""``serve``: a release over HTTP."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from exporter.cli.options import path_type, warn


@click.command()
@click.argument("folder", metavar="DIR", type=path_type)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 for all.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 for any port that is free."
)
def serve(folder: Path, host: str, port: int) -> None:
    """Serve a release over HTTP, for tensorflow-hub and browsers.

    DIR is a folder that `nasexport release` wrote; it is only read, and may be replaced meanwhile. With it,
    hub.load("http://127.0.0.1:8000/google/imagenet/...") loads from here what it loaded from the hub. Prints the
    address to standard output, and a line for each answer to standard error. Ctrl-C or SIGTERM ends it.
    """
    from exporter.hosting.server import ReleaseServer

    with (
        ReleaseServer(folder, host, port, lambda line: click.echo(line, err=True)) as server,
        _signals_call(server.shutdown),
    ):
        if server.is_public:
            warn(f"other machines may reach {server.url}: whoever does can read this release")
        click.echo(server.url)
        server.serve_forever(poll_interval=0.2)


@contextlib.contextmanager
def _signals_call(end: Callable[[], None]) -> Iterator[None]:
    """For the block, Ctrl-C and SIGTERM call ``end`` and are no failure."""

    def begin_to_end(*_: object) -> None:
        # Shutting down waits for the loop that the signal has interrupted.
        threading.Thread(target=end, daemon=True).start()

    # A shell makes what it starts in the background deaf to Ctrl-C, which stays so.
    numbers = [number for number in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, begin_to_end) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
