"""`nasexport embed` with an output in a store that fsspec reaches: what is there when, and what a stop leaves."""

import json
import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from exporter.errors import CacheError
from exporter.files import staging
from tests.support import file_operations, pictures
from tests.support.command import Command, Result, files_below, refusal, succeeded
from tests.support.order import one_in_make_test

PICTURES, BATCH = 7, 2
#: How often a command is killed.
KILLS = int(os.environ.get("NASEXPORT_TEST_KILLS", "4"))
PARTS = ["index.jsonl", *(f"part-{start:09}.npy" for start in range(0, PICTURES, BATCH)), "record.json"]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some pictures, the last of them broken."""
    return pictures.with_a_broken_one(
        tmp_path_factory.mktemp("store") / "set", [f"{seed}.png" for seed in range(PICTURES)]
    )


def _args(artifact: Path, images: Path, output: object, *more: object) -> Sequence[object]:
    return ("embed", artifact, "--images", images, "--batch-size", BATCH, "--output", output, "--skip-broken", *more)


@pytest.fixture(scope="module")
def expected(
    cli: Command, artifact: Path, images: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, bytes]]:
    """The files that are written on this machine, by the name of the output."""
    here = tmp_path_factory.mktemp("here")
    for name in ("features.parquet", "features"):
        succeeded(cli(*_args(artifact, images, here / name)))
    return {
        "features.parquet": {path.name: path.read_bytes() for path in here.glob("features.parquet*")},
        "features": _contents(here / "features"),
    }


def _contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in files_below(folder)}


def _computed(result: Result) -> bool:
    """Whether vectors were computed by a command, not only sent."""
    return f"of {PICTURES} images, " in result.stderr


def _work(cli: Command) -> list[str]:
    """What the cache still has of outputs."""
    return files_below(cli.cache / "outputs")


@pytest.mark.parametrize("name", ["features.parquet", "features"])
def test_the_store_has_what_a_folder_would_have(
    own_cli: Command,
    artifact: Path,
    images: Path,
    expected: dict[str, dict[str, bytes]],
    tmp_path: Path,
    name: str,
) -> None:
    store = tmp_path / "store"
    address = f"file://{store}/{name}"
    folder = store if name == "features.parquet" else store / name
    args = _args(artifact, images, address)
    result = succeeded(own_cli(*args, "--json"))
    said = json.loads(result.stdout)
    assert said["output"] == address and said["rows"] == PICTURES - 1
    assert said["record"] == (f"{address}.json" if name == "features.parquet" else f"{address}/record.json")
    assert "sending " in result.stderr and "6.png" in result.stderr
    assert _contents(folder) == expected[name]
    assert _work(own_cli) == [] and files_below(own_cli.cwd) == []

    # What is finished stays, and is of this artifact, these images and this size of batches alone.
    again = succeeded(own_cli(*args, "--json"))
    assert "already finished" in again.stderr and not _computed(again) and json.loads(again.stdout) == said
    assert address in succeeded(own_cli(*args)).stdout
    for change, what in {("--batch-size", 3): "other batch_size)", ("--limit", 3): "other images)"}.items():
        result = own_cli(*args, *change)
        message = refusal(result, 1)
        assert f"{address} belongs to another embedding" in message and what in message and "--restart" in message
        assert not _computed(result)
    assert _contents(folder) == expected[name] and _work(own_cli) == []

    # What is not of `embed` stays.
    folder.joinpath("mine.npy").write_bytes(b"mine")
    succeeded(own_cli(*args, "--limit", 3, "--restart"))
    after = _contents(folder)
    assert after.pop("mine.npy") == b"mine" and _work(own_cli) == []
    assert sorted(after) == (sorted(expected[name]) if name == "features.parquet" else [*PARTS[:3], PARTS[-1]])


def test_what_nobody_says_anything_of_is_refused(
    own_cli: Command, artifact: Path, images: Path, tmp_path: Path
) -> None:
    def said(output: object, status: int = 3, *more: object) -> str:
        result = own_cli(*_args(artifact, images, output, *more))
        assert not _computed(result) and "loading" not in result.stderr
        return refusal(result, status)

    store = f"file://{tmp_path}"
    (tmp_path / "mine.parquet").write_bytes(b"mine")
    assert f"{store}/mine.parquet is there, and nothing says what is in it" in said(f"{store}/mine.parquet")
    assert (tmp_path / "mine.parquet").read_bytes() == b"mine"
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine").touch()
    assert f"{store}/folder is there, and nothing says what is in it" in said(f"{store}/folder/")
    assert "mine.parquet" in said(f"{store}/mine.parquet/x.parquet")
    (tmp_path / "plain").touch()
    assert "plain is a file: expected a folder, or a name that ends in .parquet" in said(f"{store}/plain")
    (tmp_path / "x.parquet").mkdir()
    assert "x.parquet is a folder: name a file" in said(f"{store}/x.parquet")
    (tmp_path / "y.parquet").touch()
    (tmp_path / "y.parquet.json").write_text("{}")
    assert "y.parquet.json is damaged or is not the record of an embedding" in said(f"{store}/y.parquet", 1)

    assert "cannot write to" in said("file:///proc/nowhere/features.parquet")
    assert "pip install 'nasexport[publish]'" in said("s3://bucket/features.parquet")
    assert "fsspec knows no such place" in said("nothing://bucket/features", 2)
    secret = said("memory://me:s3cr3t@bucket/features", 2)
    assert "from the environment" in secret and "s3cr3t" not in secret
    hidden = own_cli.with_program_first("import sys\nsys.modules['pyarrow'] = None\n", tmp_path)
    message = refusal(hidden(*_args(artifact, images, f"{store}/z.parquet")), 3)
    assert f"{store}/z.parquet needs pyarrow" in message and f"--output {store}/z)" in message
    hidden = own_cli.with_program_first("import sys\nsys.modules['fsspec'] = None\n", tmp_path)
    assert "pip install 'nasexport[publish]'" in refusal(hidden(*_args(artifact, images, f"{store}/z.parquet")), 3)
    assert _work(own_cli) == []


def test_a_run_that_was_stopped_goes_on_where_it_was(
    own_cli: Command, artifact: Path, images: Path, expected: dict[str, dict[str, bytes]], tmp_path: Path
) -> None:
    """By a broken picture, by a disk that is full while the output is sent; meanwhile nobody else's run gets in."""
    store = tmp_path / "store"
    address = f"file://{store}/features"
    args = _args(artifact, images, address)
    without = [each for each in args if each != "--skip-broken"]
    assert "6.png is damaged" in refusal(own_cli(*without), 1)
    assert files_below(store / "features") == [".unfinished"]
    message = refusal(own_cli(*args, "--limit", 3), 1)
    assert f"{address} belongs to another embedding (other images)" in message

    # The first file that is written there says whose it is, each of the others takes two moments and more.
    result = file_operations.run(own_cli, "ENOSPC", 12, store, *args)
    assert "continuing after 6 of 7 images" in result.stderr
    message = refusal(result, 3)
    assert address in message and "its disk is full" in message
    assert "record.json" not in files_below(store / "features")

    # Some stores keep what came of a file whose sender was killed.
    for name, size in (("index.jsonl", None), ("record.json", 40)):
        (store / "features" / name).write_bytes(expected["features"][name][:size])
    result = succeeded(own_cli(*args))
    assert f"continuing after {PICTURES} of {PICTURES} images" in result.stderr and not _computed(result)
    assert _contents(store / "features") == expected["features"] and _work(own_cli) == []
    # Where no run says that it is under way, that is damage.
    (store / "features" / "record.json").write_bytes(expected["features"]["record.json"][:40])
    assert f"{address}/record.json is damaged" in refusal(own_cli(*args), 1)


