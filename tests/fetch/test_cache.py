"""The cache: shared by processes, on disks that fill up or cannot be written, damaged, and pruned."""

import json
import shlex
import shutil
import threading
import time
from pathlib import Path

import pytest

from exporter.fetch.cache import Cache
from tests.support import faulty_server as faults
from tests.support.command import (
    TIMEOUT,
    Command,
    artifact_folder,
    files_below,
    refusal,
    succeeded,
)
from tests.support.disks import in_namespace
from tests.support.faulty_server import FaultyServer
from tests.support.fetching import (
    ARCHIVE,
    FILE,
    IMPATIENT,
    OTHER,
    altered,
    fetch,
    locked,
    pins,
    require_nothing_that_looks_whole,
    require_whole,
    sha256,
)


@pytest.mark.long
def test_ten_processes_share_one_download(own_cli: Command, server: FaultyServer, content: bytes) -> None:
    cli = locked(own_cli, server.url(FILE), **pins(content))
    server.script = [faults.slowly(pieces=20, seconds=4)]
    processes = [cli.start("fetch", cli.folder / "tiny_nasnet.yaml") for _ in range(10)]
    outputs = [process.communicate(timeout=TIMEOUT) for process in processes]
    assert [process.returncode for process in processes] == [0] * 10
    assert {Path(stdout.strip()).read_bytes() == content for stdout, _ in outputs} == {True}
    assert len(server.asked) == 1
    assert any(f"waiting for another process that fetches {ARCHIVE}" in stderr for _, stderr in outputs)


def test_two_archives_with_the_same_content_wait_for_each_other(tmp_path: Path) -> None:
    cache, begun, order = Cache(tmp_path), threading.Event(), []
    place = cache.unpacked_folder(OTHER)

    def second() -> None:
        begun.set()
        with cache.new_folder(place) as folder:
            order.append("second")
            (folder / "second").touch()

    thread = threading.Thread(target=second)
    with cache.new_folder(place) as folder:
        thread.start()
        assert begun.wait(30)
        time.sleep(0.3)
        order.append("first")
        (folder / "first").touch()
    thread.join(30)
    assert order == ["first", "second"]
    assert files_below(place) == ["second"]
    assert files_below(cache.checkpoints) == [OTHER, f"{OTHER}/second"]


def test_a_full_disk_while_unpacking(own_cli: Command, server: FaultyServer, content: bytes) -> None:
    cli = locked(own_cli, server.url(FILE))
    cli.cache.mkdir(parents=True)
    cache = shlex.quote(str(cli.cache))
    fetch = shlex.join(cli.arguments("fetch", cli.folder / "tiny_nasnet.yaml", *IMPATIENT))
    size = len(content) + 30_000  # the archive, and not the network in it
    result = in_namespace(
        cli,
        f"mount -t tmpfs -o size={size} none {cache}\n{fetch}\necho status $?\n"
        f"find {cache} -name '*.tar.gz' -o -name '*.index'\n"
        f"mount -o remount,size=99m {cache}\n{fetch}\n",
    )
    assert result.stdout.startswith("status 3\n"), result
    assert result.stdout.count("\n") == 2
    assert "No space left on device" in result.stderr.split("nasexport: error: ")[1]
    assert result.returncode == 0
    assert len(server.asked) == 1, "what had come was fetched again"


@pytest.mark.long
def test_a_cache_that_can_only_be_read_is_enough(own_cli: Command, server: FaultyServer, content: bytes) -> None:
    cli = locked(own_cli, server.url(FILE), **pins(content))
    require_whole(cli, fetch(cli), content)
    cache = shlex.quote(str(cli.cache))
    read_only = f"mount --bind {cache} {cache} && mount -o remount,bind,ro {cache} && "
    result = in_namespace(cli, read_only + shlex.join(cli.arguments("fetch", cli.folder / "tiny_nasnet.yaml")))
    require_whole(cli, result, content)
    # Without its files in the cache, they are unpacked elsewhere for the time of the build.
    build = cli.arguments("build", cli.folder / "tiny_pnasnet.yaml", "--output", "out")
    assert "lacks" in refusal(in_namespace(cli, read_only + shlex.join(build)))
    assert "archives" in files_below(cli.cache) and "checkpoints" not in files_below(cli.cache)
    assert files_below(cli.temporary) == []

    shutil.rmtree(cli.cache / "archives")
    message = refusal(in_namespace(cli, read_only + shlex.join(cli.arguments("fetch", "nasnet_mobile"))))
    assert "cannot write to the cache" in message and "--cache-dir" in message


