"""``release publish`` to S3: the real s3fs and botocore talk to moto's server, in an environment of their own."""

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.publishing.conftest import publish, published, restore_empty_folders, size_of, states
from tests.publishing.test_folder import KILLS
from tests.support import environments, s3
from tests.support.command import Command, refusal, succeeded
from tests.support.cutting_proxy import cutting
from tests.support.s3 import bucket as bucket
from tests.support.s3 import moto as moto
from tests.support.s3 import s3_cli as s3_cli
from tests.support.small_release import flip_a_bit, hashes

pytestmark = pytest.mark.readers


def _write(folder: Path, files: dict[str, bytes]) -> Path:
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


def test_a_release_arrives_with_headers_and_is_sent_once(
    s3_cli: Command, bucket: str, released_of_one: Path, tmp_path: Path
) -> None:
    address = f"s3://{s3.BUCKET}/some/where"
    succeeded(publish(s3_cli, released_of_one, address))
    there = _write(tmp_path / "there", s3.there(bucket, "some/where/"))
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
        headers = s3.asked("HEAD", f"{bucket}/{s3.BUCKET}/some/where/{path}").headers
        assert headers["Content-Type"] == media_type
        assert headers["Cache-Control"] == "public, no-cache" and "Content-Encoding" not in headers

    assert states(published(s3_cli, released_of_one, address)[0]) == {"same": size_of(released_of_one)}
    # A file of the same size with other bytes is found by its hash, and by its bytes.
    archive = next(there.rglob("*.tar.gz"))
    flip_a_bit(archive)
    key = f"some/where/{archive.relative_to(there).as_posix()}"
    s3.asked("PUT", f"{bucket}/{s3.BUCKET}/{key}", archive.read_bytes())
    for options in ((), ("--read-back",)):
        plan = published(s3_cli, released_of_one, address, "--plan", *options)[0]
        assert states(plan) == {"same": size_of(released_of_one) - 1, "changed": 1}


def test_a_bucket_that_anybody_may_read_serves_the_hubs_clients(
    s3_cli: Command, bucket: str, released_of_one: Path, tmp_path: Path
) -> None:
    succeeded(publish(s3_cli, released_of_one, f"s3://{s3.BUCKET}"))
    allowed = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{s3.BUCKET}/*"}
    policy = {"Version": "2012-10-17", "Statement": [allowed]}
    s3.asked("PUT", f"{bucket}/{s3.BUCKET}?policy", json.dumps(policy).encode())
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
        for handle in (f"{bucket}/{s3.BUCKET}/{archive}", released_of_one / archive.removesuffix(".tar.gz"))
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
        f"place, file = store('s3://{s3.BUCKET}', PublishError), pathlib.Path({str(file)!r})\n"
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
    assert s3.there(bucket)["large"] == file.read_bytes()


def test_a_connection_that_is_cut_at_a_random_moment(
    own_cli: Command, bucket: str, released_of_one: Path, tmp_path: Path
) -> None:
    with cutting(bucket, random.randrange(20_000, 4_000_000)) as proxy:
        command = s3.with_s3(own_cli, proxy.url, tmp_path)
        said = refusal(publish(command, released_of_one, f"s3://{s3.BUCKET}"), 3)
        assert proxy.cut and f"s3://{s3.BUCKET}" in said and s3.SECRET not in said
        there = s3.there(bucket)
        assert "manifest.json" not in there
        proxy.let_pass()
        [done] = published(command, released_of_one, f"s3://{s3.BUCKET}")
    assert states(done).get("same", 0) == len(there), "what had arrived was not sent again"
    assert hashes(_write(tmp_path / "there", s3.there(bucket))) == hashes(released_of_one)


@pytest.mark.stops
def test_a_kill_at_a_random_moment_leaves_no_manifest_without_its_files(
    own_cli: Command, bucket: str, released_of_one: Path, tmp_path: Path
) -> None:
    for number in range(KILLS // 2):
        s3.empty(bucket)
        with cutting(bucket, random.randrange(20_000, 6_000_000)) as proxy:
            command = s3.with_s3(own_cli, proxy.url, tmp_path)
            process = command.begun("release", "publish", released_of_one, f"s3://{s3.BUCKET}")
            s3.kill_when_cut(process, proxy)
        there = s3.there(bucket)
        assert "manifest.json" not in there or len(there) == size_of(released_of_one)
        direct = s3.with_s3(own_cli, bucket, tmp_path)
        succeeded(publish(direct, released_of_one, f"s3://{s3.BUCKET}"))
        assert hashes(_write(tmp_path / f"there-{number}", s3.there(bucket))) == hashes(released_of_one)


def test_what_is_wrong_is_told_in_a_line_without_secrets(
    own_cli: Command, moto: str, bucket: str, released_of_one: Path, tmp_path: Path
) -> None:
    command = s3.with_s3(own_cli, bucket, tmp_path)
    said = refusal(publish(command, released_of_one, "s3://no-such-bucket/x", "--plan"), 3)
    assert "s3://no-such-bucket/x: it is not there" in said
    said = refusal(publish(command, released_of_one, f"s3://{s3.KEY}:{s3.SECRET.replace('/', '')}@{s3.BUCKET}"), 2)
    assert "from the environment" in said and s3.KEY not in said and "s3cr3t" not in said
    nobody = s3.with_s3(own_cli, "http://127.0.0.1:9", tmp_path)
    said = refusal(publish(nobody, released_of_one, f"s3://{s3.BUCKET}"), 3)
    assert "cannot be reached" in said and s3.SECRET not in said
    with s3.refusing(moto):
        result = publish(command, released_of_one, f"s3://{s3.BUCKET}")
        assert "access is refused" in refusal(result, 3)
        assert s3.KEY not in result.stderr and s3.SECRET not in result.stderr
        debugged = command("--debug", "release", "publish", released_of_one, f"s3://{s3.BUCKET}")
        assert s3.SECRET not in debugged.stderr


def test_checkpoints_come_from_a_bucket(s3_cli: Command, bucket: str, tiny: Path, tiny_checkpoint: Path) -> None:
    for path in tiny_checkpoint.parent.iterdir():
        s3.asked("PUT", f"{bucket}/{s3.BUCKET}/runs/17/{path.name}", path.read_bytes())
    args = ("release", "--models", tiny, "--versions", "5", "--plan", "--json", "--checkpoint")
    plans = [
        json.loads(succeeded(s3_cli(*args, f"tiny_nasnet={checkpoint}")).stdout)
        for checkpoint in (
            tiny_checkpoint,
            f"s3://{s3.BUCKET}/runs/17/{tiny_checkpoint.name}",
            f"s3://{s3.BUCKET}/runs",
        )
    ]
    assert plans[0] == plans[1] == plans[2]
