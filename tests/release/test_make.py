"""A release: made in one go and in parts, interrupted, damaged and mended, always with the same bytes."""

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from click.testing import CliRunner

from exporter.cli.main import main
from exporter.release import identity
from exporter.release.manifest import MANIFEST_FILE, Place, read_manifest
from tests.support import json_schema
from tests.support.command import CHECKOUT, Command, Result, artifact_folder, files_below, refusal, succeeded
from tests.support.fixtures import TINY

#: Two networks of one cell: both families and formats, versions that share graphs, and little to compute.
SMALL: dict[str, dict[str, Any]] = {
    "small_nasnet": {"family": "nasnet", "versions": {4: "saved_model_2", 5: "saved_model_2"}},
    "small_pnasnet": {"family": "pnasnet", "versions": {1: "hub", 2: "hub"}},
}
HANDLES = sorted(
    f"google/imagenet/{name}/{task}/{version}"
    for name, fields in SMALL.items()
    for task in ("classification", "feature_vector")
    for version in fields["versions"]
)
WHOLE = ["SHA256SUMS", "google", "index.html", "manifest.json", "provenance.json"]


@pytest.fixture(scope="session")
def inputs(cli: Command, tmp_path_factory: pytest.TempPathFactory) -> list[object]:
    """The options that name two small networks and their checkpoints."""
    folder = tmp_path_factory.mktemp("release_inputs")
    options: list[object] = []
    for name, fields in SMALL.items():
        config = folder / f"{name}.yaml"
        config.write_text(yaml.safe_dump({**TINY, "name": name, "num_cells": 1, "reductions": [], **fields}))
        archive = folder / f"{name}.tar.gz"
        succeeded(cli("synth", config, "--output", archive))
        options += ["--models", config, "--checkpoint", f"{name}={archive}"]
    return options