def test_a_flipped_bit_in_the_cache_is_mended(own_cli: Command, server: FaultyServer, content: bytes) -> None:
    cli = locked(own_cli, server.url(FILE), **pins(content))
    path = require_whole(cli, fetch(cli), content)
    path.write_bytes(altered(content))
    rows = json.loads(cli("cache", "verify", "--json").stdout)
    assert [row["sound"] for row in rows] == [False]
    require_nothing_that_looks_whole(cli)
    require_whole(cli, fetch(cli), content)

    path.write_bytes(altered(content))
    result = fetch(cli)
    require_whole(cli, result, content)
    assert "nasexport: warning:" in result.stderr and "is damaged" in result.stderr
    assert len(server.asked) == 3

    path.write_bytes(altered(content))
    assert "--offline forbids" in refusal(fetch(cli, "--offline"))


@pytest.mark.long
def test_a_flipped_bit_in_unpacked_files_is_mended(own_cli: Command, server: FaultyServer, content: bytes) -> None:
    cli = locked(own_cli, server.url(FILE), **pins(content))
    build = ("build", cli.folder / "tiny_nasnet.yaml", "--task", "feature_vector", "--no-verify", "--output", "out")
    succeeded(cli(*build))
    folder = cli.cache / "checkpoints" / sha256(content)
    data = next(folder.glob("*.data-*"))
    right = data.read_bytes()
    data.write_bytes(altered(right))
    assert "FAIL" in cli("cache", "verify").stdout
    assert not folder.exists()
    succeeded(cli(*build, "--overwrite"))
    assert data.read_bytes() == right
    data.write_bytes(altered(right))
    succeeded(cli(*build, "--overwrite"))
    assert data.read_bytes() == right
    assert len(server.asked) == 1

    source = json.loads(
        (artifact_folder(cli.cwd / "out", "tiny_nasnet", "feature_vector", 4) / "nasexport.json").read_text()
    )["source"]
    assert (source["archive"], source["archive_sha256"]) == (FILE, sha256(content))
    rows = {row["name"]: row["cached"] for row in json.loads(succeeded(cli("models", "--json")).stdout)}
    assert rows.pop("nasnet_mobile") == str(cli.cache / "archives" / sha256(content) / FILE)
    assert set(rows.values()) == {None}


def test_the_cache_is_listed_and_pruned(own_cli: Command, server: FaultyServer, content: bytes) -> None:
    cli = locked(own_cli, server.url(FILE), **pins(content))
    assert "0 archives" in succeeded(cli("cache", "list")).stdout
    assert succeeded(cli("cache", "path")).stdout.strip() == str(cli.cache)
    require_whole(cli, fetch(cli), content)
    (cli.cache / "partial" / "broken.tar.gz.part").write_bytes(b"x" * 1000)
    facts = json.loads(succeeded(cli("cache", "list", "--json")).stdout)
    assert [(row["name"], row["size"], row["url"]) for row in facts["archives"]] == [
        (ARCHIVE, len(content), server.url(FILE))
    ]
    assert [row["size"] for row in facts["leftovers"]] == [1000]
    assert f"{len(content) / 1e6:,.1f} MB, SYNTHETIC, pinned, not unpacked" in succeeded(cli("cache", "list")).stdout
    assert succeeded(cli("cache", "verify")).stdout.startswith("ok ")

    would = succeeded(cli("cache", "prune", "--dry-run"))
    assert "broken.tar.gz.part\t1000" in would.stdout and "would free 1,000 bytes" in would.stderr
    assert (cli.cache / "partial" / "broken.tar.gz.part").exists()
    assert "freed 1,000 bytes" in succeeded(cli("cache", "prune")).stderr
    assert len(json.loads(succeeded(cli("cache", "list", "--json")).stdout)["archives"]) == 1

    # Another archive is pinned now: the old one is superseded.
    cli = locked(cli, server.url(FILE), size=1, sha256=OTHER)
    assert str(cli.cache / "archives" / sha256(content)) in succeeded(cli("cache", "prune")).stdout
    assert json.loads(succeeded(cli("cache", "list", "--json")).stdout)["archives"] == []


def test_a_cache_that_cannot_be_written_is_told(own_cli: Command, server: FaultyServer) -> None:
    cli = locked(own_cli, server.url(FILE))
    cli.cache.write_text("a file in the way")
    assert "cannot write to the cache" in refusal(fetch(cli))
    assert server.asked == []
