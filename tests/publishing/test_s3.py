"""``release publish`` to S3: the real s3fs and botocore talk to moto's server, in an environment of their own."""

import contextlib
import json
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.publishing.conftest import publish, published, restore_empty_folders, size_of, states
from tests.publishing.test_folder import KILLS
from tests.support import environments
from tests.support.command import Command, refusal, succeeded
from tests.support.cutting_proxy import CuttingProxy, cutting
from tests.support.small_release import flip_a_bit, hashes

pytestmark = pytest.mark.readers
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
    _empty(moto)
    return moto


def _empty(moto: str) -> None:
    _asked("POST", f"{moto}/moto-api/reset")
    _asked("PUT", f"{moto}/{BUCKET}")


def _with_s3(cli: Command, address: str, folder: Path, **variables: str) -> Command:
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
    return _with_s3(own_cli, bucket, tmp_path)


def _there(address: str, below: str = "") -> dict[str, bytes]:
    """The content of each object of the bucket."""
    text = _asked("GET", f"{address}/{BUCKET}?list-type=2&max-keys=1000").text
    keys = [part.partition("</Key>")[0] for part in text.split("<Key>")[1:]]
    return {key.removeprefix(below): _asked("GET", f"{address}/{BUCKET}/{key}").content for key in keys}


def _asked(method: str, url: str, data: bytes | None = None) -> requests.Response:
    answer = requests.request(method, url, data=data, headers=SIGNED, timeout=60)
    answer.raise_for_status()
    return answer


def _write(folder: Path, files: dict[str, bytes]) -> Path:
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


def test_a_release_arrives_with_headers_and_is_sent_once(
    s3_cli: Command, bucket: str, released_of_one: Path, tmp_path: Path
) -> None:
    address = f"s3://{BUCKET}/some/where"
    succeeded(publish(s3_cli, released_of_one, address))
    there = _write(tmp_path / "there", _there(bucket, "some/where/"))
    assert hashes(there) == hashes(released_of_one)
    restore_empty_folders(there)
    succeeded(s3_cli("release", "verify", there, "--files-only"))
    for pattern, media_type in {
        "*.tar.gz": "application/gzip",
        "*.report.html": "text/html; charset=utf-8",
        "manifest.json": "application/json",
        "SHA256SUMS": "text/plain; charset=utf-8",
        "saved_model.pb": "application/octet-stream",
    }.items():
        path = next(released_of_one.rglob(pattern)).relative_to(released_of_one).as_posix()
        headers = _asked("HEAD", f"{bucket}/{BUCKET}/some/where/{path}").headers
        assert headers["Content-Type"] == media_type
        assert headers["Cache-Control"] == "public, no-cache" and "Content-Encoding" not in headers

    assert states(published(s3_cli, released_of_one, address)[0]) == {"same": size_of(released_of_one)}
    # A file of the same size with other bytes is found by its hash, and by its bytes.
    archive = next(there.rglob("*.tar.gz"))
    flip_a_bit(archive)
    key = f"some/where/{archive.relative_to(there).as_posix()}"
    _asked("PUT", f"{bucket}/{BUCKET}/{key}", archive.read_bytes())
    for options in ((), ("--read-back",)):
        plan = published(s3_cli, released_of_one, address, "--plan", *options)[0]
        assert states(plan) == {"same": size_of(released_of_one) - 1, "changed": 1}