@pytest.fixture(scope="session")
def released(cli: Command, inputs: list[object], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """A release made in one go, and what the command printed. Nothing in it may be changed."""
    release = tmp_path_factory.mktemp("released") / "release"
    result = cli.with_variables(PYTHONHASHSEED="1")("release", *inputs, "--output", release)
    return release, succeeded(result)


@pytest.fixture(scope="session")
def parts(cli: Command, inputs: list[object], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The same release in two parts, each made by one process at a time, in another order."""
    folder = tmp_path_factory.mktemp("parts")
    made = []
    for number in (2, 1):
        made.append(folder / f"part {number}")
        command = ("release", *inputs, "--shard", f"{number}/2", "--jobs", 1, "--memory", "1M", "--output", made[-1])
        succeeded(cli.with_variables(PYTHONHASHSEED="2")(*command))
    return made


@pytest.fixture
def copied(released: tuple[Path, Result], tmp_path: Path) -> Path:
    """A copy of the release that a test may change."""
    return shutil.copytree(released[0], tmp_path / "copy")


def _hashes(release: Path) -> dict[str, str]:
    return {
        path.relative_to(release).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(release.rglob("*"))
        if path.is_file()
    }


def _plan(cli: Command, *args: object) -> dict[str, Any]:
    return json.loads(succeeded(cli("release", *args, "--plan", "--json")).stdout)


def _states(plan: dict[str, Any]) -> dict[str, str]:
    return {each["handle"]: each["state"] for each in plan["artifacts"]}


def test_the_published_set_is_planned_without_network_or_checkpoints(own_cli: Command) -> None:
    plan = _plan(own_cli, "--output", "nowhere")
    states = _states(plan)
    assert len(states) == 26
    assert set(states.values()) == {"missing"}
    versions = {
        "nasnet_mobile": {1, 3, 4, 5},
        "nasnet_large": {1, 3, 4, 5},
        "pnasnet_large": {1, 2, 3, 4, 5},
    }
    assert set(states) == {
        f"google/imagenet/{model}/{task}/{version}"
        for model, numbers in versions.items()
        for version in numbers
        for task in ("classification", "feature_vector")
    }
    jobs = plan["matrix"]["include"]
    assert {job["name"] for job in jobs} == {
        f"{model}-{format_}" for model in versions for format_ in ("hub", "saved_model_2")
    }
    assert len(jobs) == 6
    assert {job["models"]: job["versions"] for job in jobs if job["name"].endswith("hub")} == {
        "nasnet_mobile": "1,3",
        "nasnet_large": "1,3",
        "pnasnet_large": "1,2,3",
    }
    assert "26 missing" in succeeded(own_cli("release", "--plan")).stdout
    assert not (own_cli.cwd / "release").exists()


def test_shards_are_a_partition(own_cli: Command) -> None:
    handles = [handle for number in range(1, 5) for handle in _states(_plan(own_cli, "--shard", f"{number}/4"))]
    assert len(handles) == len(set(handles)) == 26


def test_a_release_has_all_that_was_promised(released: tuple[Path, Result]) -> None:
    release, result = released
    assert sorted(read_manifest(release)) == HANDLES
    for handle in HANDLES:
        place = Place(handle)
        for path in (place.archive, place.page, place.page_html, place.report, place.record):
            assert (release / path).is_file(), path
        assert (release / place.folder / "saved_model.pb").is_file()
        assert f"{handle}  " in result.stdout
    assert sorted(path.name for path in release.iterdir()) == WHOLE
    assert "8 made" in result.stdout
    for job in ("export", "reference", "probe"):
        for name in SMALL:
            assert f"largest {job} process of {name}: " in result.stdout
    # Lines of progress, and nothing else.
    assert all(line.startswith("release: ") for line in result.stderr.splitlines()), result.stderr


def test_each_checkpoint_is_read_once(released: tuple[Path, Result]) -> None:
    lines = released[1].stderr.splitlines()
    for name in SMALL:
        assert lines.count(f"release: {name}: reading the checkpoint") == 1
        assert lines.count(f"release: {name}: computing the reference") == 1


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
    assert listed == set(_hashes(release)) - {"SHA256SUMS"}


def test_archives_are_as_the_hub_served_them(released: tuple[Path, Result], tmp_path: Path) -> None:
    release, _ = released
    for handle in HANDLES:
        archive = release / Place(handle).archive
        folder = tmp_path / handle.replace("/", "-")
        folder.mkdir()
        done = subprocess.run(["tar", "-xzf", archive, "-C", folder], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert _hashes(folder) == _hashes(release / handle)
        assert files_below(folder) == files_below(release / handle)


def test_in_parts_and_elsewhere_it_has_the_same_bytes(
    cli: Command, released: tuple[Path, Result], parts: list[Path], tmp_path: Path
) -> None:
    """Other folders, another PYTHONHASHSEED, another order, other processes, one job and no memory."""
    joined = tmp_path / "joined"
    assert succeeded(cli("release", "merge", *parts, "--output", joined)).stdout == f"{joined}\n"
    assert _hashes(joined) == _hashes(released[0])
    # Empty folders are no files, but readers look for them.
    assert files_below(joined) == files_below(released[0])
    assert sorted(read_manifest(parts[0])) != HANDLES


def test_a_build_gives_the_same_artifact(
    own_cli: Command, inputs: list[object], released: tuple[Path, Result], tmp_path: Path
) -> None:
    config, checkpoint = inputs[1], str(inputs[3]).partition("=")[2]
    options = ("--task", "feature_vector", "--version", 5, "--checkpoint", checkpoint, "--output", tmp_path)
    succeeded(own_cli("build", config, *options))
    folder = artifact_folder(tmp_path, "small_nasnet", "feature_vector", 5)
    assert _hashes(folder) == _hashes(artifact_folder(released[0], "small_nasnet", "feature_vector", 5))


def test_manifest_and_records_fit_the_schema(released: tuple[Path, Result]) -> None:
    release = released[0]
    assert json_schema.problems(json.loads((release / MANIFEST_FILE).read_text()), "manifest") == []
    paths = sorted(release.glob("google/imagenet/*/*/*.json"))
    assert len(paths) == len(read_manifest(release))
    for path in paths:
        assert json_schema.problems(json.loads(path.read_text()), "record") == []


def test_what_is_sound_is_not_made_again(own_cli: Command, inputs: list[object], copied: Path) -> None:
    before = _hashes(copied)
    times = {path: path.stat().st_mtime_ns for path in copied.rglob("*.tar.gz")}
    result = succeeded(own_cli("release", *inputs, "--output", copied, "--json"))
    assert {row["state"] for row in json.loads(result.stdout)["artifacts"]} == {"kept"}
    assert _hashes(copied) == before
    assert {path: path.stat().st_mtime_ns for path in copied.rglob("*.tar.gz")} == times


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _other_identity(path: Path) -> None:
    record = json.loads(path.read_text())
    record["inputs"]["packages"]["tensorflow"] = "2.16.0"
    record["identity"] = identity.identity(record["inputs"])
    path.write_text(json.dumps(record))


def _to_link(path: Path) -> None:
    """The same bytes, but elsewhere."""
    shutil.move(path, path.with_suffix(".moved"))
    path.symlink_to(path.with_suffix(".moved"))


DAMAGES: dict[str, tuple[str, Callable[[Path], object], str, str]] = {
    "a flipped bit in the weights": ("/variables/variables.data-00000-of-00001", _flip, "damaged", "has sha256"),
    "an archive cut short": (".tar.gz", lambda path: os.truncate(path, 1000), "damaged", "has 1,000 bytes, not"),
    "no page": (".md", Path.unlink, "damaged", "4.md is missing"),
    "another report": (".report.html", _flip, "damaged", "4.report.html has sha256"),
    "one file more": ("/extra", Path.touch, "damaged", "4/extra does not belong there"),
    "no record": (".json", Path.unlink, "missing", ""),
    "half a record": (".json", lambda path: os.truncate(path, 500), "damaged", "4.json is damaged"),
    "a record of another TensorFlow": (".json", _other_identity, "stale", "other packages"),
    "a link in the place of a file": (".html", _to_link, "damaged", "4.html is missing"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_not_sound_is_seen(own_cli: Command, inputs: list[object], copied: Path, damage: str) -> None:
    path, change, state, reason = DAMAGES[damage]
    handle = "google/imagenet/small_nasnet/classification/4"
    change(copied / f"{handle}{path}")
    plan = _plan(own_cli, *inputs, "--output", copied)
    (row,) = (row for row in plan["artifacts"] if row["state"] != "done")
    assert (row["handle"], row["state"]) == (handle, state)
    assert reason in row["reason"]
    assert plan["matrix"] == {
        "include": [{"name": "small_nasnet-saved_model_2", "models": "small_nasnet", "versions": "4"}]
    }
    result = own_cli("release", "verify", copied, "--files-only")
    assert result.returncode == 1
    assert "FAIL" in result.stdout and handle in result.stdout
    assert "Traceback" not in result.stderr


def test_a_damaged_artifact_is_mended(
    own_cli: Command, inputs: list[object], copied: Path, released: tuple[Path, Result]
) -> None:
    for handle in ("google/imagenet/small_nasnet/classification/4", "google/imagenet/small_pnasnet/feature_vector/2"):
        _flip(copied / handle / "variables" / "variables.data-00000-of-00001")
    rows = json.loads(succeeded(own_cli("release", *inputs, "--output", copied, "--json")).stdout)["artifacts"]
    assert sorted(row["handle"] for row in rows if row["state"] == "made") == [
        "google/imagenet/small_nasnet/classification/4",
        "google/imagenet/small_pnasnet/feature_vector/2",
    ]
    assert _hashes(copied) == _hashes(released[0])


@contextlib.contextmanager
def _begun(cli: Command, until: Callable[[str], bool], *args: object) -> Iterator[subprocess.Popen[str]]:
    """The command in the background, as far as the line that ``until`` waits for."""
    process = cli.start(*args, start_new_session=True)
    try:
        assert process.stderr
        for line in process.stderr:
            if until(line):
                break
        else:
            pytest.fail("it ended before it came so far")
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


STOPS = {
    "while artifacts are exported": "writing classification version 5",
    "while one is packed": ": packing",
}


@pytest.mark.stops
@pytest.mark.parametrize("stop", STOPS)
def test_killed_at_any_moment_the_same_command_ends_the_same(
    own_cli: Command, inputs: list[object], released: tuple[Path, Result], tmp_path: Path, stop: str
) -> None:
    release = tmp_path / "release"
    # The release's own process alone: its workers must end by themselves.
    with _begun(own_cli, lambda line: STOPS[stop] in line, "release", *inputs, "--output", release) as process:
        workers = psutil.Process(process.pid).children(recursive=True)
        assert workers or stop == "while one is packed"
        process.kill()
        process.wait()
        assert not psutil.wait_procs(workers, timeout=30)[1]
    assert not (release / MANIFEST_FILE).exists()
    message = refusal(own_cli("release", "verify", release, "--files-only"))
    assert "has no manifest.json" in message
    succeeded(own_cli("release", *inputs, "--output", release))
    assert _hashes(release) == _hashes(released[0])
    assert sorted(path.name for path in release.iterdir()) == WHOLE
    assert files_below(own_cli.temporary) == []


@pytest.mark.stops
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_a_polite_end_leaves_nothing_behind(
    own_cli: Command, inputs: list[object], tmp_path: Path, sign: signal.Signals
) -> None:
    release = tmp_path / "release"
    with _begun(
        own_cli, lambda line: "running the artifact" in line, "release", *inputs, "--output", release
    ) as process:
        workers = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(sign)
        err = process.communicate(timeout=60)[1]
        assert process.returncode not in (0, None)
        assert "Traceback" not in err
        assert not psutil.wait_procs(workers, timeout=30)[1]
    # Artifacts that were whole may stay; nothing else does.
    assert {path.name for path in release.iterdir()} <= {"google"}
    assert files_below(own_cli.temporary) == []


@pytest.mark.stops
def test_one_that_fails_does_not_stop_the_others(
    own_cli: Command, inputs: list[object], released: tuple[Path, Result], tmp_path: Path
) -> None:
    """The process that exports is killed while it writes one artifact."""
    release = tmp_path / "release"
    victim = release / ".partial" / "small_nasnet" / "classification-5"
    begun = _begun(
        own_cli, lambda line: "small_nasnet: writing classification version 5" in line, "release", *inputs,
        "--output", release, "--jobs", 1,
    )  # fmt: skip
    with begun as process:
        # Those that it was forked from have children.
        (exporting,) = [each for each in psutil.Process(process.pid).children(recursive=True) if not each.children()]
        exporting.kill()
        out = process.communicate(timeout=500)[0]
    assert process.returncode == 1
    assert not victim.exists()
    failed = "google/imagenet/small_nasnet/classification/5"
    lines = out.splitlines()
    assert [line.split() for line in lines if " failed" in line and line.startswith("google")] == [[failed, "failed"]]
    assert "the process for 'export' was killed by signal 9" in out
    assert "7 made, 1 failed" in out
    assert "has no manifest: artifacts FAILED" in lines[-1]
    assert not (release / MANIFEST_FILE).exists()
    assert _states(_plan(own_cli, *inputs, "--output", release)) == {
        handle: "missing" if handle == failed else "done" for handle in HANDLES
    }
    succeeded(own_cli("release", *inputs, "--output", release))
    assert _hashes(release) == _hashes(released[0])


def test_a_model_without_checkpoint_does_not_stop_the_others(
    own_cli: Command, inputs: list[object], tmp_path: Path
) -> None:
    config, checkpoint = inputs[1], inputs[3]
    options = ("--models", config, "--checkpoint", checkpoint, "--models", "nasnet_mobile", "--versions", 4)
    result = own_cli("release", *options, "--offline", "--output", tmp_path / "release", "--json")
    assert result.returncode == 1
    rows = {row["handle"]: row for row in json.loads(result.stdout)["artifacts"]}
    assert {handle.split("/")[2]: row["state"] for handle, row in rows.items()} == {
        "small_nasnet": "made",
        "nasnet_mobile": "failed",
    }
    assert "--offline forbids a download" in rows["google/imagenet/nasnet_mobile/classification/4"]["reason"]


def test_one_process_makes_a_release(own_cli: Command, inputs: list[object], tmp_path: Path) -> None:
    release = tmp_path / "release"
    with _begun(own_cli, lambda line: "reading the checkpoint" in line, "release", *inputs, "--output", release):
        assert "another nasexport is at work on" in refusal(own_cli("release", *inputs, "--output", release))


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
    _other_identity(record)
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
    assert _hashes(tmp_path / "joined") == _hashes(released[0])


def test_a_damaged_part_is_not_joined(own_cli: Command, copied: Path, tmp_path: Path) -> None:
    _flip(copied / "google/imagenet/small_pnasnet/classification/2.tar.gz")
    message = refusal(own_cli("release", "merge", copied, "--output", tmp_path / "joined"))
    assert "2.tar.gz has sha256" in message and "make that part again" in message
    assert not (tmp_path / "joined").exists()


FORGERIES: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "a file beside": ("google/imagenet/virus.exe", Path.touch, "virus.exe does not belong there"),
    "other sums": ("SHA256SUMS", _flip, "lines of SHA256SUMS"),
    "no sums": ("SHA256SUMS", Path.unlink, "SHA256SUMS cannot be read"),
    "another index": ("index.html", _flip, "lines of SHA256SUMS"),
    "another provenance": ("provenance.json", _flip, "provenance.json"),
    "another subject": (
        "provenance.json",
        lambda path: path.write_text(path.read_text().replace('"name": "google', '"name": "elgoog', 1)),
        "subjects of the provenance",
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


def test_provenance_names_what_went_in(released: tuple[Path, Result], inputs: list[object]) -> None:
    statement = json.loads((released[0] / "provenance.json").read_text())
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
    subjects = {subject["name"]: subject["digest"]["sha256"] for subject in statement["subject"]}
    hashes = _hashes(released[0])
    assert subjects == {name: hashes[name] for name in [*(f"{handle}.tar.gz" for handle in HANDLES), MANIFEST_FILE]}
    dependencies = statement["predicate"]["buildDefinition"]["resolvedDependencies"]
    archives = [Path(str(inputs[index]).partition("=")[2]) for index in (3, 7)]
    assert [(one["name"], one["digest"]["sha256"]) for one in dependencies if "name" in one] == [
        (archive.name, hashlib.sha256(archive.read_bytes()).hexdigest()) for archive in archives
    ]
    assert all(one["annotations"]["synthetic"] for one in dependencies if "name" in one)
    packages = identity.packages()
    assert f"pkg:pypi/tensorflow@{packages['tensorflow']}" in [one.get("uri") for one in dependencies]


def test_nothing_tells_of_time_place_or_machine(released: tuple[Path, Result], cli: Command) -> None:
    release, _ = released
    texts = [
        path for path in release.rglob("*") if path.suffix in (".json", ".md", ".html") or path.name == "SHA256SUMS"
    ]
    assert len(texts) > 40
    for path in texts:
        text = path.read_text(encoding="utf-8")
        assert str(release.parent) not in text and str(cli.folder) not in text and str(Path.home()) not in text, path
        assert time.strftime("%Y-%m-%d") not in text, path


def test_only_what_artifacts_come_out_of_is_their_code() -> None:
    package = CHECKOUT / "exporter"
    names = {path.relative_to(package).with_suffix("").as_posix() for path in identity.files()}
    assert {
        "graph/network",
        "graph/compatibility",
        "graph/canonical",
        "models/variables",
        "files/packing",
        "release/model_page",
        "report/page",
        "verification/checks",
        "data/ops_tensorflow_1.15",
        "data/statistics/bn_nasnet_mobile",
    } <= names
    assert not {name.split("/")[0] for name in names} & {"hosting", "cli", "fetch", "evaluation", "diff", "processes"}
    assert "release/make" not in names


WRONG = {
    ("--shard", "3/2"): "expected I/N",
    ("--shard", "0/2"): "expected I/N",
    ("--shard", "half"): "expected I/N",
    ("--versions", "four"): "expected numbers",
    ("--memory", "lots"): "expected one such as 4G",
    ("--jobs", "0"): "not in the range",
    ("--checkpoint", "model.ckpt"): "expected MODEL=PATH",
    ("--checkpoint", "alexnet=model.ckpt"): "none of the models",
}


@pytest.mark.parametrize("options", WRONG)
def test_wrong_usage_is_told(options: tuple[str, str]) -> None:
    result = CliRunner().invoke(main, ["release", "--plan", *options])
    assert result.exit_code == 2
    assert WRONG[options] in result.output


def test_the_users_file_counts(own_cli: Command, tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("frozen = true\n")
    frozen = own_cli.with_variables(NASEXPORT_CONFIG=str(path))
    result = frozen("release", "--models", "nasnet_mobile", "--versions", 4)
    assert result.returncode == 1
    assert result.stdout.count("is not pinned") == 2
    assert "2 failed" in result.stdout


def test_a_full_disk_leaves_nothing_that_looks_whole(
    own_cli: Command, inputs: list[object], released: tuple[Path, Result], tmp_path: Path
) -> None:
    """There is room for the first artifacts, not for all."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=10M", "none", disk], check=False)
    if mounted.returncode:
        pytest.skip("only root can make a small disk")
    try:
        result = own_cli("release", *inputs, "--output", disk / "release", "--jobs", 1)
        assert result.returncode == 1
        assert "Traceback" not in result.stderr
        assert "No space left on device" in result.stdout
        assert not (disk / "release" / MANIFEST_FILE).exists()
        states = _states(_plan(own_cli, *inputs, "--output", disk / "release"))
        assert set(states.values()) <= {"missing", "done"}
        assert "missing" in states.values()
        succeeded(
            subprocess.run(["mount", "-o", "remount,size=200M", disk], capture_output=True, text=True, check=False)
        )
        succeeded(own_cli("release", *inputs, "--output", disk / "release"))
        assert _hashes(disk / "release") == _hashes(released[0])
    finally:
        subprocess.run(["umount", disk], check=True)


def test_what_does_not_exist_is_told(own_cli: Command, tmp_path: Path) -> None:
    assert "no model that is to be released has a version 9" in refusal(own_cli("release", "--versions", 9))
    assert "there is no model 'alexnet'" in refusal(own_cli("release", "--models", "alexnet"))
    assert "has no manifest.json" in refusal(own_cli("release", "verify", tmp_path))
    assert "has no manifest.json" in refusal(own_cli("release", "merge", tmp_path, "--output", tmp_path / "x"))
    (tmp_path / "file").touch()
    assert "cannot write in" in refusal(own_cli("release", "--models", "nasnet_mobile", "--output", tmp_path / "file"))
    assert "is not pinned" in own_cli("release", "--frozen", "--models", "nasnet_mobile").stdout
