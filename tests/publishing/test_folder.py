"""``release publish`` to a folder, the simplest of fsspec's stores: what is sent, in which order, and what never is."""

import errno
import hashlib
import os
import random
import shutil
from collections import Counter
from pathlib import Path

import fsspec
import pytest

from exporter.publishing import publish as publishing
from exporter.release.manifest import MANIFEST_FILE, SUMS_FILE, read_records
from tests.publishing.conftest import publish, published, size_of, states
from tests.support import file_operations
from tests.support.command import Command, Result, refusal, succeeded
from tests.support.disks import in_namespace
from tests.support.small_release import SMALL, flip_a_bit, hashes

#: How many moments a test kills a command at.
KILLS = int(os.environ.get("NASEXPORT_TEST_KILLS", "2"))


def test_all_of_a_release_arrives_and_is_sent_once(cli: Command, released_of_one: Path, tmp_path: Path) -> None:
    target = tmp_path / "srv" / "models"
    address = f"file://{target}"
    [plan] = published(cli, released_of_one, address, "--plan")
    assert states(plan) == {"new": size_of(released_of_one)}
    assert not target.exists(), "a plan writes nothing"

    text = succeeded(publish(cli, released_of_one, address)).stdout
    assert f"{size_of(released_of_one)} files sent and read back" in text
    assert hashes(target) == hashes(released_of_one)
    succeeded(cli("release", "verify", target, "--files-only"))

    times = {path: path.stat().st_mtime_ns for path in target.rglob("*") if path.is_file()}
    assert states(published(cli, released_of_one, str(target))[0]) == {"same": size_of(released_of_one)}
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_only_what_has_changed_is_sent(cli: Command, released_of_one: Path, tmp_path: Path) -> None:
    target = shutil.copytree(released_of_one, tmp_path / "target")
    archive = next(target.rglob("*.tar.gz"))
    flip_a_bit(archive)
    next(target.rglob("*.report.html")).unlink()
    (target / "robots.txt").write_text("of somebody else")
    (target / ".robots.txt.partial").write_text("of somebody else")
    [done] = published(cli, released_of_one, target)
    changed = {file["path"]: file["state"] for file in done["files"] if file["state"] not in ("same",)}
    assert sorted(changed.values()) == ["changed", "new"]
    assert changed[archive.relative_to(target).as_posix()] == "changed"
    for name in ("robots.txt", ".robots.txt.partial"):
        assert (target / name).read_text() == "of somebody else"
        (target / name).unlink()
    assert hashes(target) == hashes(released_of_one)


def test_what_the_release_no_longer_has_is_removed_by_name_alone(
    cli: Command, released: tuple[Path, Result], released_of_one: Path, tmp_path: Path
) -> None:
    target = shutil.copytree(released[0], tmp_path / "target")
    gone = sorted({record.handle for record in read_records(released[0])[1]} - _handles(released_of_one))
    text = succeeded(publish(cli, released_of_one, target, "--plan")).stdout
    assert " ".join(f"--remove {handle}" for handle in gone) in text

    succeeded(publish(cli, released_of_one, target))
    assert _handles(target) == _handles(released_of_one)
    assert all((target / f"{handle}.tar.gz").is_file() for handle in gone), "nothing is removed without being named"

    said = refusal(publish(cli, released_of_one, target, "--remove", "google/imagenet/none/classification/1"), 2)
    assert "no such artifact" in said
    kept = read_records(released_of_one)[1][0].handle
    assert "a part of this release" in refusal(publish(cli, released_of_one, target, "--remove", kept), 2)

    named = [option for handle in gone for option in ("--remove", handle)]
    text = succeeded(publish(cli, released_of_one, target, *named)).stdout
    assert "removed" in text
    assert hashes(target) == hashes(released_of_one)
    succeeded(cli("release", "verify", target, "--files-only"))


def test_each_model_in_a_folder_of_its_own(cli: Command, released: tuple[Path, Result], tmp_path: Path) -> None:
    targets = published(cli, released[0], tmp_path / "{model}")
    assert [target["target"] for target in targets] == [str(tmp_path / name) for name in SMALL]
    for name in SMALL:
        succeeded(cli("release", "verify", tmp_path / name, "--files-only"))
        assert all(f"/{name}/" in handle for handle in _handles(tmp_path / name))


def test_a_store_of_a_kind_that_nothing_is_known_of(released_of_one: Path) -> None:
    """The memory of fsspec, in this process: what is done there is what it has for all kinds of stores."""
    address = "memory://anywhere/models"
    files = fsspec.filesystem("memory")
    for expected in ({"new": size_of(released_of_one)}, {"same": size_of(released_of_one)}):
        with publishing.prepared(released_of_one, address) as [publication]:
            counts = Counter(file.state for file in publication.plan.files)
            publishing.carry_out([publication])
        assert counts == expected
    there = {path.removeprefix("/anywhere/models/"): files.cat(path) for path in files.find("/anywhere/models")}
    found = {path: hashlib.sha256(content).hexdigest() for path, content in there.items()}
    assert found == hashes(released_of_one)


