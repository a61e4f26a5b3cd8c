"""A cluster of Dask's on loopback: a scheduler and workers, each a process of its own, with certificates."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trustme

from tests.support.command import Command


@dataclass
class Cluster:
    """Its processes; ``options`` are those of a command that computes on it."""

    folder: Path
    environment: Mapping[str, str]
    workers: list["subprocess.Popen[bytes]"] = field(default_factory=list)
    scheduler: "subprocess.Popen[bytes] | None" = None

    @property
    def scheduler_file(self) -> Path:
        return self.folder / "scheduler.json"

    @property
    def _certificates(self) -> list[str]:
        return [
            *("--tls-ca-file", str(self.folder / "ca.pem")),
            *("--tls-cert", str(self.folder / "cert.pem")),
            *("--tls-key", str(self.folder / "key.pem")),
        ]

    @property
    def options(self) -> list[str]:
        return ["--cluster", str(self.scheduler_file), *self._certificates]

    def start_scheduler(self) -> None:
        """Starts it, and waits until it can be reached."""
        self.scheduler_file.unlink(missing_ok=True)
        self.scheduler = self._started(
            "dask_scheduler",
            *("--protocol", "tls", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"),
            *("--scheduler-file", self.scheduler_file),
        )
        for _ in range(3000):
            if self.scheduler_file.exists() and self.scheduler_file.stat().st_size:
                return
            assert self.scheduler.poll() is None
            time.sleep(0.02)
        raise AssertionError("the scheduler did not start in a minute")

    def start_worker(
        self, variables: Mapping[str, str] = {}, before: Callable[[], Any] | None = None, *, nanny: bool = False
    ) -> None:
        """Starts a worker, without waiting for it; with a ``nanny``, one that comes again when it is killed."""
        self.workers.append(
            self._started(
                "dask_worker",
                *("--scheduler-file", self.scheduler_file, "--nthreads", "1", "--no-dashboard"),
                "--nanny" if nanny else "--no-nanny",
                *("--death-timeout", "60", "--local-directory", self.folder),
                variables=variables,
                before=before,
            )
        )

    def wait(self, workers: int) -> None:
        """Waits until so many workers have joined."""
        from distributed import Client, Security

        security = Security(
            tls_ca_file=str(self.folder / "ca.pem"),
            tls_client_cert=str(self.folder / "cert.pem"),
            tls_client_key=str(self.folder / "key.pem"),
        )
        with Client(scheduler_file=str(self.scheduler_file), security=security, set_as_default=False) as client:
            client.wait_for_workers(workers, timeout=120)

    def kill(self, process: "subprocess.Popen[bytes]") -> None:
        process.send_signal(signal.SIGKILL)
        process.wait()

    def _started(
        self,
        program: str,
        *arguments: object,
        variables: Mapping[str, str] = {},
        before: Callable[[], Any] | None = None,
    ) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.{program}", *map(str, arguments), *self._certificates],
            env={**self.environment, "DASK_LOGGING__DISTRIBUTED": "error", **variables},
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=open(self.folder / "log", "ab"),
            preexec_fn=before,
        )


@contextlib.contextmanager
def cluster(command: Command, folder: Path, workers: int = 2) -> Iterator[Cluster]:
    """A scheduler with so many workers, which have the environment of a command; all are killed at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1", "localhost")
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    certificate.cert_chain_pems[0].write_to_path(str(folder / "cert.pem"))
    certificate.private_key_pem.write_to_path(str(folder / "key.pem"))
    made = Cluster(folder, {**os.environ, **command.env})
    try:
        made.start_scheduler()
        for _ in range(workers):
            made.start_worker()
        yield made
    finally:
        for process in (*made.workers, made.scheduler):
            if process and process.poll() is None:
                made.kill(process)
