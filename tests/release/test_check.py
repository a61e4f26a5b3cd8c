"""A release that is made: its sums, its archives and its provenance, and whatever is wrong with one."""

import hashlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from exporter.models.formats import HUB
from exporter.release import identity
from exporter.release.manifest import MANIFEST_FILE, Place, read_manifest
from tests.support.command import Command, Result, files_below, refusal, succeeded
from tests.support.forgery import edited, records_below, rehash
from tests.support.shared import Store
from tests.support.small_release import HANDLES, flip_a_bit, hashes, planned, with_other_identity


def test_sha256sum_takes_the_sums(released: tuple[Path, Result]) -> None:
    release, _ = released
    result = subprocess.run(
        ["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"],
        cwd=release,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stdout) == (0, "")
    listed = {line.split("  ", 1)[1] for line in (release / "SHA256SUMS").read_text().splitlines()}
    assert listed == set(hashes(release)) - {"SHA256SUMS"}


def test_archives_are_as_the_hub_served_them(released: tuple[Path, Result], tmp_path: Path) -> None:
    release, _ = released
    for handle in HANDLES:
        archive = release / Place(handle).archive
        folder = tmp_path / handle.replace("/", "-")
        folder.mkdir()
        done = subprocess.run(["tar", "-xzf", archive, "-C", folder], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert hashes(folder) == hashes(release / handle)
        assert files_below(folder) == files_below(release / handle)


def test_provenance_names_what_went_in(released: tuple[Path, Result], inputs: list[object]) -> None:
    statement = json.loads((released[0] / "provenance.json").read_text())
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
    subjects = {subject["name"]: subject["digest"]["sha256"] for subject in statement["subject"]}
    found = hashes(released[0])
    assert {*(f"{handle}.tar.gz" for handle in HANDLES), MANIFEST_FILE, "index.html"} <= set(subjects)
    assert subjects == {name: found[name] for name in set(found) - {"SHA256SUMS", "provenance.json"}}
    dependencies = statement["predicate"]["buildDefinition"]["resolvedDependencies"]
    archives = [Path(str(inputs[index]).partition("=")[2]) for index in (3, 7)]
    assert [(one["name"], one["digest"]["sha256"]) for one in dependencies if "name" in one] == [
        (archive.name, hashlib.sha256(archive.read_bytes()).hexdigest()) for archive in archives
    ]
    assert all(one["annotations"]["synthetic"] for one in dependencies if "name" in one)
    packages = identity.packages(HUB)
    assert f"pkg:pypi/tensorflow@{packages['tensorflow']}" in [one.get("uri") for one in dependencies]


def test_nothing_tells_of_time_place_or_machine(released: tuple[Path, Result], cli: Command, kept: Store) -> None:
    release, _ = released
    texts = [
        path for path in release.rglob("*") if path.suffix in (".json", ".md", ".html") or path.name == "SHA256SUMS"
    ]
    assert len(texts) > 40
    for path in texts:
        text = path.read_text(encoding="utf-8")
        assert str(kept.folder) not in text and str(cli.folder) not in text and str(Path.home()) not in text, path
        # It may have been made on another day.
        assert time.strftime("%Y-%m-%d", time.localtime(path.stat().st_mtime)) not in text, path


def _to_link(path: Path) -> None:
    """The same bytes, but elsewhere."""
    shutil.move(path, path.with_suffix(".moved"))
    path.symlink_to(path.with_suffix(".moved"))


def _failed(path: Path) -> None:
    with edited(path) as record:
        record["checks"][0].update(figure=1, passed=False)


def _with_other_words(path: Path) -> None:
    """A page that says something else, with its hash in the record."""
    path.write_text(path.read_text().replace("SYNTHETIC", "PUBLISHED"))
    with edited(path.with_suffix(".json")) as record:
        record["page"] |= {"size": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


DAMAGES: dict[str, tuple[str, Callable[[Path], object], str, str]] = {
    "a flipped bit in the weights": ("/variables/variables.data-00000-of-00001", flip_a_bit, "damaged", "has sha256"),
    "an archive cut short": (".tar.gz", lambda path: os.truncate(path, 1000), "damaged", "has 1,000 bytes, not"),
    "no page": (".md", Path.unlink, "damaged", "4.md is missing"),
    "another report": (".report.html", flip_a_bit, "damaged", "4.report.html has sha256"),
    "one file more": ("/extra", Path.touch, "damaged", "4/extra does not belong there"),
    "no record": (".json", Path.unlink, "missing", ""),
    "half a record": (".json", lambda path: os.truncate(path, 500), "damaged", "4.json is damaged"),
    "a record of another TensorFlow": (".json", with_other_identity, "stale", "other packages"),
    "a record of a failure": (
        ".json",
        _failed,
        "damaged",
        "TensorFlow 1.15' did not pass",
    ),
    "a page with other words": (".md", _with_other_words, "damaged", "4.md, line"),
    "a link in the place of a file": (".html", _to_link, "damaged", "4.html is a link"),
    "a link in the place of a folder": ("/variables", _to_link, "damaged", "4/variables is a link, expected a folder"),
    "no folder for assets": ("/assets", Path.rmdir, "damaged", "4/assets is missing, a folder"),
    "one empty folder more": ("/more", Path.mkdir, "damaged", "4/more does not belong there"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_not_sound_is_seen(own_cli: Command, inputs: list[object], copied: Path, damage: str) -> None:
    path, change, state, reason = DAMAGES[damage]
    handle = "google/imagenet/small_nasnet/classification/4"
    change(copied / f"{handle}{path}")
    plan = planned(own_cli, *inputs, "--output", copied)
    (row,) = (row for row in plan["artifacts"] if row["state"] != "done")
    assert (row["handle"], row["state"]) == (handle, state)
    assert reason in row["reason"]
    assert state != "stale" or row["reason"] == reason
    assert plan["matrix"] == {
        "include": [{"name": "small_nasnet-saved_model_2", "models": "small_nasnet", "versions": "4"}]
    }
    result = own_cli("release", "verify", copied, "--files-only")
    assert result.returncode == 1
    assert "FAIL" in result.stdout and handle in result.stdout
    assert "Traceback" not in result.stderr


FORGERIES: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "a file beside": ("google/imagenet/virus.exe", Path.touch, "virus.exe does not belong there"),
    "other sums": ("SHA256SUMS", flip_a_bit, "SHA256SUMS, line"),
    "no sums": ("SHA256SUMS", Path.unlink, "SHA256SUMS is missing"),
    "another index": ("index.html", flip_a_bit, "index.html, line"),
    "another provenance": ("provenance.json", flip_a_bit, "provenance.json"),
    "another subject": (
        "provenance.json",
        lambda path: path.write_text(path.read_text().replace('"name": "google', '"name": "elgoog', 1)),
        "provenance.json, line",
    ),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_what_does_not_fit_together_is_seen(own_cli: Command, copied: Path, forgery: str) -> None:
    name, change, told = FORGERIES[forgery]
    change(copied / name)
    result = own_cli("release", "verify", copied, "--files-only")
    assert result.returncode == 1
    assert told in result.stdout
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("path", ["../../outside", "/etc/passwd", "a\\b", "C:/x"])
def test_a_manifest_never_leads_out(own_cli: Command, copied: Path, path: str) -> None:
    manifest = json.loads((copied / MANIFEST_FILE).read_text())
    manifest["artifacts"][0]["files"][0]["path"] = path
    (copied / MANIFEST_FILE).write_text(json.dumps(manifest))
    message = refusal(own_cli("release", "verify", copied, "--files-only"))
    assert (
        f"manifest.json is damaged: artifacts[0].files[0].path is {path!r}, expected a path below the release"
        in message
    )


@pytest.mark.long
def test_a_release_is_verified_from_disk_to_logits(
    own_cli: Command, inputs: list[object], parts: list[Path], tmp_path: Path
) -> None:
    part = next(part for part in parts if "google/imagenet/small_nasnet/classification/4" in read_manifest(part))
    checkpoints = [inputs[index] for index in (2, 3, 6, 7)]
    result = succeeded(own_cli("release", "verify", part, *checkpoints, "--json"))
    facts = json.loads(result.stdout)
    assert facts["passed"]
    assert [report["path"] for report in facts["artifacts"]] == sorted(read_manifest(part))
    assert all(len(report["checks"]) > 20 for report in facts["artifacts"])
    # Without the checkpoint that it was made of, nobody can say.
    assert "was made from a synthetic checkpoint" in refusal(own_cli("release", "verify", part))
    # With other weights, it is wrong.
    other = tmp_path / "other.tar.gz"
    succeeded(own_cli("synth", inputs[1], "--seed", 1, "--output", other))
    name = "small_nasnet"
    checkpoints[1] = f"{name}={other}"
    result = own_cli("release", "verify", part, *checkpoints)
    assert result.returncode == 1
    assert "variables with other values" in result.stdout


def test_parts_that_contradict_each_other_are_not_joined(
    own_cli: Command, copied: Path, released: tuple[Path, Result], tmp_path: Path
) -> None:
    record = copied / "google/imagenet/small_nasnet/classification/4.json"
    with_other_identity(record)
    manifest = json.loads((copied / MANIFEST_FILE).read_text())
    changed = json.loads(record.read_text())
    manifest["artifacts"] = [changed if row["handle"] == changed["handle"] else row for row in manifest["artifacts"]]
    (copied / MANIFEST_FILE).write_text(json.dumps(manifest))
    message = refusal(own_cli("release", "merge", released[0], copied, "--output", tmp_path / "joined"))
    assert "different artifacts of google/imagenet/small_nasnet/classification/4" in message
    assert not (tmp_path / "joined").exists()


def test_the_same_part_twice_is_joined_once(
    own_cli: Command, copied: Path, released: tuple[Path, Result], tmp_path: Path
) -> None:
    succeeded(own_cli("release", "merge", released[0], copied, "--output", tmp_path / "joined"))
    assert hashes(tmp_path / "joined") == hashes(released[0])


def test_a_part_that_leads_elsewhere_is_not_joined(own_cli: Command, copied: Path, tmp_path: Path) -> None:
    _to_link(copied / "google/imagenet/small_pnasnet/classification/2/variables")
    message = refusal(own_cli("release", "merge", copied, "--output", tmp_path / "joined"))
    assert "2/variables is a link, expected a folder" in message
    assert not (tmp_path / "joined").exists()


@pytest.mark.parametrize("path", ["google", "google/imagenet", "google/imagenet/small_nasnet/classification/4"])
def test_no_folder_above_an_artifact_is_a_link(own_cli: Command, inputs: list[object], copied: Path, path: str) -> None:
    shutil.move(copied / path, copied.with_name("elsewhere"))
    (copied / path).symlink_to(copied.with_name("elsewhere"))
    result = own_cli("release", "verify", copied, "--files-only")
    assert result.returncode == 1
    assert f"{path} is a link, expected a folder" in result.stdout
    plan = planned(own_cli, *inputs, "--output", copied)
    assert {row["state"] for row in plan["artifacts"]} >= {"damaged"}


def test_a_release_of_other_code_is_not_called_wrong(own_cli: Command, copied: Path) -> None:
    """Its pages may well be those that its own nasexport gives: only that one can tell."""
    for path in records_below(copied):
        with edited(path) as record:
            record["inputs"]["code"] = "0" * 64
    rehash(copied)
    message = refusal(own_cli("release", "verify", copied, "--files-only"), 3)
    assert "was made by nasexport" in message and "with code 000000000000" in message
    # What is wrong with any release is told all the same.
    (copied / "more").touch()
    assert own_cli("release", "verify", copied, "--files-only").returncode == 1


def test_a_damaged_part_is_not_joined(own_cli: Command, copied: Path, tmp_path: Path) -> None:
    flip_a_bit(copied / "google/imagenet/small_pnasnet/classification/2.tar.gz")
    message = refusal(own_cli("release", "merge", copied, "--output", tmp_path / "joined"))
    assert "2.tar.gz has sha256" in message and "make that part again" in message
    assert not (tmp_path / "joined").exists()
