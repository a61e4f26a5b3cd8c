"""Connects to a cluster of Dask's (``distributed``): one of this machine's own processes, or one that is running.

Its protocol runs what it is sent. So a connection to another machine must be one with certificates, and the cluster of
our own makes some for itself, for other users of this machine.
"""

import contextlib
import importlib.util
import ipaddress
import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import forkserver
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from exporter.errors import ClusterError, MachineError
from exporter.files import temporary

#: Schemes of addresses whose connections are encrypted, and need certificates on both sides.
_ENCRYPTED = ("tls", "wss")
_CONNECT_SECONDS = 15


@dataclass(frozen=True)
class Tls:
    """The files with the certificate of the authority, and with this side's own certificate and key (PEM)."""

    authority: Path
    certificate: Path
    key: Path


@dataclass(frozen=True)
class ClusterOptions:
    """Which cluster: ``workers`` processes of this machine, or the one whose scheduler is at ``address``, which may be
    the path of a scheduler file. With ``insecure``, a connection to another machine may be open to all.
    """

    workers: int | None = None
    address: str | None = None
    tls: Tls | None = None
    insecure: bool = False


def require_installed() -> None:
    """Raises MachineError where ``distributed`` is not installed."""
    for package in ("distributed", "cryptography"):
        if importlib.util.find_spec(package) is None:
            raise MachineError(f"clusters need {package}: pip install 'nasexport[cluster]'")


@contextlib.contextmanager
def connected(
    options: ClusterOptions, environment: Mapping[str, str], preload: Sequence[str] = (), debug: bool = False
) -> Iterator[Any]:
    """A client of the cluster, a `distributed.Client`.

    Args:
        environment: the variables of workers that are started here.
        preload: the modules that these have in common.
        debug: workers write to this process's standard error.

    Raises:
        ClusterError: it cannot be reached, or may not be used as it is.
        MachineError: ``distributed`` is not installed.
    """
    require_installed()
    _silence(debug)
    with _local(options.workers, environment, preload) if options.workers else _running(options) as client:
        yield client


def _silence(debug: bool) -> None:
    """What its own log would say is told by errors of ours."""
    import dask

    if not debug:
        quiet = dict.fromkeys(("distributed", "distributed.client", "tornado", "bokeh"), "critical")
        dask.config.set({"logging": quiet})
        os.environ.setdefault("DASK_LOGGING__DISTRIBUTED", "critical")
        logging.getLogger("distributed").setLevel(logging.CRITICAL)
        logging.getLogger("tornado").setLevel(logging.CRITICAL)
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)


@contextlib.contextmanager
def _local(workers: int, environment: Mapping[str, str], preload: Sequence[str]) -> Iterator[Any]:
    """A cluster of processes that end with this one, each with one thread."""
    with temporary.folder() as folder, _variables({**environment, **_log_level()}):
        method = _method(preload)
        import dask
        from distributed import Client, LocalCluster, Security

        settings = {
            "distributed.worker.multiprocessing-method": method,
            "temporary-directory": str(folder),
            "distributed.scheduler.allowed-failures": 3,
            # A worker that is killed takes what waits for it along.
            "distributed.scheduler.worker-saturation": 1.0,
        }
        with (
            dask.config.set(settings),
            LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                host="127.0.0.1",
                protocol="tls://",
                security=Security.temporary(),
                # Without an address they would listen to all of the network.
                dashboard_address="127.0.0.1:0",
                worker_dashboard_address="127.0.0.1:0",
                silence_logs=logging.CRITICAL,
                memory_limit=None,
                local_directory=str(folder),
            ) as cluster,
            Client(cluster) as client,
        ):
            yield client


def _method(preload: Sequence[str]) -> str:
    """How workers are started: as forks of one process, which imports what they need while this one imports Dask."""
    try:
        forkserver.set_forkserver_preload(list(preload))
        forkserver.ensure_running()
    except OSError:
        # Its socket has no room where the path of the folder for temporary files is long; each imports all itself.
        return "spawn"
    return "forkserver"


def _log_level() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("DASK_LOGGING")}


@contextlib.contextmanager
def _variables(environment: Mapping[str, str]) -> Iterator[None]:
    """Within it, this process has those variables, and what it starts has them, too."""
    before = dict(os.environ)
    try:
        _replace_variables(environment)
        yield
    finally:
        _replace_variables(before)


def _replace_variables(wanted: Mapping[str, str]) -> None:
    for name in set(os.environ) - set(wanted):
        del os.environ[name]
    os.environ.update(wanted)


@contextlib.contextmanager
def _running(options: ClusterOptions) -> Iterator[Any]:
    from distributed import Client, Security

    assert options.address
    address = _address_in(options.address)
    encrypted = urlsplit(address).scheme in _ENCRYPTED
    if not encrypted and not options.insecure and not _is_loopback(address):
        raise ClusterError(
            f"{address} is another machine, and its connections are open to all who reach it: expected tls://…,\n"
            f"with --tls-ca-file, --tls-cert and --tls-key; --insecure takes it as it is"
        )
    tls = options.tls
    security = Security()  # what Dask's own configuration says
    if tls:
        for path in (tls.authority, tls.certificate, tls.key):
            if not path.is_file():
                raise ClusterError(f"there is no file {path}")
        security = Security(
            tls_ca_file=str(tls.authority),
            tls_client_cert=str(tls.certificate),
            tls_client_key=str(tls.key),
            require_encryption=True,
        )
    elif encrypted and not security.tls_ca_file:
        raise ClusterError(f"{address} needs certificates: --tls-ca-file, --tls-cert and --tls-key")
    try:
        client = Client(address, security=security, timeout=_CONNECT_SECONDS)
    except (OSError, ValueError, RuntimeError) as error:
        text = " ".join(str(error).split())[:300]
        raise ClusterError(f"cannot connect to the scheduler {address}: {text}") from error
    with client:
        yield client


def _address_in(text: str) -> str:
    """The address of a scheduler, as it is or from a scheduler file."""
    if "://" in text:
        return text
    path = Path(text)
    if not path.exists():
        raise ClusterError(f"{text} is no address (tls://host:8786) and no scheduler file")
    try:
        address = json.loads(path.read_bytes())["address"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ClusterError(f"{text} is no scheduler file: expected JSON with an address") from error
    return str(address)


def _is_loopback(address: str) -> bool:
    if urlsplit(address).scheme == "inproc":
        return True
    host = urlsplit(address).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
