"""``embed`` from a bucket into a bucket: the real s3fs and botocore talk to moto's server."""

import json
import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support import pictures, s3
from tests.support.command import Command, files_below, refusal, succeeded
from tests.support.cutting_proxy import cutting
from tests.support.s3 import bucket as bucket
from tests.support.s3 import moto as moto
from tests.support.s3 import s3_cli as s3_cli

pytestmark = pytest.mark.readers
PICTURES = 7
#: How often a command is killed.
KILLS = max(1, int(os.environ.get("NASEXPORT_TEST_KILLS", "4")) // 2)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some pictures, one of them broken."""
    folder = tmp_path_factory.mktemp("bucket") / "photos"
    return pictures.with_a_broken_one(folder, [f"n01440764/{seed}.png" for seed in range(PICTURES)])


def _args(artifact: Path, images: object, output: object, *more: object) -> Sequence[object]:
    return ("embed", artifact, "--images", images, "--batch-size", 2, "--output", output, "--skip-broken", *more)


@pytest.fixture(scope="module")
def expected(cli: Command, artifact: Path, images: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What is written on this machine, by the path below the folder of outputs."""
    here = tmp_path_factory.mktemp("here")
    for name in ("features.parquet", "features"):
        succeeded(cli(*_args(artifact, images, here / name)))
    return _read({path: (here / path).read_bytes() for path in files_below(here) if (here / path).is_file()})


def _read(files: dict[str, bytes]) -> dict[str, Any]:
    """The files with records taken apart, but for where the images lay, which messages about them name, too."""
    found: dict[str, Any] = dict(files)
    for path in files:
        if path.endswith(".json"):
            found[path] = json.loads(files[path])
            found[path]["images"].pop("folder")
            found[path]["broken"] = [lost["path"] for lost in found[path]["broken"]]
    return found


def test_from_a_bucket_into_a_bucket(
    s3_cli: Command, bucket: str, artifact: Path, images: Path, expected: dict[str, Any]
) -> None:
    for path in images.rglob("*.png"):
        s3.asked("PUT", f"{bucket}/{s3.BUCKET}/photos/{path.relative_to(images)}", path.read_bytes())
    address = f"s3://{s3.BUCKET}/out"
    for name, options in {"features.parquet": ("--workers", 1), "features": ()}.items():
        args = _args(artifact, f"s3://{s3.BUCKET}/photos", f"{address}/{name}", *options)
        said = json.loads(succeeded(s3_cli(*args, "--json")).stdout)
        assert said["output"] == f"{address}/{name}" and said["record"].startswith(said["output"])
        assert said["images"]["folder"] == f"s3://{s3.BUCKET}/photos"
        assert "already finished" in succeeded(s3_cli(*args)).stderr
    assert _read(s3.there(bucket, "out/")) == expected
    assert files_below(s3_cli.cache / "outputs") == []

    message = refusal(s3_cli(*args, "--batch-size", 3), 1)
    assert f"{address}/features belongs to another embedding (other batch_size)" in message
    s3.asked("PUT", f"{bucket}/{s3.BUCKET}/out/features/mine.npy", b"mine")
    succeeded(s3_cli(*args, "--limit", 2, "--restart"))
    there = s3.there(bucket, "out/features/")
    assert sorted(there) == ["index.jsonl", "mine.npy", "part-000000000.npy", "record.json"]


def test_a_bucket_that_cannot_be_written_is_told_before_anything_is_computed(
    own_cli: Command, moto: str, bucket: str, artifact: Path, images: Path, tmp_path: Path
) -> None:
    def said(command: Command, place: str) -> str:
        result = command(*_args(artifact, images, f"s3://{place}/features.parquet"))
        assert "loading" not in result.stderr and s3.KEY not in result.stderr and s3.SECRET not in result.stderr
        return refusal(result, 3)

    command = s3.with_s3(own_cli, bucket, tmp_path)
    assert "s3://no-such-bucket/features.parquet: it is not there" in said(command, "no-such-bucket")
    assert "cannot be reached" in said(s3.with_s3(own_cli, "http://127.0.0.1:9", tmp_path), s3.BUCKET)
    with s3.refusing(moto):
        assert "access is refused" in said(s3.with_s3(own_cli, bucket, tmp_path), s3.BUCKET)
    assert s3.there(bucket) == {}


@pytest.mark.stops
def test_a_kill_while_the_output_is_sent_leaves_no_record(
    bucket: str, artifact: Path, images: Path, expected: dict[str, Any], tmp_path: Path
) -> None:
    args = _args(artifact, images, f"s3://{s3.BUCKET}/features")
    wanted = {path: content for path, content in expected.items() if path.startswith("features/")}
    for number in range(KILLS):
        s3.empty(bucket)
        cli = Command(tmp_path / str(number))
        # Before it sends the output, it has sent 11 KB of questions; all are 24 KB.
        with cutting(bucket, random.randrange(11_200, 24_000)) as proxy:
            s3.kill_when_cut(s3.with_s3(cli, proxy.url, tmp_path).begun(*args), proxy)
        there = s3.there(bucket)
        assert proxy.cut
        assert "features/record.json" not in there or there.keys() >= wanted.keys()
        result = succeeded(s3.with_s3(cli, bucket, tmp_path)(*args))
        if "features/record.json" not in there and any("part-" in path for path in there):
            assert f"continuing after {PICTURES} of {PICTURES}" in result.stderr, "what was computed is only sent"
        assert _read(s3.there(bucket)) == wanted
        assert files_below(cli.cache / "outputs") == []
