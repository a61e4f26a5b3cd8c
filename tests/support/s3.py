"""A bucket of moto's server, which speaks S3, on this machine: fixtures, and a command that reaches it with s3fs."""

import contextlib
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.support import environments
from tests.support.command import Command
from tests.support.cutting_proxy import CuttingProxy

BUCKET = "models"
KEY, SECRET = "AKIA0123456789ABCDEF", "0123456789/s3cr3t+abcdefghijklmnopqrstuv"
#: moto asks for some signature, and believes any.
_SCOPE = f"Credential={KEY}/20260101/us-east-1/s3/aws4_request"
SIGNED = {"Authorization": f"AWS4-HMAC-SHA256 {_SCOPE}, SignedHeaders=host, Signature=0"}


@pytest.fixture(scope="module")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of moto's server."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("moto") / "log"
    with open(log, "w") as file:
        command = [str(environments.stores().parent / "moto_server"), "-H", "127.0.0.1", "-p", str(port)]
        server = subprocess.Popen(command, stdout=file, stderr=file, env=environments.clean_variables())
    try:
        end = time.monotonic() + 60
        while True:
            with contextlib.suppress(requests.ConnectionError):
                requests.get(f"http://127.0.0.1:{port}/moto-api/data.json", timeout=10)
                break
            assert server.poll() is None and time.monotonic() < end, log.read_text()
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


@pytest.fixture
def bucket(moto: str) -> str:
    """The address of the server, with an empty bucket."""
    empty(moto)
    return moto


def empty(moto: str) -> None:
    """Makes the bucket anew."""
    asked("POST", f"{moto}/moto-api/reset")
    asked("PUT", f"{moto}/{BUCKET}")


def with_s3(cli: Command, address: str, folder: Path, **variables: str) -> Command:
    """The command, with s3fs, and with credentials for a server at that address."""
    program = environments.beside(environments.stores())
    return cli.with_program_first(program, folder).with_variables(
        **{
            "AWS_ENDPOINT_URL": address,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_MAX_ATTEMPTS": "2",
            "NO_PROXY": "127.0.0.1",
            **variables,
        }
    )


@pytest.fixture
def s3_cli(own_cli: Command, bucket: str, tmp_path: Path) -> Command:
    return with_s3(own_cli, bucket, tmp_path)


def there(address: str, below: str = "") -> dict[str, bytes]:
    """The content of each object of the bucket whose key begins so, by the rest of its key."""
    text = asked("GET", f"{address}/{BUCKET}?list-type=2&max-keys=1000").text
    keys = [part.partition("</Key>")[0] for part in text.split("<Key>")[1:]]
    wanted = [key for key in keys if key.startswith(below)]
    return {key.removeprefix(below): asked("GET", f"{address}/{BUCKET}/{key}").content for key in wanted}


@contextlib.contextmanager
def refusing(moto: str) -> Iterator[None]:
    """Within it, the server asks for permissions, which the key has none of."""
    asked("POST", f"{moto}/moto-api/reset-auth", b"0")
    try:
        yield
    finally:
        asked("POST", f"{moto}/moto-api/reset-auth", b"inf")


def asked(method: str, url: str, data: bytes | None = None) -> requests.Response:
    """The answer of the server to a question with a signature."""
    answer = requests.request(method, url, data=data, headers=SIGNED, timeout=60)
    answer.raise_for_status()
    return answer


def kill_when_cut(process: Any, proxy: CuttingProxy) -> None:
    """Kills a command that was begun, as soon as a proxy cuts its connections."""
    done = threading.Thread(target=process.communicate)
    done.start()
    while done.is_alive() and not proxy.cut:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    done.join()