def _handles(release: Path) -> set[str]:
    return {record.handle for record in read_records(release)[1]}


def test_a_release_that_is_not_sound_is_not_published(cli: Command, copied: Path, tmp_path: Path) -> None:
    archive = next(copied.rglob("*.tar.gz"))
    flip_a_bit(archive)
    said = refusal(publish(cli, copied, tmp_path / "target"), 1)
    assert "not sound, and was not published" in said and archive.name in said
    assert not (tmp_path / "target").exists()
    (copied / MANIFEST_FILE).unlink()
    assert "has no manifest.json" in refusal(publish(cli, copied, tmp_path / "target"), 1)


def test_a_signature_of_another_release_is_in_the_way(cli: Command, released_of_one: Path, tmp_path: Path) -> None:
    target = shutil.copytree(released_of_one, tmp_path / "target")
    (target / "provenance.dsse.json").write_text("{}")
    said = refusal(publish(cli, released_of_one, target))
    assert "signs another release" in said and "--remove provenance.dsse.json" in said
    succeeded(publish(cli, released_of_one, target, "--remove", "provenance.dsse.json"))
    assert hashes(target) == hashes(released_of_one)


@pytest.mark.stops
def test_a_kill_at_any_moment_leaves_no_manifest_that_promises_more_than_there_is(
    cli: Command, released_of_one: Path, tmp_path: Path
) -> None:
    moments = file_operations.count(cli, tmp_path, "release", "publish", released_of_one, tmp_path / "counted")
    assert moments > size_of(released_of_one)
    chosen = random.sample(range(1, moments), min(KILLS, moments - 1))
    for moment in chosen:
        target = tmp_path / f"target-{moment}"
        args = ("release", "publish", released_of_one, target)
        killed = file_operations.run(cli, file_operations.KILL, moment, tmp_path, *args)
        assert killed.returncode != 0
        whole = hashes(released_of_one)
        there = hashes(target) if target.exists() else {}
        for path, digest in there.items():
            # What is not yet whole has a name that begins with a dot.
            assert Path(path).name.startswith(".") or digest == whole[path], f"{path} after a kill at {moment}"
        if MANIFEST_FILE in there:
            assert whole.items() <= there.items()
        [done] = published(cli, released_of_one, target)
        assert states(done).get("same", 0) >= sum(not Path(path).name.startswith(".") for path in there)
        assert hashes(target) == whole


@pytest.mark.stops
def test_a_full_disk_is_told_and_the_same_command_continues(
    cli: Command, released_of_one: Path, tmp_path: Path
) -> None:
    target = tmp_path / "target"
    args = ("release", "publish", released_of_one, target)
    result = file_operations.run(cli, "ENOSPC", 40, tmp_path, *args)
    said = refusal(result, 3)
    assert "disk is full" in said and os.strerror(errno.ENOSPC) in said
    assert not (target / MANIFEST_FILE).exists()
    succeeded(cli(*args))
    assert hashes(target) == hashes(released_of_one)


def test_a_small_disk_that_fills_up(cli: Command, released_of_one: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    command = " ".join(map(str, cli.arguments("release", "publish", released_of_one, disk)))
    script = (
        f"mount -t tmpfs -o size=200k none {disk} && {command}; status=$?; find {disk} -name '*.partial'; exit $status"
    )
    result = in_namespace(cli, script)
    assert result.returncode == 3, result.stderr
    assert "disk is full" in result.stderr and "Traceback" not in result.stderr
    assert result.stdout == "", "what was half written is removed: it would keep the disk full"


def test_a_folder_that_cannot_be_written_is_named(cli: Command, released_of_one: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    said = refusal(publish(cli, released_of_one, tmp_path / "file"), 3)
    assert str(tmp_path / "file") in said
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_release_that_is_changed_meanwhile_gets_no_manifest(
    cli: Command, released_of_one: Path, tmp_path: Path
) -> None:
    release = shutil.copytree(released_of_one, tmp_path / "release")
    # The last file before the manifest, once the first has arrived: as if somebody made the release again.
    sums = release / SUMS_FILE
    program = (
        "import sys\n"
        "def hook(event, arguments):\n"
        f"    if event == 'os.rename' and str(arguments[1]).startswith({str(tmp_path / 'target')!r}):\n"
        f"        open({str(sums)!r}, 'w').close()\n"
        "sys.addaudithook(hook)\n"
    )
    changing = cli.with_program_first(program, tmp_path)
    said = refusal(publish(changing, release, tmp_path / "target"), 1)
    assert "was changed while it was published" in said and SUMS_FILE in said
    assert not (tmp_path / "target" / MANIFEST_FILE).exists()
