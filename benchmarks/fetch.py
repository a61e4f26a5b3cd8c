"""Throughput and memory of ``nasexport fetch`` beside ``curl`` and ``sha256sum``, for one archive on one machine.

``python benchmarks/fetch.py [--megabytes 400] [--runs 5]``: serves an archive on loopback from a process of its own and
takes turns between the contestants; prints the median of each as a table, or as JSON with ``--json``.
"""

import functools
import hashlib
import http.server
import json
import multiprocessing
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import yaml

ROOT = Path(__file__).resolve().parent.parent
NAME = "benchmark"
#: Any network will do: a pinned archive is not unpacked.
CONFIG = {**yaml.safe_load((ROOT / "configs" / "nasnet_mobile.yaml").read_text()), "name": "bench", "checkpoint": NAME}


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def _serve(folder: str, port: "multiprocessing.Queue[int]") -> None:
    handler = functools.partial(_Quiet, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        port.put(server.server_port)
        server.serve_forever()


def _measure(arguments: list[str], env: dict[str, str] | None = None) -> tuple[float, int]:
    """Seconds and peak memory in bytes of a command."""
    began = time.perf_counter()
    process = subprocess.Popen(arguments, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    if status:
        raise SystemExit(f"{arguments[0]} failed: {process.stderr.read().decode() if process.stderr else ''}")
    return seconds, usage.ru_maxrss * 1024


@click.command()
@click.option("--megabytes", default=400, show_default=True)
@click.option("--runs", default=5, show_default=True)
@click.option("--json", "as_json", is_flag=True)
def main(megabytes: int, runs: int, as_json: bool) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        archive = folder / f"{NAME}.tar.gz"
        block = b"\x1f\x8b" + random.Random(0).randbytes(10**6 - 2)
        digest = hashlib.sha256()
        with open(archive, "wb") as file:
            for _ in range(megabytes):
                file.write(block)
                digest.update(block)
        sha256 = digest.hexdigest()
        ports: multiprocessing.Queue[int] = multiprocessing.Queue()
        server = multiprocessing.Process(target=_serve, args=(temporary, ports), daemon=True)
        server.start()
        url = f"http://127.0.0.1:{ports.get()}/{archive.name}"
        config, lock, cache = folder / "bench.yaml", folder / "bench.lock", folder / "cache"
        config.write_text(yaml.safe_dump(CONFIG))
        lock.write_text(f'[checkpoint.{NAME}]\nurl = "{url}"\nsize = {archive.stat().st_size}\nsha256 = "{sha256}"\n')
        env = {**os.environ, "NO_PROXY": "127.0.0.1", "PYTHONPATH": str(ROOT)}
        fetch = [sys.executable, "-m", "exporter", "fetch", str(config), "--lock-file", str(lock)]
        contestants = {
            "nasexport fetch": [*fetch, "--cache-dir", str(cache)],
            "curl -o /dev/null": ["curl", "-s", "-o", "/dev/null", url],
            "curl -o file": ["curl", "-s", "-o", str(folder / "copy"), url],
            "sha256sum": ["sha256sum", str(archive)],
        }
        results: dict[str, list[tuple[float, int]]] = {name: [] for name in contestants}
        for _ in range(runs):
            for name, arguments in contestants.items():
                shutil.rmtree(cache, ignore_errors=True)
                results[name].append(_measure(arguments, env))
        server.kill()
    rows = {
        name: {
            "seconds": statistics.median(seconds for seconds, _ in found),
            "megabytes_per_second": megabytes / statistics.median(seconds for seconds, _ in found),
            "peak_megabytes": max(peak for _, peak in found) / 1e6,
        }
        for name, found in results.items()
    }
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    click.echo(f"{megabytes} MB, median of {runs} runs")
    for name, row in rows.items():
        click.echo(
            f"{name:<20} {row['seconds']:6.2f} s {row['megabytes_per_second']:8.0f} MB/s "
            f"peak {row['peak_megabytes']:6.1f} MB"
        )


if __name__ == "__main__":
    main()
