"""Archives from a server that misbehaves, from mirrors and folders, in processes that are killed."""

import dataclasses
import gzip
import io
import json
import os
import shlex
import signal
import ssl
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme

from exporter.fetch.http_client import CERTIFICATES
from tests.support import faulty_server as faults
from tests.support.command import (
    Command,
    Result,
    files_below,
    peak_memory,
    refusal,
    succeeded,
)
from tests.support.disks import in_namespace
from tests.support.faulty_server import Answer, FaultyServer, Served, serving
from tests.support.fetching import (
    ARCHIVE,
    FILE,
    IMPATIENT,
    altered,
    fetch,
    locked,
    pins,
    require_nothing_that_looks_whole,
    require_whole,
    sha256,
)


@dataclasses.dataclass(frozen=True)
class Case:
    """A fault: what the server does, and what the user hears of it.

    ``said`` is what the message has, or, where the fault is overcome (``status`` 0), what standard error has.
    ``status`` is 3 where the file could not be had, and 1 where what came is not the right one.
    ``asked`` is the number of requests it takes.
    """

    name: str
    script: tuple[Answer, ...]
    said: tuple[str, ...]
    status: int = 3
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
    Case("stalls once", (faults.stall(20000, 5),), ("continuing after 20,000 bytes",), 0, 2),
    Case("drips, then recovers", (faults.drip(6),), ("bytes a second",), 0, 2),
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
        ("sent parts of different files", "starting anew"),
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
    Case("stalls again and again", (faults.stall(20000, 5),) * 3, ("timed out", "3 times"), asked=3),
    Case("silent before the first byte", (faults.stall(0, 5),), ("sent nothing for 1.5 s", "--mirror")),
    Case("500 again and again", (faults.status(500),) * 3, ("answers 500", "3 times"), asked=3),
    Case("429 for an hour", (faults.status(429, Retry_After=3600),), ("429", "come back in 3600 s")),
    Case("404", (faults.status(404),), ("answers 404 Not Found", "--mirror")),
    Case("403 with a page", (faults.page(403),), ("answers 403 Forbidden",)),
    Case("416 to the whole", (faults.status(416),), ("answers 416",)),
    Case(
        "a page with status 200", (faults.page(),), ("no .tar.gz archive but text/html", "<!DOCTYPE", "login page"), 1
    ),
    Case("a redirect loop", (faults.redirect("/a"),) * 12, ("redirects more than 10 times",), asked=11),
    Case("a redirect to a file", (faults.redirect("file:///etc/passwd"),), ("redirects to 'file:///etc/passwd'",)),
    Case("too long by its head", (faults.misstated(10**6),), ("has 1,000,000 bytes", "checkpoints.lock says"), 1),
    Case("too short by its head", (faults.misstated(1000),), ("has 1,000 bytes", "checkpoints.lock says"), 1),
    Case("nothing with status 200", (faults.instead(b""),), ("sent nothing",)),
    Case("no content, not pinned", (faults.instead(b""),), ("sent nothing",), pinned=False),
    Case(
        "half a file, not pinned",
        (faults.instead(gzip.compress(b"x" * 99)[:-9]),),
        ("cut short",),
        status=1,
        pinned=False,
    ),
    Case(
        "no tar file, not pinned",
        (faults.instead(gzip.compress(b"x" * 999)),),
        ("not a whole .tar.gz",),
        status=1,
        pinned=False,
    ),
    Case(
        "a path that leads out, not pinned",
        (faults.instead(_hostile(_member("../model.ckpt.index", size=9))),),
        ("leads out of its folder", "kept as"),
        status=1,
        pinned=False,
    ),
    Case(
        "a link, not pinned",
        (faults.instead(_hostile(_member("model.ckpt.index", type=tarfile.SYMTYPE, linkname="/etc/passwd"))),),
        ("a link or a device",),
        status=1,
        pinned=False,
    ),
    Case("a sparse file, not pinned", (faults.instead(_hostile(_sparse)),), ("a sparse file",), status=1, pinned=False),
    Case(
        "no checkpoint, not pinned",
        (faults.instead(_hostile(_member("README", size=9))),),
        ("holds no checkpoint",),
        status=1,
        pinned=False,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_fault_is_overcome_or_told(
    own_cli: Command, server: FaultyServer, content: bytes, case: Case, tmp_path: Path
) -> None:
    server.served = dataclasses.replace(server.served, **case.served)
    server.script = list(case.script)
    own_cli = own_cli.with_short_waits(tmp_path)
    cli = locked(own_cli, server.url(FILE), **(pins(content) if case.pinned else {}))
    result = fetch(cli)
    if case.status:
        told = refusal(result, case.status)
        require_nothing_that_looks_whole(cli)
    else:
        told = result.stderr
        require_whole(cli, result, content)
    for text in case.said:
        assert text in told
    assert len(server.asked) == case.asked

    server.script = []
    again = fetch(locked(cli, server.url(FILE), **pins(content)))
    require_whole(cli, again, content)
    assert _warnings(again) == 0
    assert files_below(cli.cache / "partial") == []
    if not case.status:
        assert len(server.asked) == case.asked, "what is in the cache was asked for again"


def _warnings(result: Result) -> int:
    """How many there are about a transfer; that the archive of these tests is synthetic may be said as well."""
    lines = result.stderr.splitlines()
    return sum("nasexport: warning: " in line and "SYNTHETIC" not in line for line in lines)


def test_there_are_as_many_faults_as_promised() -> None:
    assert len(CASES) >= 35


def test_wrong_bytes_of_the_right_length_are_kept_aside(own_cli: Command, server: FaultyServer, content: bytes) -> None:
    cli = locked(own_cli, server.url(FILE), **pins(content))
    wrong = altered(content)
    server.script = [faults.instead(wrong)]
    message = refusal(fetch(cli))
    assert sha256(wrong) in message and sha256(content) in message
    kept = Path(message.split("kept as ")[1])
    assert kept.read_bytes() == wrong and kept.parent == cli.cache / "refused"
    require_nothing_that_looks_whole(cli)
    require_whole(cli, fetch(cli), content)
    # Looked at, it can go.
    assert str(kept) in succeeded(cli("cache", "prune")).stdout
    assert files_below(cli.cache / "refused") == []


@pytest.mark.parametrize("name", ["md5", "crc32c"])
def test_the_hashes_that_a_server_states_are_checked(
    own_cli: Command, server: FaultyServer, content: bytes, name: str
) -> None:
    stated = dict(part.split("=", 1) for part in faults.goog_hash(content).split(", "))
    cli = locked(own_cli, server.url(FILE))
    server.script = [faults.instead(altered(content), x_goog_hash=f"{name}={stated[name]}")]
    message = refusal(fetch(cli))
    assert f"states {name} {stated[name]}" in message
    require_nothing_that_looks_whole(cli)

    server.served = dataclasses.replace(server.served, hashes=True)
    result = fetch(cli)
    require_whole(cli, result, content)
    assert f"nasexport: warning: {ARCHIVE} is not pinned" in result.stderr
    assert f"{len(content)} bytes have sha256 {sha256(content)}" in result.stderr


def test_an_archive_that_is_not_pinned_must_be_that_of_its_model(
    own_cli: Command, server: FaultyServer, others_content: bytes
) -> None:
    server.served = Served(others_content)
    cli = locked(own_cli, server.url(FILE))
    message = refusal(fetch(cli))
    assert "lacks" in message and "kept as" in message
    require_nothing_that_looks_whole(cli)
    require_whole(cli, cli("fetch", cli.folder / "tiny_pnasnet.yaml"), others_content)


@pytest.mark.stops
def test_a_killed_transfer_is_continued(own_cli: Command, server: FaultyServer, content: bytes) -> None:
    cli = locked(own_cli, server.url(FILE), **pins(content))
    server.script = [faults.slowly(pieces=60, seconds=6)]
    process = cli.start("fetch", cli.folder / "tiny_nasnet.yaml")
    _wait_until(lambda: any(path.stat().st_size > 9000 for path in (cli.cache / "partial").glob("*.part")))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    require_nothing_that_looks_whole(cli)

    result = fetch(cli)
    require_whole(cli, result, content)
    assert "continuing after" in result.stderr
    assert int(server.asked[1].headers["Range"].strip("bytes=-")) > 9000


@pytest.mark.parametrize("facts", [b"", b"{", b"[]", b'{"total": "all", "validator": 7}', b"\xff"])
def test_what_nothing_is_known_of_is_not_continued(
    own_cli: Command, server: FaultyServer, content: bytes, facts: bytes
) -> None:
    cli = locked(own_cli, server.url(FILE), **pins(content))
    server.script = [faults.cut(20000), faults.status(404)]
    refusal(fetch(cli))
    (beside,) = (cli.cache / "partial").glob("*.json")
    assert beside.with_suffix("").stat().st_size == 20000
    beside.write_bytes(facts)
    require_whole(cli, fetch(cli), content)
    assert [request.headers.get("Range") for request in server.asked] == [None, "bytes=20000-", None]


@pytest.mark.stops
def test_an_interrupted_transfer_says_no_more_than_it_must(
    own_cli: Command, server: FaultyServer, content: bytes
) -> None:
    cli = locked(own_cli, server.url(FILE), **pins(content))
    server.script = [faults.slowly(pieces=60, seconds=6)]
    process = cli.start("fetch", cli.folder / "tiny_nasnet.yaml")
    _wait_until(lambda: any(path.stat().st_size > 9000 for path in (cli.cache / "partial").glob("*.part")))
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate()
    assert process.returncode != 0 and "Traceback" not in stderr
    require_nothing_that_looks_whole(cli)
    require_whole(cli, fetch(cli), content)


def _wait_until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize("known", [True, False], ids=["size known", "size not known"])
def test_a_full_disk(own_cli: Command, server: FaultyServer, content: bytes, known: bool) -> None:
    cli = locked(own_cli, server.url(FILE), **(pins(content) if known else {}))
    server.script = [] if known else [faults.chunked]
    size = len(content) // 2
    cli.cache.mkdir(parents=True)
    cache = shlex.quote(str(cli.cache))
    fetch = shlex.join(cli.arguments("fetch", cli.folder / "tiny_nasnet.yaml", *IMPATIENT))
    result = in_namespace(
        cli,
        f"mount -t tmpfs -o size={size} none {cache}\n{fetch}\necho status $?\n"
        f"find {cache} -name '*.part' -o -name '*.tar.gz' -o -name '*.index'\n"
        f"mount -o remount,size=99m {cache}\n{fetch}\n",
    )
    assert result.stdout.startswith("status 3\n"), result
    assert result.stdout.count("\n") == 2, "something was left on the full disk"
    message = result.stderr.split("nasexport: error: ")[1]
    assert ("bytes are to come, but the disk of" if known else "the disk is full") in message
    assert "--cache-dir" in message
    assert result.returncode == 0


def test_mirrors_are_asked_first_and_in_order(
    own_cli: Command, server: FaultyServer, content: bytes, tmp_path: Path
) -> None:
    cli = locked(own_cli, server.url(FILE), **pins(content))
    folder = tmp_path / "a mirror"
    folder.mkdir()
    (folder / FILE).write_bytes(altered(content))
    with serving(FaultyServer(Served(content))) as mirror:
        mirror.script = [faults.status(404)]
        result = fetch(cli, "--mirror", mirror.url("deep/"), "--mirror", folder)
        require_whole(cli, result, content)
        assert [request.path for request in mirror.asked] == [f"/deep/{FILE}"]
    assert _warnings(result) == 2
    assert "answers 404" in result.stderr and sha256(altered(content)) in result.stderr
    assert len(server.asked) == 1


@pytest.mark.parametrize("how", ["folder", "file URL", "environment", "configuration"])
def test_local_mirrors_need_no_network(
    own_cli: Command, server: FaultyServer, content: bytes, tmp_path: Path, how: str
) -> None:
    cli = locked(own_cli, server.url(FILE), **pins(content))
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
    require_whole(cli, fetch(cli, *options), content)
    assert server.asked == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mirrors = []", "it has mirrors, expected no other fields than cache-dir, lock-file, mirror, offline"),
        ("mirror = 'x'", "mirror is 'x', expected a list"),
        ("mirror = ['x', 7]", "mirror[1] is 7, expected a text"),
        ("timeout = -1", "timeout is -1, expected a number of at least 0.1 and at most 86,400"),
        ("timeout = nan", "timeout is nan, expected a number of at least 0.1 and at most 86,400"),
        ("timeout = inf", "timeout is inf, expected a number of at least 0.1 and at most 86,400"),
        ("timeout = 1e9", "timeout is 1000000000.0, expected a number of at least 0.1 and at most 86,400"),
        ("retries = 1001", "retries is 1001, expected a whole number of at least 0 and at most 1,000"),
        ("cache-dir = ''", "cache-dir is '', expected a text that is not empty and has no NUL"),
        ('mirror = ["a\\u0000b"]', "mirror[0] is 'a\\x00b', expected a text that is not empty and has no NUL"),
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
    cli = locked(own_cli, server.url(FILE), **pins(content))
    for arguments in (("fetch",), ("build", "--output", "out")):
        message = refusal(cli(arguments[0], cli.folder / "tiny_nasnet.yaml", "--offline", *arguments[1:]))
        assert "--offline forbids a download" in message and "--mirror" in message
    assert server.asked == []
    fetch(cli)
    require_whole(cli, fetch(cli, "--offline"), content)


def test_a_source_that_cannot_be_asked_is_refused(own_cli: Command, server: FaultyServer) -> None:
    cli = locked(own_cli, server.url(FILE))
    message = refusal(fetch(cli, "--mirror", "gopher://user:secret@127.0.0.1/"))
    assert "expected an http, https or file URL" in message and "secret" not in message


def test_a_server_that_is_down_is_told_at_once(own_cli: Command, server: FaultyServer, content: bytes) -> None:
    server.server_close()
    cli = locked(own_cli, f"http://user:secret@127.0.0.1:{server.server_port}/{FILE}", **pins(content))
    result = fetch(cli)
    message = refusal(result)
    assert "Connection refused" in message and "--checkpoint" in message
    assert "secret" not in result.stderr and "trying again" not in result.stderr


def test_proxies_come_from_the_environment(own_cli: Command, server: FaultyServer, content: bytes) -> None:
    url = "http://checkpoints.invalid/" + FILE
    cli = locked(own_cli, url, **pins(content)).with_variables(http_proxy=server.url(""))
    require_whole(cli, fetch(cli), content)
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
        cli = locked(own_cli, secure.url(FILE), **pins(content))
        secure.script = []
        assert "certificate" in refusal(fetch(cli)).lower()
        cli = cli.with_variables(REQUESTS_CA_BUNDLE=str(bundle))
        secure.script = [faults.redirect(server.url(FILE))]
        message = refusal(fetch(cli))
        assert "which is not encrypted: refused" in message
        assert server.asked == []
        secure.script = [faults.redirect("/elsewhere")]
        require_whole(cli, fetch(cli), content)
    # The other way round is welcome.
    with serving(_https(authority, content)) as secure:
        cli = locked(Command(tmp_path / "other", cli.variables), server.url(FILE), **pins(content))
        server.script = [faults.redirect(secure.url(FILE))]
        require_whole(cli, fetch(cli), content)


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
def test_certificates_come_from_the_environment(
    own_cli: Command, authority: trustme.CA, content: bytes, tmp_path: Path, variable: str
) -> None:
    bundle = tmp_path / "ca.pem"
    with serving(_https(authority, content)) as secure:
        variables = {**dict.fromkeys(CERTIFICATES, ""), variable: str(bundle)}
        cli = locked(own_cli, secure.url(FILE), **pins(content)).with_variables(**variables)
        result = fetch(cli)
        message = refusal(result)
        assert f"{variable} names {bundle} (No such file or directory)" in message and "cache" not in message
        authority.cert_pem.write_to_path(str(bundle))
        require_whole(cli, fetch(cli), content)


def test_a_silent_mirror_costs_one_timeout(own_cli: Command, server: FaultyServer, content: bytes) -> None:
    cli = locked(own_cli, server.url(FILE), **pins(content))
    with faults.sending(b"") as mirror:
        mirror.stays_open = True
        began = time.monotonic()
        result = fetch(cli, "--mirror", mirror.url(), "--retries", 50)
        require_whole(cli, result, content)
        assert "sent nothing for 1.5 s" in result.stderr and len(mirror.asked) == 1
        assert time.monotonic() - began < 20


def test_a_proxy_that_refuses_is_named(own_cli: Command, content: bytes) -> None:
    with faults.sending(b"") as gone:
        pass
    cli = locked(own_cli, f"https://checkpoints.invalid/{FILE}", **pins(content))
    cli = cli.with_variables(https_proxy=f"http://user:s3cr3t-word@127.0.0.1:{gone.port}")
    result = fetch(cli)
    assert f"Connection refused, through the proxy http://127.0.0.1:{gone.port} of the environment" in refusal(result)
    assert "s3cr3t" not in result.stderr


def test_a_password_is_neither_shown_nor_kept(own_cli: Command, server: FaultyServer, content: bytes) -> None:
    cli = locked(own_cli, server.url(FILE), **pins(content))
    home = cli.folder / "home"
    home.mkdir(exist_ok=True)
    (home / ".netrc").write_text("machine 127.0.0.1 login n3trc-user password n3trc-word\n", encoding="utf-8")
    mirror = ("--mirror", server.url("deep/").replace("//", "//us3r:s3cr3t-word@"))
    server.script = [faults.cut(20000), faults.status(404), faults.status(404)]
    results = [cli("-v", "fetch", cli.folder / "tiny_nasnet.yaml", *IMPATIENT, *mirror) for _ in range(2)]
    refusal(results[0])
    require_whole(cli, results[1], content)
    results += [fetch(cli, *mirror, "--json"), cli("cache", "list"), cli("cache", "list", "--json")]
    secrets = ("us3r", "s3cr3t", "n3trc")
    assert not any(secret in result.stdout + result.stderr for secret in secrets for result in results)
    for folder in (cli.cache, cli.temporary, cli.cwd):
        for name in files_below(folder):
            path = folder / name
            held = name.encode() + (path.read_bytes() if path.is_file() else b"")
            assert not any(secret.encode() in held for secret in secrets), path
    assert [bool(request.headers.get("Authorization")) for request in server.asked] == [True, True, False, True]


def test_fetch_needs_to_know_what(own_cli: Command, tiny: Path) -> None:
    assert own_cli("fetch").returncode == 2
    assert own_cli("fetch", "nasnet_mobile", "--all").returncode == 2
    assert "has no published archive: pass its checkpoint to other commands" in refusal(own_cli("fetch", tiny), 2)
    assert "there is no model" in refusal(own_cli("fetch", "nasnet"), 2)
    assert "no published archive" in refusal(own_cli("build", tiny), 2)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="this system tells no process's peak memory")
def test_memory_stays_small(own_cli: Command, content: bytes) -> None:
    """A transfer of 300 MB of noise; the process stays under 100 MB."""
    noise = gzip.compress(os.urandom(2**20)) * 300
    with serving(FaultyServer(Served(noise))) as server:
        cli = locked(own_cli, server.url(FILE), **pins(noise))
        process = cli.start("fetch", cli.folder / "tiny_nasnet.yaml")
        peak = 0
        while process.poll() is None:
            peak = max(peak, peak_memory(process.pid))
            time.sleep(0.01)
        assert process.returncode == 0, process.communicate()
        assert 10e6 < peak < 100e6