def test_a_bucket_that_anybody_may_read_serves_the_hubs_clients(
    s3_cli: Command, bucket: str, released_of_one: Path, tmp_path: Path
) -> None:
    succeeded(publish(s3_cli, released_of_one, f"s3://{BUCKET}"))
    allowed = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{BUCKET}/*"}
    policy = {"Version": "2012-10-17", "Statement": [allowed]}
    _asked("PUT", f"{bucket}/{BUCKET}?policy", json.dumps(policy).encode())
    archive = next(released_of_one.rglob("feature_vector/4.tar.gz")).relative_to(released_of_one).as_posix()
    program = "import sys, tensorflow_hub as hub; print(sum(v.numpy().size for v in hub.load(sys.argv[1]).variables))"
    sizes = [
        subprocess.run(
            [sys.executable, "-c", program, handle],
            env={**s3_cli.env, "TFHUB_CACHE_DIR": str(tmp_path / "hub")},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for handle in (f"{bucket}/{BUCKET}/{archive}", released_of_one / archive.removesuffix(".tar.gz"))
    ]
    assert sizes[0] == sizes[1] and int(sizes[0]) > 0


def test_a_large_file_is_known_by_the_hashes_of_its_parts(s3_cli: Command, bucket: str, tmp_path: Path) -> None:
    """Nothing in a release of tests is large enough: parts are made smaller here."""
    file = tmp_path / "large"
    file.write_bytes(random.Random(0).randbytes(11_000_000))
    program = environments.beside(environments.stores()) + (
        "import dataclasses, pathlib\n"
        "from exporter.errors import PublishError\n"
        "from exporter.fetch.stores import store\n"
        "from exporter.files.hashing import sha256\n"
        "from exporter.fetch import sendable, sending, store_kinds\n"
        "store_kinds.PART = 5 * 2**20\n"
        f"place, file = store('s3://{BUCKET}', PublishError), pathlib.Path({str(file)!r})\n"
        "item = sendable.Item('large', file.stat().st_size, sha256(file), file)\n"
        "sending.Sender(place, PublishError, print, 'cannot send to').send(item, 'application/octet-stream')\n"
        "info = place.files.info('models/large')\n"
        "other = dataclasses.replace(item, file=pathlib.Path(sys.executable))\n"
        "confirms = store_kinds.kind_of('s3').confirms\n"
        "print(info['ETag'].strip('\"')[-2:], confirms(info, item), confirms(info, other))\n"
    )
    command = [sys.executable, "-c", program]
    result = subprocess.run(command, env=s3_cli.env, capture_output=True, text=True, check=True)
    assert result.stdout == "-3 True False\n"
    assert _there(bucket)["large"] == file.read_bytes()


def test_a_connection_that_is_cut_at_a_random_moment(
    own_cli: Command, bucket: str, released_of_one: Path, tmp_path: Path
) -> None:
    with cutting(bucket, random.randrange(20_000, 4_000_000)) as proxy:
        command = _with_s3(own_cli, proxy.url, tmp_path)
        said = refusal(publish(command, released_of_one, f"s3://{BUCKET}"), 3)
        assert proxy.cut and f"s3://{BUCKET}" in said and SECRET not in said
        there = _there(bucket)
        assert "manifest.json" not in there
        proxy.let_pass()
        [done] = published(command, released_of_one, f"s3://{BUCKET}")
    assert states(done).get("same", 0) == len(there), "what had arrived was not sent again"
    assert hashes(_write(tmp_path / "there", _there(bucket))) == hashes(released_of_one)


@pytest.mark.stops
def test_a_kill_at_a_random_moment_leaves_no_manifest_without_its_files(
    own_cli: Command, bucket: str, released_of_one: Path, tmp_path: Path
) -> None:
    for number in range(KILLS // 2):
        _empty(bucket)
        with cutting(bucket, random.randrange(20_000, 6_000_000)) as proxy:
            command = _with_s3(own_cli, proxy.url, tmp_path)
            process = command.begun("release", "publish", released_of_one, f"s3://{BUCKET}")
            _kill_when_cut(process, proxy)
        there = _there(bucket)
        assert "manifest.json" not in there or len(there) == size_of(released_of_one)
        direct = _with_s3(own_cli, bucket, tmp_path)
        succeeded(publish(direct, released_of_one, f"s3://{BUCKET}"))
        assert hashes(_write(tmp_path / f"there-{number}", _there(bucket))) == hashes(released_of_one)


def _kill_when_cut(process: Any, proxy: CuttingProxy) -> None:
    done = threading.Thread(target=process.communicate)
    done.start()
    while done.is_alive() and not proxy.cut:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    done.join()


def test_what_is_wrong_is_told_in_a_line_without_secrets(
    own_cli: Command, moto: str, bucket: str, released_of_one: Path, tmp_path: Path
) -> None:
    command = _with_s3(own_cli, bucket, tmp_path)
    said = refusal(publish(command, released_of_one, "s3://no-such-bucket/x", "--plan"), 3)
    assert "s3://no-such-bucket/x: it is not there" in said
    said = refusal(publish(command, released_of_one, f"s3://{KEY}:{SECRET.replace('/', '')}@{BUCKET}"), 2)
    assert "from the environment" in said and KEY not in said and "s3cr3t" not in said
    nobody = _with_s3(own_cli, "http://127.0.0.1:9", tmp_path)
    said = refusal(publish(nobody, released_of_one, f"s3://{BUCKET}"), 3)
    assert "cannot be reached" in said and SECRET not in said
    # From now on moto asks for permissions, which this key has none of.
    _asked("POST", f"{moto}/moto-api/reset-auth", b"0")
    try:
        result = publish(command, released_of_one, f"s3://{BUCKET}")
        assert "access is refused" in refusal(result, 3)
        assert KEY not in result.stderr and SECRET not in result.stderr
        debugged = command("--debug", "release", "publish", released_of_one, f"s3://{BUCKET}")
        assert SECRET not in debugged.stderr
    finally:
        _asked("POST", f"{moto}/moto-api/reset-auth", b"inf")


def test_checkpoints_come_from_a_bucket(s3_cli: Command, bucket: str, tiny: Path, tiny_checkpoint: Path) -> None:
    for path in tiny_checkpoint.parent.iterdir():
        _asked("PUT", f"{bucket}/{BUCKET}/runs/17/{path.name}", path.read_bytes())
    args = ("release", "--models", tiny, "--versions", "5", "--plan", "--json", "--checkpoint")
    plans = [
        json.loads(succeeded(s3_cli(*args, f"tiny_nasnet={checkpoint}")).stdout)
        for checkpoint in (tiny_checkpoint, f"s3://{BUCKET}/runs/17/{tiny_checkpoint.name}", f"s3://{BUCKET}/runs")
    ]
    assert plans[0] == plans[1] == plans[2]