def test_the_store_decides_what_the_cache_is_good_for(
    own_cli: Command, artifact: Path, images: Path, expected: dict[str, dict[str, bytes]], tmp_path: Path
) -> None:
    """Another machine may have finished or removed what this one has begun."""
    store = tmp_path / "store"
    args = _args(artifact, images, f"file://{store}/features.parquet")
    without = [each for each in args if each != "--skip-broken"]
    refusal(own_cli(*without), 1)
    (store / ".features.parquet.unfinished").unlink()
    # Nothing is there any more, so that another run may come; what the first has computed is of no use then.
    refusal(own_cli(*without, "--batch-size", 3), 1)
    [work] = [path for path in (own_cli.cache / "outputs").iterdir() if path.is_dir()]
    assert len(list(work.iterdir())) == 1
    assert [row["path"] for row in json.loads(succeeded(own_cli("cache", "list", "--json")).stdout)["outputs"]] == [
        str(work)
    ]
    assert f"unfinished output {work}" in succeeded(own_cli("cache", "list")).stdout
    assert not succeeded(own_cli("cache", "prune", "--all")).stdout and work.is_dir()
    with staging.held(work.with_name(f".{work.name}.lock"), CacheError, "taken"):
        assert not succeeded(own_cli("cache", "prune", "--outputs")).stdout and work.is_dir()
    assert str(work) in succeeded(own_cli("cache", "prune", "--outputs")).stdout and not work.exists()
    assert "other batch_size)" in refusal(own_cli(*args), 1)
    succeeded(own_cli(*args, "--restart"))
    assert _contents(store) == expected["features.parquet"] and _work(own_cli) == []

    # What lies there of a run that was begun elsewhere is gone on with here, from the beginning.
    succeeded(own_cli(*_args(artifact, images, tmp_path / "features")))
    other = Command(tmp_path / "other")
    refusal(other(*[each for each in _args(artifact, images, f"file://{store}/parts") if each != "--skip-broken"]), 1)
    succeeded(own_cli(*_args(artifact, images, f"file://{store}/parts")))
    assert "already finished" in succeeded(other(*_args(artifact, images, f"file://{store}/parts"))).stderr
    assert _contents(store / "parts") == expected["features"] and _work(other) == []


@pytest.mark.stops
@pytest.mark.parametrize("name", one_in_make_test(["features.parquet", "features"]))
def test_a_kill_at_any_moment_leaves_no_record_without_its_vectors(
    own_cli: Command,
    artifact: Path,
    images: Path,
    expected: dict[str, dict[str, bytes]],
    tmp_path: Path,
    name: str,
) -> None:
    def args(number: int) -> Sequence[Any]:
        return _args(artifact, images, f"file://{tmp_path}/{number}/{name}")

    moments = file_operations.count(own_cli, tmp_path / "0", *args(0))
    for number, moment in enumerate(random.sample(range(1, moments + 1), min(KILLS, moments)), start=1):
        store = tmp_path / str(number)
        killed = file_operations.run(own_cli, file_operations.KILL, moment, store, *args(number))
        assert killed.returncode == -9, killed.stderr
        folder = store if name == "features.parquet" else store / name
        there = _contents(folder)
        if there.keys() >= {"features.parquet.json"} or there.keys() >= {"record.json"}:
            assert {path: there[path] for path in expected[name]} == expected[name]
        result = succeeded(own_cli(*args(number)))
        assert not _computed(result) or moment <= 8
        assert _contents(folder) == expected[name]
    assert _work(own_cli) == []
