"""Archives from a server that misbehaves, on disks that fill up, in processes that are killed."""

import dataclasses
import gzip
import hashlib
import io
import json
import os
import shlex
import shutil
import signal
import ssl
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml

from tests.support import faulty_server as faults
from tests.support.command import (
    CHECKOUT,
    TIMEOUT,
    Command,
    Result,
    artifact_folder,
    files_below,
    peak_memory,
    refusal,
    succeeded,
)
from tests.support.faulty_server import Answer, FaultyServer, Served, serving
from tests.support.fixtures import TINY, TINY_PNASNET

ARCHIVE = "nasnet-a_mobile_04_10_2017"
FILE = f"{ARCHIVE}.tar.gz"
OTHER = "0" * 64
#: So that failing takes seconds, not minutes.
IMPATIENT = ("--timeout", 0.5, "--retries", 2)


@pytest.fixture(scope="module")
def content(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The archive of a tiny network's synthetic checkpoint."""
    return _packed(sorted(tiny_checkpoint.parent.iterdir()), tmp_path_factory.mktemp("packed"))


@pytest.fixture(scope="module")
def others_content(tiny_pnasnet_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A sound archive of another network."""
    return _packed(sorted(tiny_pnasnet_checkpoint.parent.iterdir()), tmp_path_factory.mktemp("packed"))


def _packed(files: list[Path], folder: Path) -> bytes:
    path = folder / FILE
    with tarfile.open(path, "w:gz") as tar:
        for file in files:
            tar.add(file, arcname=file.name)
        readme = tarfile.TarInfo("README")
        readme.size = 5
        tar.addfile(readme, io.BytesIO(b"facts"))
    return path.read_bytes()


@pytest.fixture
def server(content: bytes) -> Iterator[FaultyServer]:
    with serving(FaultyServer(Served(content))) as running:
        yield running


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _pins(content: bytes) -> dict[str, object]:
    return {"size": len(content), "sha256": _sha256(content)}


def _locked(command: Command, url: str, **pins: object) -> Command:
    """The command with a lock file that says where the archive is, and the two networks that ask for it."""
    lines = ["# What the archives are.", f'[checkpoint."{ARCHIVE}"]', f"url = {json.dumps(url)}  # its home"]
    lines += [f"{name} = {json.dumps(value)}" for name, value in pins.items()]
    lock = command.folder / "checkpoints.lock"
    command.folder.mkdir(parents=True, exist_ok=True)
    lock.write_text("\n".join(lines) + "\n", encoding="utf-8")
    for fields in (TINY, TINY_PNASNET):
        path = command.folder / f"{fields['name']}.yaml"
        path.write_text(yaml.safe_dump({**fields, "checkpoint": ARCHIVE}), encoding="utf-8")
    return command.with_variables(NASEXPORT_LOCK=str(lock), NO_PROXY="127.0.0.1")


def _fetch(command: Command, *options: object) -> Result:
    return command("fetch", command.folder / "tiny_nasnet.yaml", *IMPATIENT, *options)


def _require_whole(command: Command, result: Result, content: bytes) -> Path:
    """The path that a successful fetch printed, with the right bytes, where the cache keeps them."""
    path = Path(succeeded(result).stdout.strip())
    assert path == command.cache / "archives" / _sha256(content) / FILE
    assert path.read_bytes() == content
    return path


def _require_nothing_that_looks_whole(command: Command) -> None:
    assert not any(name.endswith((".tar.gz", ".index")) or ".data-" in name for name in files_below(command.cache))
    assert files_below(command.temporary) == []


@dataclasses.dataclass(frozen=True)
class Case:
    """A fault: what the server does, and what the user hears of it.

    ``said`` is what the message has, or, where the fault is overcome (``status`` 0), what standard error has.
    ``asked`` is the number of requests it takes.
    """

    name: str
    script: tuple[Answer, ...]
    said: tuple[str, ...]
    status: int = 1
    asked: int = 1
    pinned: bool = True
    served: dict[str, Any] = dataclasses.field(default_factory=dict)


def _hostile(change: Callable[[tarfile.TarFile], None]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        change(tar)
    return buffer.getvalue()


def _member(name: str, **fields: object) -> Callable[[tarfile.TarFile], None]:
    def add(tar: tarfile.TarFile) -> None:
        info = tarfile.TarInfo(name)
        for field, value in fields.items():
            setattr(info, field, value)
        tar.addfile(info, io.BytesIO(b"x" * info.size))

    return add


def _sparse(tar: tarfile.TarFile) -> None:
    """A file of 1 TB that takes no room, in the PAX format of GNU tar."""
    info = tarfile.TarInfo("model.ckpt.index")
    info.pax_headers = {"GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.map": "0,0"}
    info.pax_headers |= {"GNU.sparse.size": str(2**40), "GNU.sparse.numblocks": "1"}
    tar.addfile(info)


# The archive has some 300 kB; the numbers of bytes below are within it.
CASES = [
    # What is overcome.
    Case("cut once", (faults.cut(20000),), ("broke off", "continuing after 20,000 bytes"), 0, 2),
    Case("cut twice", (faults.cut(20000), faults.cut(30000)), ("continuing after 50,000 bytes",), 0, 3),
    Case("cut before the first byte", (faults.cut(0),), ("broke off",), 0, 2),
    Case("connection reset", (faults.reset(20000),), ("trying again in 0.5 s (1 of 2)",), 0, 2),
    Case("no answer at all", (faults.hang_up,), ("broke off",), 0, 2),
    Case("stalls once", (faults.stall(20000, 1.5),), ("continuing after 20,000 bytes",), 0, 2),
    Case("drips, then recovers", (faults.drip(3),), ("bytes a second",), 0, 2),
    Case("500, then 200", (faults.status(500),), ("answers 500 Internal Server Error",), 0, 2),
    Case("502 and 503, then 200", (faults.status(502), faults.status(503)), ("answers 503",), 0, 3),
    Case("408, then 200", (faults.status(408),), ("answers 408",), 0, 2),
    Case("429 with Retry-After", (faults.status(429, Retry_After=1),), ("trying again in 1.0 s",), 0, 2),
    Case("429 with a bad Retry-After", (faults.status(429, Retry_After="soon"),), ("again in 0.5 s",), 0, 2),
    Case("416 to a range", (faults.cut(20000), faults.status(416)), ("answers 416", "starting anew"), 0, 3),
    Case("no ranges", (faults.cut(20000),), ("broke off",), 0, 2, served={"ranges": False}),
    Case("no ETag, no resuming", (faults.cut(20000),), ("broke off",), 0, 2, served={"etag": None}),
    Case("a weak ETag", (faults.cut(20000),), ("broke off",), 0, 2, served={"etag": 'W/"1"'}),
    Case("another part", (faults.cut(20000), faults.other_part), ("another part", "starting anew"), 0, 3),
    Case("ETag changes", (faults.cut(20000), faults.part_of_another('"2"')), ("has changed",), 0, 3),
    Case(
        "content changes under one ETag",
        (faults.cut(20000), faults.part_of_another('"1"')),
        ("sent another file in parts", "starting anew"),
        0,
        3,
    ),
    Case("chunked", (faults.chunked,), ("fetching http://127.0.0.1",), 0),
    Case("chunked and cut", (faults.chunked_cut,), ("broke off",), 0, 2),
    Case("no length", (faults.unlimited,), ("fetching",), 0),
    Case("compressed on the way", (faults.packed,), ("fetching",), 0),
    Case("its own compression in the head", (faults.called_gzip,), ("fetching",), 0),
    Case("redirected", (faults.redirect("/elsewhere"),), ("fetching",), 0, 2),
    # What is not.
    Case("cut again and again", (faults.cut(20000),) + (faults.cut(0),) * 3, ("broke off after", "3 times"), asked=3),
    Case("stalls again and again", (faults.stall(0, 1.5),) * 3, ("timed out", "3 times"), asked=3),
    Case("500 again and again", (faults.status(500),) * 3, ("answers 500", "3 times"), asked=3),
    Case("429 for an hour", (faults.status(429, Retry_After=3600),), ("429", "come back in 3600 s")),
    Case("404", (faults.status(404),), ("answers 404 Not Found", "--mirror")),
    Case("403 with a page", (faults.page(403),), ("answers 403 Forbidden",)),
    Case("416 to the whole", (faults.status(416),), ("answers 416",)),
    Case("a page with status 200", (faults.page(),), ("no .tar.gz archive but text/html", "<!DOCTYPE", "login page")),
    Case("a redirect loop", (faults.redirect("/a"),) * 12, ("redirects more than 10 times",), asked=11),
    Case("a redirect to a file", (faults.redirect("file:///etc/passwd"),), ("cannot download",)),
    Case("too long by its head", (faults.misstated(10**6),), ("has 1,000,000 bytes", "checkpoints.lock says")),
    Case("too short by its head", (faults.misstated(1000),), ("has 1,000 bytes", "checkpoints.lock says")),
    Case("nothing with status 200", (faults.instead(b""),), ("sent nothing",)),
    Case("no content, not pinned", (faults.instead(b""),), ("sent nothing",), pinned=False),
    Case("half a file, not pinned", (faults.instead(gzip.compress(b"x" * 99)[:-9]),), ("cut short",), pinned=False),
    Case(
        "no tar file, not pinned", (faults.instead(gzip.compress(b"x" * 999)),), ("not a whole .tar.gz",), pinned=False
    ),
    Case(
        "a path that leads out, not pinned",
        (faults.instead(_hostile(_member("../model.ckpt.index", size=9))),),
        ("leads out of its folder", "kept as"),
        pinned=False,
    ),
    Case(
        "a link, not pinned",
        (faults.instead(_hostile(_member("model.ckpt.index", type=tarfile.SYMTYPE, linkname="/etc/passwd"))),),
        ("a link or a device",),
        pinned=False,
    ),
    Case(
        "a sparse file, not pinned", (faults.instead(_hostile(_sparse)),), ("a sparse file of 1,099,511",), pinned=False
    ),
    Case(
        "no checkpoint, not pinned",
        (faults.instead(_hostile(_member("README", size=9))),),
        ("holds no checkpoint",),
        pinned=False,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_fault_is_overcome_or_told(own_cli: Command, server: FaultyServer, content: bytes, case: Case) -> None:
    server.served = dataclasses.replace(server.served, **case.served)
    server.script = list(case.script)
    cli = _locked(own_cli, server.url(FILE), **(_pins(content) if case.pinned else {}))
    result = _fetch(cli)
    if case.status:
        told = refusal(result)
        _require_nothing_that_looks_whole(cli)
    else:
        told = result.stderr
        _require_whole(cli, result, content)
    for text in case.said:
        assert text in told
    assert len(server.asked) == case.asked

    server.script = []
    again = _fetch(_locked(cli, server.url(FILE), **_pins(content)))
    _require_whole(cli, again, content)
    assert "warning" not in again.stderr
    assert files_below(cli.cache / "partial") == []
    if not case.status:
        assert len(server.asked) == case.asked, "what is in the cache was asked for again"


def test_there_are_as_many_faults_as_promised() -> None:
    assert len(CASES) >= 35


def _altered(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def test_wrong_bytes_of_the_right_length_are_kept_aside(own_cli: Command, server: FaultyServer, content: bytes) -> None:
    cli = _locked(own_cli, server.url(FILE), **_pins(content))
    wrong = _altered(content)
    server.script = [faults.instead(wrong)]
    message = refusal(_fetch(cli))
    assert _sha256(wrong) in message and _sha256(content) in message
    kept = Path(message.split("kept as ")[1])
    assert kept.read_bytes() == wrong and kept.parent == cli.cache / "refused"
    _require_nothing_that_looks_whole(cli)
    _require_whole(cli, _fetch(cli), content)
    # Looked at, it can go.
    assert str(kept) in succeeded(cli("cache", "prune")).stdout
    assert files_below(cli.cache / "refused") == []


@pytest.mark.parametrize("name", ["md5", "crc32c"])
def test_the_hashes_that_a_server_states_are_checked(
    own_cli: Command, server: FaultyServer, content: bytes, name: str
) -> None:
    stated = dict(part.split("=", 1) for part in faults.goog_hash(content).split(", "))
    cli = _locked(own_cli, server.url(FILE))
    server.script = [faults.instead(_altered(content), x_goog_hash=f"{name}={stated[name]}")]
    message = refusal(_fetch(cli))
    assert f"states {name} {stated[name]}" in message
    _require_nothing_that_looks_whole(cli)

    server.served = dataclasses.replace(server.served, hashes=True)
    result = _fetch(cli)
    _require_whole(cli, result, content)
    assert f"nasexport: warning: {ARCHIVE} is not pinned" in result.stderr
    assert f"{len(content)} bytes have sha256 {_sha256(content)}" in result.stderr


def test_an_archive_that_is_not_pinned_must_be_that_of_its_model(
    own_cli: Command, server: FaultyServer, others_content: bytes
) -> None:
    server.served = Served(others_content)
    cli = _locked(own_cli, server.url(FILE))
    message = refusal(_fetch(cli))
    assert "lacks" in message and "kept as" in message
    _require_nothing_that_looks_whole(cli)
    _require_whole(cli, cli("fetch", cli.folder / "tiny_pnasnet.yaml"), others_content)


def test_a_killed_transfer_is_continued(own_cli: Command, server: FaultyServer, content: bytes) -> None:
    cli = _locked(own_cli, server.url(FILE), **_pins(content))
    server.script = [faults.slowly(pieces=60, seconds=6)]
    process = cli.start("fetch", cli.folder / "tiny_nasnet.yaml")
    _wait_until(lambda: any(path.stat().st_size > 9000 for path in (cli.cache / "partial").glob("*.part")))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    _require_nothing_that_looks_whole(cli)

    result = _fetch(cli)
    _require_whole(cli, result, content)
    assert "continuing after" in result.stderr
    assert int(server.asked[1].headers["Range"].strip("bytes=-")) > 9000


def test_an_interrupted_transfer_says_no_more_than_it_must(
    own_cli: Command, server: FaultyServer, content: bytes
) -> None:
    cli = _locked(own_cli, server.url(FILE), **_pins(content))
    server.script = [faults.slowly(pieces=60, seconds=6)]
    process = cli.start("fetch", cli.folder / "tiny_nasnet.yaml")
    _wait_until(lambda: any(path.stat().st_size > 9000 for path in (cli.cache / "partial").glob("*.part")))
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate()
    assert process.returncode != 0 and "Traceback" not in stderr
    _require_nothing_that_looks_whole(cli)
    _require_whole(cli, _fetch(cli), content)


def _wait_until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_ten_processes_share_one_download(own_cli: Command, server: FaultyServer, content: bytes) -> None:
    cli = _locked(own_cli, server.url(FILE), **_pins(content))
    server.script = [faults.slowly(pieces=20, seconds=4)]
    processes = [cli.start("fetch", cli.folder / "tiny_nasnet.yaml") for _ in range(10)]
    outputs = [process.communicate(timeout=TIMEOUT) for process in processes]
    assert [process.returncode for process in processes] == [0] * 10
    assert {Path(stdout.strip()).read_bytes() == content for stdout, _ in outputs} == {True}
    assert len(server.asked) == 1
    assert any(f"waiting for another process that fetches {ARCHIVE}" in stderr for _, stderr in outputs)


def _in_namespace(command: Command, script: str) -> Result:
    """Runs a shell script that may mount what it likes; skips where the system does not allow that."""
    unshare = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
    if not shutil.which("unshare") or subprocess.run([*unshare, "mount -t tmpfs none /mnt"], check=False).returncode:
        pytest.skip("this system lets nobody mount a disk of their own")
    return subprocess.run(
        [*unshare, script],
        cwd=command.cwd,
        env=command.env,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )


@pytest.mark.parametrize("known", [True, False], ids=["size known", "size not known"])
def test_a_full_disk(own_cli: Command, server: FaultyServer, content: bytes, known: bool) -> None:
    cli = _locked(own_cli, server.url(FILE), **(_pins(content) if known else {}))
    server.script = [] if known else [faults.chunked]
    size = len(content) // 2
    cli.cache.mkdir(parents=True)
    cache = shlex.quote(str(cli.cache))
    fetch = shlex.join(cli.arguments("fetch", cli.folder / "tiny_nasnet.yaml", *IMPATIENT))
    result = _in_namespace(
        cli,
        f"mount -t tmpfs -o size={size} none {cache}\n{fetch}\necho status $?\n"
        f"find {cache} -name '*.part' -o -name '*.tar.gz' -o -name '*.index'\n"
        f"mount -o remount,size=99m {cache}\n{fetch}\n",
    )
    assert result.stdout.startswith("status 1\n"), result
    assert result.stdout.count("\n") == 2, "something was left on the full disk"
    message = result.stderr.split("nasexport: error: ")[1]
    assert ("bytes are to come, but the disk of" if known else "the disk is full") in message
    assert "--cache-dir" in message
    assert result.returncode == 0


def test_a_full_disk_while_unpacking(own_cli: Command, server: FaultyServer, content: bytes) -> None:
    cli = _locked(own_cli, server.url(FILE))
    cli.cache.mkdir(parents=True)
    cache = shlex.quote(str(cli.cache))
    fetch = shlex.join(cli.arguments("fetch", cli.folder / "tiny_nasnet.yaml", *IMPATIENT))
    size = len(content) + 100_000
    result = _in_namespace(
        cli,
        f"mount -t tmpfs -o size={size} none {cache}\n{fetch}\necho status $?\n"
        f"find {cache} -name '*.tar.gz' -o -name '*.index'\n"
        f"mount -o remount,size=99m {cache}\n{fetch}\n",
    )
    assert result.stdout.startswith("status 1\n"), result
    assert result.stdout.count("\n") == 2
    assert "No space left on device" in result.stderr.split("nasexport: error: ")[1]
    assert result.returncode == 0
    assert len(server.asked) == 1, "what had come was fetched again"


def test_a_cache_that_can_only_be_read_is_enough(own_cli: Command, server: FaultyServer, content: bytes) -> None:
    cli = _locked(own_cli, server.url(FILE), **_pins(content))
    _require_whole(cli, _fetch(cli), content)
    cache = shlex.quote(str(cli.cache))
    read_only = f"mount --bind {cache} {cache} && mount -o remount,bind,ro {cache} && "
    result = _in_namespace(cli, read_only + shlex.join(cli.arguments("fetch", cli.folder / "tiny_nasnet.yaml")))
    _require_whole(cli, result, content)
    # Without its files in the cache, they are unpacked elsewhere for the time of the build.
    build = cli.arguments("build", cli.folder / "tiny_pnasnet.yaml", "--output", "out")
    assert "lacks" in refusal(_in_namespace(cli, read_only + shlex.join(build)))
    assert "archives" in files_below(cli.cache) and "checkpoints" not in files_below(cli.cache)
    assert files_below(cli.temporary) == []

    shutil.rmtree(cli.cache / "archives")
    message = refusal(_in_namespace(cli, read_only + shlex.join(cli.arguments("fetch", "nasnet_mobile"))))
    assert "cannot write to the cache" in message and "--cache-dir" in message


def test_a_flipped_bit_in_the_cache_is_mended(own_cli: Command, server: FaultyServer, content: bytes) -> None:
    cli = _locked(own_cli, server.url(FILE), **_pins(content))
    path = _require_whole(cli, _fetch(cli), content)
    path.write_bytes(_altered(content))
    rows = json.loads(cli("cache", "verify", "--json").stdout)
    assert [row["sound"] for row in rows] == [False]
    _require_nothing_that_looks_whole(cli)
    _require_whole(cli, _fetch(cli), content)

    path.write_bytes(_altered(content))
    result = _fetch(cli)
    _require_whole(cli, result, content)
    assert "nasexport: warning:" in result.stderr and "is damaged" in result.stderr
    assert len(server.asked) == 3

    path.write_bytes(_altered(content))
    assert "--offline forbids" in refusal(_fetch(cli, "--offline"))


def test_a_flipped_bit_in_unpacked_files_is_mended(own_cli: Command, server: FaultyServer, content: bytes) -> None:
    cli = _locked(own_cli, server.url(FILE), **_pins(content))
    build = ("build", cli.folder / "tiny_nasnet.yaml", "--task", "feature_vector", "--no-verify", "--output", "out")
    succeeded(cli(*build))
    folder = cli.cache / "checkpoints" / _sha256(content)
    data = next(folder.glob("*.data-*"))
    right = data.read_bytes()
    data.write_bytes(_altered(right))
    assert "FAIL" in cli("cache", "verify").stdout
    assert not folder.exists()
    succeeded(cli(*build, "--overwrite"))
    assert data.read_bytes() == right
    data.write_bytes(_altered(right))
    succeeded(cli(*build, "--overwrite"))
    assert data.read_bytes() == right
    assert len(server.asked) == 1

    source = json.loads(
        (artifact_folder(cli.cwd / "out", "tiny_nasnet", "feature_vector", 4) / "nasexport.json").read_text()
    )["source"]
    assert (source["archive"], source["archive_sha256"]) == (FILE, _sha256(content))
    rows = {row["name"]: row["cached"] for row in json.loads(succeeded(cli("models", "--json")).stdout)}
    assert rows.pop("nasnet_mobile") == str(cli.cache / "archives" / _sha256(content) / FILE)
    assert set(rows.values()) == {None}


def test_mirrors_are_asked_first_and_in_order(
    own_cli: Command, server: FaultyServer, content: bytes, tmp_path: Path
) -> None:
    cli = _locked(own_cli, server.url(FILE), **_pins(content))
    folder = tmp_path / "a mirror"
    folder.mkdir()
    (folder / FILE).write_bytes(_altered(content))
    with serving(FaultyServer(Served(content))) as mirror:
        mirror.script = [faults.status(404)]
        result = _fetch(cli, "--mirror", mirror.url("deep/"), "--mirror", folder)
        _require_whole(cli, result, content)
        assert [request.path for request in mirror.asked] == [f"/deep/{FILE}"]
    assert result.stderr.count("nasexport: warning: ") == 2
    assert "answers 404" in result.stderr and _sha256(_altered(content)) in result.stderr
    assert len(server.asked) == 1


@pytest.mark.parametrize("how", ["folder", "file URL", "environment", "configuration"])
def test_local_mirrors_need_no_network(
    own_cli: Command, server: FaultyServer, content: bytes, tmp_path: Path, how: str
) -> None:
    cli = _locked(own_cli, server.url(FILE), **_pins(content))
    folder = tmp_path / "mirror"
    folder.mkdir()
    (folder / FILE).write_bytes(content)
    options: tuple[object, ...] = ("--offline",)
    match how:
        case "folder":
            options += ("--mirror", folder)
        case "file URL":
            options += ("--mirror", folder.as_uri())
        case "environment":
            cli = cli.with_variables(NASEXPORT_MIRROR=str(folder))
        case "configuration":
            config = cli.folder / "home" / ".config" / "nasexport" / "config.toml"
            config.parent.mkdir(parents=True)
            config.write_text(f"mirror = [{json.dumps(str(folder))}]\noffline = true\n", encoding="utf-8")
            options = ()
    _require_whole(cli, _fetch(cli, *options), content)
    assert server.asked == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mirrors = []", "it has mirrors, expected no other fields than cache-dir, lock-file, mirror, offline"),
        ("mirror = 'x'", "mirror is 'x', expected a list"),
        ("mirror = ['x', 7]", "mirror[1] is 7, expected a text"),
        ("timeout = -1", "timeout is -1, expected a finite number of at least 0.1"),
        ("timeout = nan", "timeout is nan, expected a finite number of at least 0.1"),
        ("timeout = inf", "timeout is inf, expected a finite number of at least 0.1"),
        ("retries = true", "retries is True, expected a whole number of at least 0"),
        ("cache-dir = 2017-01-01", "cache-dir is datetime.date(2017, 1, 1), expected a text"),
        ("[", "is not valid TOML"),
        (f"retries = {'9' * 5000}", "is not valid TOML"),
        ("mirror = " + "[" * 2000, "is not valid TOML"),
    ],
)
def test_a_bad_configuration_file_is_told(own_cli: Command, tmp_path: Path, text: str, said: str) -> None:
    config = tmp_path / "config.toml"
    config.write_text(text, encoding="utf-8")
    message = refusal(own_cli.with_variables(NASEXPORT_CONFIG=str(config))("fetch", "nasnet_mobile", "--offline"))
    assert said in message and str(config) in message
    missing = own_cli.with_variables(NASEXPORT_CONFIG=str(tmp_path / "absent"))("models")
    assert "does not exist" in refusal(missing)


def test_offline_asks_nobody(own_cli: Command, server: FaultyServer, content: bytes) -> None:
    cli = _locked(own_cli, server.url(FILE), **_pins(content))
    for arguments in (("fetch",), ("build", "--output", "out")):
        message = refusal(cli(arguments[0], cli.folder / "tiny_nasnet.yaml", "--offline", *arguments[1:]))
        assert "--offline forbids a download" in message and "--mirror" in message
    assert server.asked == []
    _fetch(cli)
    _require_whole(cli, _fetch(cli, "--offline"), content)


def test_a_source_that_cannot_be_asked_is_refused(own_cli: Command, server: FaultyServer) -> None:
    cli = _locked(own_cli, server.url(FILE))
    message = refusal(_fetch(cli, "--mirror", "ftp://user:secret@127.0.0.1/"))
    assert "expected an http, https or file URL" in message and "secret" not in message


def test_a_server_that_is_down_is_told_at_once(own_cli: Command, server: FaultyServer, content: bytes) -> None:
    server.server_close()
    cli = _locked(own_cli, f"http://user:secret@127.0.0.1:{server.server_port}/{FILE}", **_pins(content))
    result = _fetch(cli)
    message = refusal(result)
    assert "Connection refused" in message and "--checkpoint" in message
    assert "secret" not in result.stderr and "trying again" not in result.stderr


def test_proxies_come_from_the_environment(own_cli: Command, server: FaultyServer, content: bytes) -> None:
    url = "http://checkpoints.invalid/" + FILE
    cli = _locked(own_cli, url, **_pins(content)).with_variables(http_proxy=server.url(""))
    _require_whole(cli, _fetch(cli), content)
    assert server.asked[0].path == url


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def _https(authority: trustme.CA, content: bytes) -> FaultyServer:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return FaultyServer(Served(content), context)


def test_a_redirect_never_leaves_https(
    own_cli: Command, server: FaultyServer, authority: trustme.CA, content: bytes, tmp_path: Path
) -> None:
    bundle = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(bundle))
    with serving(_https(authority, content)) as secure:
        cli = _locked(own_cli, secure.url(FILE), **_pins(content))
        secure.script = []
        assert "certificate" in refusal(_fetch(cli)).lower()
        cli = cli.with_variables(REQUESTS_CA_BUNDLE=str(bundle))
        secure.script = [faults.redirect(server.url(FILE))]
        message = refusal(_fetch(cli))
        assert "which is not encrypted: refused" in message
        assert server.asked == []
        secure.script = [faults.redirect("/elsewhere")]
        _require_whole(cli, _fetch(cli), content)
    # The other way round is welcome.
    with serving(_https(authority, content)) as secure:
        cli = _locked(Command(tmp_path / "other", cli.variables), server.url(FILE), **_pins(content))
        server.script = [faults.redirect(secure.url(FILE))]
        _require_whole(cli, _fetch(cli), content)


def test_frozen_refuses_what_is_not_pinned_or_different(
    own_cli: Command, server: FaultyServer, content: bytes, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    cli = _locked(own_cli, server.url(FILE))
    message = refusal(_fetch(cli, "--frozen"))
    assert "is not pinned" in message and "nasexport lock" in message
    assert server.asked == []

    cli = _locked(own_cli, server.url(FILE), **_pins(content))
    build = ("build", cli.folder / "tiny_pnasnet.yaml", "--frozen", "--output", "out")
    assert "lacks" in refusal(cli(*build)), "the pinned archive is taken"
    archive = tmp_path / "copy.tar.gz"
    archive.write_bytes(content)
    assert "lacks" in refusal(cli(*build, "--checkpoint", archive)), "and so is a copy of it"
    message = refusal(cli(*build, "--checkpoint", tiny_checkpoint))
    assert "--frozen refuses" in message and "nothing of such a file" in message

    succeeded(cli("lock", cli.folder / "tiny_nasnet.yaml"))
    assert "lacks" in refusal(cli(*build, "--checkpoint", tiny_checkpoint)), "its files are pinned now"
    other = tmp_path / "other"
    shutil.copytree(tiny_checkpoint.parent, other)
    data = next(other.glob("*.data-*"))
    data.write_bytes(_altered(data.read_bytes()))
    message = refusal(cli(*build, "--checkpoint", other))
    assert _sha256(data.read_bytes()) in message and _sha256(_altered(data.read_bytes())) in message

    without = cli.folder / "without.yaml"
    without.write_text(yaml.safe_dump(TINY), encoding="utf-8")
    message = refusal(cli("build", without, "--frozen", "--checkpoint", tiny_checkpoint))
    assert "no published archive" in message


def test_lock_pins_what_was_fetched_and_checked(
    own_cli: Command, server: FaultyServer, content: bytes, tiny_checkpoint: Path
) -> None:
    cli = _locked(own_cli, server.url(FILE))
    lock = cli.folder / "checkpoints.lock"
    rows = json.loads(succeeded(cli("lock", cli.folder / "tiny_nasnet.yaml", "--json")).stdout)
    files = {file.name: _sha256(file.read_bytes()) for file in tiny_checkpoint.parent.iterdir()}
    files["README"] = _sha256(b"facts")
    assert [(row["size"], row["sha256"], row["files"]) for row in rows] == [(len(content), _sha256(content), files)]
    text = lock.read_text(encoding="utf-8")
    assert text.startswith("# What the archives are.\n") and "# its home" in text and _sha256(content) in text
    assert files_below(cli.folder).count("checkpoints.lock") == 1

    # Again: nothing to do, nothing changes. Frozen: fine.
    succeeded(cli("lock", cli.folder / "tiny_nasnet.yaml", "--frozen"))
    assert lock.read_text(encoding="utf-8") == text
    assert len(server.asked) == 1

    # Another file on the server: refused by the pin, taken by --update alone.
    other = gzip.compress(gzip.decompress(content), 1)
    server.served = Served(other)
    succeeded(cli("cache", "prune", "--all"))
    assert "it is not the published file" in refusal(cli("lock", cli.folder / "tiny_nasnet.yaml"))
    assert lock.read_text(encoding="utf-8") == text
    succeeded(cli("lock", cli.folder / "tiny_nasnet.yaml", "--update"))
    assert _sha256(other) in lock.read_text(encoding="utf-8")
    assert _sha256(content) not in lock.read_text(encoding="utf-8")


def test_a_lock_file_of_ones_own_begins_as_the_shipped_one(own_cli: Command, tmp_path: Path) -> None:
    lock = tmp_path / "mine.lock"
    refusal(own_cli("lock", "nasnet_mobile", "--lock-file", lock, "--offline"))
    shipped = CHECKOUT / "checkpoints.lock"
    assert lock.read_text(encoding="utf-8") == shipped.read_text(encoding="utf-8")


def test_pinned_files_are_those_in_the_archive(own_cli: Command, server: FaultyServer, content: bytes) -> None:
    cli = _locked(own_cli, server.url(FILE), **_pins(content))
    lock = cli.folder / "checkpoints.lock"
    lock.write_text(lock.read_text() + f'files = {{"model.ckpt.index" = "{OTHER}"}}\n', encoding="utf-8")
    message = refusal(cli("build", cli.folder / "tiny_nasnet.yaml"))
    assert "sha256" in message and "README" in message
    assert files_below(cli.cwd) == []


def test_the_cache_is_listed_and_pruned(own_cli: Command, server: FaultyServer, content: bytes) -> None:
    cli = _locked(own_cli, server.url(FILE), **_pins(content))
    assert "0 archives" in succeeded(cli("cache", "list")).stdout
    assert succeeded(cli("cache", "path")).stdout.strip() == str(cli.cache)
    _require_whole(cli, _fetch(cli), content)
    (cli.cache / "partial" / "broken.tar.gz.part").write_bytes(b"x" * 1000)
    facts = json.loads(succeeded(cli("cache", "list", "--json")).stdout)
    assert [(row["name"], row["size"], row["url"]) for row in facts["archives"]] == [
        (ARCHIVE, len(content), server.url(FILE))
    ]
    assert [row["size"] for row in facts["leftovers"]] == [1000]
    assert f"{len(content) / 1e6:,.1f} MB, pinned, not unpacked" in succeeded(cli("cache", "list")).stdout
    assert succeeded(cli("cache", "verify")).stdout.startswith("ok ")

    would = succeeded(cli("cache", "prune", "--dry-run"))
    assert "broken.tar.gz.part\t1000" in would.stdout and "would free 1,000 bytes" in would.stderr
    assert (cli.cache / "partial" / "broken.tar.gz.part").exists()
    assert "freed 1,000 bytes" in succeeded(cli("cache", "prune")).stderr
    assert len(json.loads(succeeded(cli("cache", "list", "--json")).stdout)["archives"]) == 1

    # Another archive is pinned now: the old one is superseded.
    cli = _locked(cli, server.url(FILE), size=1, sha256=OTHER)
    assert str(cli.cache / "archives" / _sha256(content)) in succeeded(cli("cache", "prune")).stdout
    assert json.loads(succeeded(cli("cache", "list", "--json")).stdout)["archives"] == []


def test_fetch_needs_to_know_what(own_cli: Command, tiny: Path) -> None:
    assert own_cli("fetch").returncode == 2
    assert own_cli("fetch", "nasnet_mobile", "--all").returncode == 2
    assert "only exists as a file" in refusal(own_cli("fetch", tiny))
    assert "there is no model" in refusal(own_cli("fetch", "nasnet"))
    assert "no published archive" in refusal(own_cli("build", tiny))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", f"no archive '{ARCHIVE}'"),
        ("[checkpoint", "not valid TOML"),
        ("checkpoint = 7", "checkpoints.lock: checkpoint is 7, expected a mapping"),
        (f'checkpoint."{ARCHIVE}" = 7', f"checkpoints.lock: checkpoint.{ARCHIVE} is 7, expected a mapping with url"),
        (f'[checkpoint."{ARCHIVE}"]\nsize = 7', f"checkpoint.{ARCHIVE} lacks url, expected url, size, sha256, files"),
        (f'[checkpoint."{ARCHIVE}"]\nurl = 7', f"checkpoint.{ARCHIVE}.url is 7, expected a text"),
        (f'[checkpoint."{ARCHIVE}"]\nurl = "http://x"\nsize = "7"', f"{ARCHIVE}.size is '7', expected a whole number"),
        (f'[checkpoint."{ARCHIVE}"]\nurl = "http://x"\nsize = 7', f"{ARCHIVE}: it has only one of size and sha256"),
        (
            f'[checkpoint."{ARCHIVE}"]\nurl = "http://x"\nsize = 7\nsha256 = "7"',
            f"checkpoint.{ARCHIVE}.sha256 is '7', expected 64 hexadecimal digits",
        ),
        (
            f'[checkpoint."{ARCHIVE}"]\nurl = "http://x"\nhash = "7"',
            f"{ARCHIVE} has hash, expected no other fields than url",
        ),
        (f'[checkpoint."{ARCHIVE}"]\nurl = "http://x"\nfiles = ["a"]', f"{ARCHIVE}.files is ['a'], expected a mapping"),
        (
            f'[checkpoint."{ARCHIVE}"]\nurl = "http://x"\nfiles = {{"a.b" = "{OTHER}", "a b" = "c"}}',
            f"checkpoint.{ARCHIVE}.files['a b'] is 'c', expected 64 hexadecimal digits",
        ),
        ('[checkpoint."../up"]\nurl = "http://x"', "checkpoint has the key '../up', expected a name of letters"),
        (f'[checkpoint."{ARCHIVE}"]\nurl = "no address"', "no address"),
    ],
)
def test_a_bad_lock_file_is_refused(own_cli: Command, text: str, said: str) -> None:
    cli = _locked(own_cli, "http://127.0.0.1/")
    (cli.folder / "checkpoints.lock").write_text(text, encoding="utf-8")
    assert said in refusal(_fetch(cli))


def test_a_cache_that_cannot_be_written_is_told(own_cli: Command, server: FaultyServer) -> None:
    cli = _locked(own_cli, server.url(FILE))
    cli.cache.write_text("a file in the way")
    assert "cannot write to the cache" in refusal(_fetch(cli))
    assert server.asked == []


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="this system tells no process's peak memory")
def test_memory_stays_small(own_cli: Command, content: bytes) -> None:
    """A transfer of 300 MB of noise; the process stays under 100 MB."""
    noise = gzip.compress(os.urandom(2**20)) * 300
    with serving(FaultyServer(Served(noise))) as server:
        cli = _locked(own_cli, server.url(FILE), **_pins(noise))
        process = cli.start("fetch", cli.folder / "tiny_nasnet.yaml")
        peak = 0
        while process.poll() is None:
            peak = max(peak, peak_memory(process.pid))
            time.sleep(0.01)
        assert process.returncode == 0, process.communicate()
        assert 10e6 < peak < 100e6
