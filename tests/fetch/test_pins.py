"""What the lock file pins: written by ``nasexport lock``, and asked for by ``--frozen``."""

import gzip
import json
import shutil
from pathlib import Path

import pytest
import yaml

from exporter.checkpoint.names import MARKER
from tests.support import bundles
from tests.support.command import (
    CHECKOUT,
    Command,
    files_below,
    refusal,
    succeeded,
)
from tests.support.faulty_server import FaultyServer, Served
from tests.support.fetching import (
    ARCHIVE,
    FILE,
    OTHER,
    README,
    altered,
    fetch,
    locked,
    packed,
    pins,
    sha256,
)
from tests.support.fixtures import TINY


def test_frozen_refuses_what_is_not_pinned_or_different(
    own_cli: Command, server: FaultyServer, content: bytes, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    cli = locked(own_cli, server.url(FILE))
    message = refusal(fetch(cli, "--frozen"))
    assert "is not pinned" in message and "nasexport lock" in message
    assert server.asked == []

    cli = locked(own_cli, server.url(FILE), **pins(content))
    build = ("build", cli.folder / "tiny_pnasnet.yaml", "--frozen", "--output", "out")
    message = refusal(cli(*build))
    assert "lacks" in message and f"/{FILE}: the checkpoint" in message, "the pinned archive is taken"
    archive = tmp_path / "copy.tar.gz"
    archive.write_bytes(content)
    assert "lacks" in refusal(cli(*build, "--checkpoint", archive)), "and so is a copy of it"
    message = refusal(cli(*build, "--checkpoint", tiny_checkpoint))
    assert "--frozen refuses" in message and "nothing of such a file" in message

    succeeded(cli("lock", cli.folder / "tiny_nasnet.yaml", "--allow-synthetic"))
    assert "lacks" in refusal(cli(*build, "--checkpoint", tiny_checkpoint)), "its files are pinned now"
    other = tmp_path / "other"
    shutil.copytree(tiny_checkpoint.parent, other)
    data = next(other.glob("*.data-*"))
    data.write_bytes(altered(data.read_bytes()))
    message = refusal(cli(*build, "--checkpoint", other))
    assert sha256(data.read_bytes()) in message and sha256(altered(data.read_bytes())) in message

    without = cli.folder / "without.yaml"
    without.write_text(yaml.safe_dump(TINY), encoding="utf-8")
    message = refusal(cli("build", without, "--frozen", "--checkpoint", tiny_checkpoint), 2)
    assert "no published archive" in message


def test_lock_pins_what_was_fetched_and_checked(
    own_cli: Command, server: FaultyServer, content: bytes, tiny_checkpoint: Path
) -> None:
    cli = locked(own_cli, server.url(FILE))
    lock = cli.folder / "checkpoints.lock"
    rows = json.loads(succeeded(cli("lock", cli.folder / "tiny_nasnet.yaml", "--allow-synthetic", "--json")).stdout)
    files = {file.name: sha256(file.read_bytes()) for file in tiny_checkpoint.parent.iterdir()}
    files["README"] = sha256(README)
    assert [(row["size"], row["sha256"], row["files"]) for row in rows] == [(len(content), sha256(content), files)]
    assert [(row["lock_file"], row["synthetic"]) for row in rows] == [(str(lock), True)]
    text = lock.read_text(encoding="utf-8")
    assert text.startswith("# What the archives are.\n") and "# its home" in text and sha256(content) in text
    assert files_below(cli.folder).count("checkpoints.lock") == 1

    # Again: nothing to do, nothing changes. Frozen: fine.
    succeeded(cli("lock", cli.folder / "tiny_nasnet.yaml", "--allow-synthetic", "--frozen"))
    assert lock.read_text(encoding="utf-8") == text
    assert len(server.asked) == 1

    # Another file on the server: refused by the pin, taken by --update alone.
    other = gzip.compress(gzip.decompress(content), 1)
    server.served = Served(other)
    succeeded(cli("cache", "prune", "--all"))
    assert "it is not the published file" in refusal(cli("lock", cli.folder / "tiny_nasnet.yaml"))
    assert lock.read_text(encoding="utf-8") == text
    succeeded(cli("lock", cli.folder / "tiny_nasnet.yaml", "--update", "--allow-synthetic"))
    assert sha256(other) in lock.read_text(encoding="utf-8")
    assert sha256(content) not in lock.read_text(encoding="utf-8")


def test_a_lock_file_of_ones_own_begins_as_the_shipped_one(own_cli: Command, tmp_path: Path) -> None:
    lock = tmp_path / "mine.lock"
    refusal(own_cli("lock", "nasnet_mobile", "--lock-file", lock, "--offline"))
    shipped = CHECKOUT / "checkpoints.lock"
    assert lock.read_text(encoding="utf-8") == shipped.read_text(encoding="utf-8")


@pytest.mark.parametrize("marked", [True, False])
def test_a_synthetic_archive_is_not_pinned_as_the_published_one(
    own_cli: Command, tmp_path: Path, tiny_checkpoint: Path, marked: bool
) -> None:
    """Nor where somebody has taken the mark away: the values tell."""
    tensors = bundles.read(tiny_checkpoint)
    if not marked:
        del tensors[MARKER]
    bundles.write(tmp_path / "files" / "model.ckpt", tensors)
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    content = packed(sorted((tmp_path / "files").iterdir()), mirror)
    cli = locked(own_cli, "https://example.invalid/")
    lock, model = cli.folder / "checkpoints.lock", cli.folder / "tiny_nasnet.yaml"
    before = lock.read_bytes()
    options = ("--mirror", mirror, "--offline")
    message = refusal(cli("lock", model, *options))
    assert f"{FILE} is SYNTHETIC (" in message and "seed 0" in message and "--allow-synthetic" in message
    assert lock.read_bytes() == before

    # Unpinned, and pinned on demand: whoever looks is told.
    for _ in range(2):
        assert f"nasexport: {ARCHIVE} is SYNTHETIC" in succeeded(cli("fetch", model, *options)).stderr
        assert "MB, SYNTHETIC, " in succeeded(cli("cache", "list")).stdout
        models = succeeded(cli("models")).stdout
        assert models.count("SYNTHETIC") == 1 and f"{FILE}, SYNTHETIC: made-up weights" in models
        result = succeeded(cli("lock", model, "--allow-synthetic", *options))
        assert ", 3 files, SYNTHETIC, written to " in result.stdout and str(lock) in result.stdout
        assert "\nsynthetic = true\n" in lock.read_text(encoding="utf-8")

    # Also of a pin without that word, by the mark that the archive has.
    lock.write_text(lock.read_text(encoding="utf-8").replace("synthetic = true\n", ""), encoding="utf-8")
    succeeded(cli("cache", "prune", "--all"))
    fetched = succeeded(cli("fetch", model, *options, "--json"))
    assert [row["sha256"] for row in json.loads(fetched.stdout)] == [sha256(content)]
    assert [row["synthetic"] for row in json.loads(fetched.stdout)] == [marked]
    assert ("is SYNTHETIC" in fetched.stderr) == marked


def test_the_projects_lock_file_is_written_and_never_the_packages(
    own_cli: Command, tmp_path: Path, tiny_checkpoint: Path
) -> None:
    shipped = (CHECKOUT / "checkpoints.lock").read_bytes()
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    packed(sorted(tiny_checkpoint.parent.iterdir()), mirror)
    cli = locked(own_cli, "https://example.invalid/")
    plain = Command(cli.folder, {})
    command = ("lock", cli.folder / "tiny_nasnet.yaml", "--allow-synthetic", "--mirror", mirror, "--offline")
    lock, inner = plain.folder / "checkpoints.lock", plain.cwd / "deep"
    inner.mkdir()
    result = succeeded(plain(*command, cwd=inner))
    assert result.stdout.endswith(f", written to {lock}\n")
    assert "sha256 = " in lock.read_text(encoding="utf-8")

    lock.unlink()
    message = refusal(plain(*command, cwd=inner))
    assert "no checkpoints.lock in this folder or above it" in message and "--lock-file" in message
    assert (CHECKOUT / "checkpoints.lock").read_bytes() == shipped


def test_pinned_files_are_those_in_the_archive(own_cli: Command, server: FaultyServer, content: bytes) -> None:
    cli = locked(own_cli, server.url(FILE), **pins(content))
    lock = cli.folder / "checkpoints.lock"
    lock.write_text(lock.read_text() + f'files = {{"model.ckpt.index" = "{OTHER}"}}\n', encoding="utf-8")
    message = refusal(cli("build", cli.folder / "tiny_nasnet.yaml"))
    assert "sha256" in message and "README" in message
    assert files_below(cli.cwd) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", f"no archive '{ARCHIVE}'"),
        ("[checkpoint", "not valid TOML"),
        ("checkpoint = 7", "checkpoints.lock: checkpoint is 7, expected a mapping"),
        (f'checkpoint."{ARCHIVE}" = 7', f"checkpoints.lock: checkpoint.{ARCHIVE} is 7, expected a mapping with url"),
        (
            f'[checkpoint."{ARCHIVE}"]\nsize = 7',
            f"checkpoint.{ARCHIVE} lacks url, expected url, size, sha256, files, synthetic",
        ),
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
    cli = locked(own_cli, "http://127.0.0.1/")
    (cli.folder / "checkpoints.lock").write_text(text, encoding="utf-8")
    assert said in refusal(fetch(cli))
