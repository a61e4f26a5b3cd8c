"""A release: made in one go and in parts, interrupted, damaged and mended, always with the same bytes."""

import contextlib
import json
import os
import py_compile
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner

from exporter.cli.main import main
from exporter.release import identity
from exporter.release.manifest import MANIFEST_FILE, Place, read_manifest
from tests.support import json_schema
from tests.support.command import CHECKOUT, Command, Result, artifact_folder, files_below, refusal, succeeded
from tests.support.order import one_in_make_test
from tests.support.small_release import HANDLES, SMALL, WHOLE, flip_a_bit, hashes, planned, states_of


def test_the_published_set_is_planned_without_network_or_checkpoints(own_cli: Command) -> None:
    plan = planned(own_cli, "--output", "nowhere")
    states = states_of(plan)
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


def test_a_plan_says_in_a_line_what_is_not_pinned(own_cli: Command) -> None:
    result = own_cli("release", "--plan", "--frozen")
    assert result.returncode == 1
    assert "26 missing" in result.stdout
    archives = "nasnet-a_large_04_10_2017, nasnet-a_mobile_04_10_2017, pnasnet-5_large_2017_12_13"
    said = [line for line in result.stderr.splitlines() if "error" in line]
    advice = "pin with `nasexport lock`, or leave --frozen out"
    assert said == [f"nasexport: error: not pinned: 3 archives ({archives}); {advice}"]
    assert "not pinned: 1 archive (" in own_cli("release", "--plan", "--frozen", "--models", "nasnet-mobile").stderr


def test_shards_are_a_partition(own_cli: Command) -> None:
    handles = [handle for number in range(1, 5) for handle in states_of(planned(own_cli, "--shard", f"{number}/4"))]
    assert len(handles) == len(set(handles)) == 26


def test_a_release_has_all_that_was_promised(released: tuple[Path, Result]) -> None:
    release, result = released
    assert sorted(read_manifest(release)) == HANDLES
    for handle in HANDLES:
        place = Place(handle)
        for path in (place.archive, place.page, place.page_html, place.report, place.record):
            assert (release / path).is_file(), path
        assert (release / place.folder / "saved_model.pb").is_file()
        assert f"ok    {handle}  " in result.stdout
    assert sorted(path.name for path in release.iterdir()) == WHOLE
    assert "8 made" in result.stdout
    for job in ("export", "reference", "probe"):
        for name in SMALL:
            assert f"largest {job} process of {name}: " in result.stdout
    # Lines of progress and what to type next, and nothing else.
    *lines, following = result.stderr.splitlines()
    assert all(line.startswith("release: ") for line in lines), result.stderr
    assert following.startswith("next: nasexport serve ")
    # Short names, so that a narrow terminal has room for what each job does.
    assert "release: small_nasnet classification/4: packing" in lines


def test_each_checkpoint_is_read_once(released: tuple[Path, Result]) -> None:
    lines = released[1].stderr.splitlines()
    for name in SMALL:
        assert lines.count(f"release: {name}: reading the checkpoint") == 1
        assert lines.count(f"release: {name}: computing the reference") == 1


@pytest.mark.long
def test_in_parts_and_elsewhere_it_has_the_same_bytes(
    cli: Command, released: tuple[Path, Result], parts: list[Path], tmp_path: Path
) -> None:
    """Other folders, another PYTHONHASHSEED, another order, other processes, one job and no memory."""
    joined = tmp_path / "joined"
    assert succeeded(cli("release", "merge", *parts, "--output", joined)).stdout == f"{joined}\n"
    assert hashes(joined) == hashes(released[0])
    # Empty folders are no files, but readers look for them.
    assert files_below(joined) == files_below(released[0])
    assert sorted(read_manifest(parts[0])) != HANDLES


@pytest.mark.long
def test_a_build_gives_the_same_artifact(
    own_cli: Command, inputs: list[object], released: tuple[Path, Result], tmp_path: Path
) -> None:
    config, checkpoint = inputs[1], str(inputs[3]).partition("=")[2]
    options = ("--task", "feature_vector", "--version", 5, "--checkpoint", checkpoint, "--output", tmp_path)
    succeeded(own_cli("build", config, *options))
    folder = artifact_folder(tmp_path, "small_nasnet", "feature_vector", 5)
    assert hashes(folder) == hashes(artifact_folder(released[0], "small_nasnet", "feature_vector", 5))


def test_manifest_and_records_fit_the_schema(released: tuple[Path, Result]) -> None:
    release = released[0]
    assert json_schema.problems(json.loads((release / MANIFEST_FILE).read_text()), "manifest") == []
    paths = sorted(release.glob("google/imagenet/*/*/*.json"))
    assert len(paths) == len(read_manifest(release))
    for path in paths:
        assert json_schema.problems(json.loads(path.read_text()), "record") == []


def test_what_is_sound_is_not_made_again(own_cli: Command, inputs: list[object], copied: Path) -> None:
    before = hashes(copied)
    times = {path: path.stat().st_mtime_ns for path in copied.rglob("*.tar.gz")}
    result = succeeded(own_cli("release", *inputs, "--output", copied, "--json"))
    assert {row["state"] for row in json.loads(result.stdout)["artifacts"]} == {"kept"}
    assert hashes(copied) == before
    assert {path: path.stat().st_mtime_ns for path in copied.rglob("*.tar.gz")} == times


@pytest.mark.long
def test_a_damaged_artifact_is_mended(
    own_cli: Command, inputs: list[object], copied: Path, released: tuple[Path, Result]
) -> None:
    for handle in ("google/imagenet/small_nasnet/classification/4", "google/imagenet/small_pnasnet/feature_vector/2"):
        flip_a_bit(copied / handle / "variables" / "variables.data-00000-of-00001")
    rows = json.loads(succeeded(own_cli("release", *inputs, "--output", copied, "--json")).stdout)["artifacts"]
    assert sorted(row["handle"] for row in rows if row["state"] == "made") == [
        "google/imagenet/small_nasnet/classification/4",
        "google/imagenet/small_pnasnet/feature_vector/2",
    ]
    assert hashes(copied) == hashes(released[0])


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


@pytest.mark.long
@pytest.mark.stops
@pytest.mark.parametrize("stop", STOPS)
def test_killed_at_any_moment_the_same_command_ends_the_same(
    own_cli: Command, inputs_of_one: list[object], released_of_one: Path, tmp_path: Path, stop: str
) -> None:
    release = tmp_path / "release"
    # The release's own process alone: its workers must end by themselves.
    begun = own_cli.with_forked_workers() if stop == "while one is packed" else own_cli
    with _begun(begun, lambda line: STOPS[stop] in line, "release", *inputs_of_one, "--output", release) as process:
        workers = psutil.Process(process.pid).children(recursive=True)
        assert workers or stop == "while one is packed"
        process.kill()
        process.wait()
        assert not psutil.wait_procs(workers, timeout=30)[1]
    assert not (release / MANIFEST_FILE).exists()
    message = refusal(own_cli("release", "verify", release, "--files-only"))
    assert "has no manifest.json" in message
    succeeded(own_cli("release", *inputs_of_one, "--output", release))
    assert hashes(release) == hashes(released_of_one)
    assert sorted(path.name for path in release.iterdir()) == WHOLE
    assert files_below(own_cli.temporary) == []


@pytest.mark.stops
@pytest.mark.parametrize("sign", one_in_make_test([signal.SIGINT, signal.SIGTERM]))
def test_a_polite_end_leaves_nothing_behind(
    own_cli: Command, inputs_of_one: list[object], tmp_path: Path, sign: signal.Signals
) -> None:
    release = tmp_path / "release"
    with _begun(
        own_cli, lambda line: "running the artifact" in line, "release", *inputs_of_one, "--output", release
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


#: Python that makes one artifact take long to be written.
SLOW_WRITER = """
import sys, time

if sys.argv[-1].endswith(":EXPORT") or "serve_forks" in "".join(sys.orig_argv):
    import exporter.artifact.saved_model as module

    write = module.Writer.write

    def slow(self, version, *args):
        if (self._task, version) == ("classification", 5):
            time.sleep(600)
        write(self, version, *args)

    module.Writer.write = slow
"""


@pytest.mark.long
@pytest.mark.stops
def test_one_that_fails_does_not_stop_the_others(
    own_cli: Command, inputs_of_one: list[object], released_of_one: Path, tmp_path: Path
) -> None:
    """The process that exports is killed while it writes one artifact."""
    release = tmp_path / "release"
    victim = release / ".partial" / "small_nasnet" / "classification-5"
    slow = own_cli.with_program_first(SLOW_WRITER, tmp_path)
    begun = _begun(
        slow, lambda line: "small_nasnet: writing classification version 5" in line, "release", *inputs_of_one,
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
    assert [line.split() for line in lines if line.startswith("FAIL")] == [["FAIL", failed, "failed"]]
    assert "the process for 'export' was killed by signal 9" in out
    assert "3 made, 1 failed" in out
    assert "has no manifest: artifacts FAILED" in lines[-1]
    assert not (release / MANIFEST_FILE).exists()
    assert states_of(planned(own_cli, *inputs_of_one, "--output", release)) == {
        handle: "missing" if handle == failed else "done" for handle in HANDLES if "/small_nasnet/" in handle
    }
    succeeded(own_cli("release", *inputs_of_one, "--output", release))
    assert hashes(release) == hashes(released_of_one)


@pytest.mark.long
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


def test_one_process_makes_a_release(own_cli: Command, inputs_of_one: list[object], tmp_path: Path) -> None:
    release = tmp_path / "release"
    begun = own_cli.with_forked_workers()
    with _begun(begun, lambda line: "reading the checkpoint" in line, "release", *inputs_of_one, "--output", release):
        assert "another nasexport is at work on" in refusal(own_cli("release", *inputs_of_one, "--output", release))


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


def test_what_python_compiles_is_no_part_of_the_code() -> None:
    """Of the same nasexport, the code is the same whatever Python it is installed for, and whatever was imported."""
    before = identity.files()
    modules = [path for path in before if path.suffix == ".py" and "data" in path.parts]
    assert modules
    for module in modules:
        py_compile.compile(str(module), doraise=True)
    assert identity.files() == before
    assert not [path for path in before if path.suffix == ".pyc"]


WRONG = {
    ("--shard", "3/2"): "expected I/N",
    ("--shard", "0/2"): "expected I/N",
    ("--shard", "half"): "expected I/N",
    ("--versions", "four"): "expected numbers",
    ("--memory", "lots"): "expected one such as 4G",
    ("--jobs", "0"): "not in the range",
    ("--base-url", ""): "'' is not an address: expected http:// or https://, a host and perhaps folders",
    ("--base-url", "models.example.org"): "is not an address",
    ("--base-url", "ftp://models.example.org"): "is not an address",
    ("--base-url", "https://models.example.org/a?b=c"): "is not an address",
    ("--base-url", "https://models.example.org/'"): "is not an address",
    ("--base-url", f"https://{'a' * 500}"): "is not an address",
    ("--checkpoint", "model.ckpt"): "expected MODEL=PATH",
    ("--checkpoint", "alexnet=model.ckpt"): "expected one of the models",
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
    # What both have failed of is said once.
    assert result.stdout.count("is not pinned") == 1
    assert "\n2 failed: " in result.stdout and "\n2 failed, " in result.stdout


@pytest.mark.long
def test_a_full_disk_leaves_nothing_that_looks_whole(
    own_cli: Command, inputs_of_one: list[object], released_of_one: Path, tmp_path: Path
) -> None:
    """There is room for the first artifacts, not for all."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4M", "none", disk], check=False)
    if mounted.returncode:
        pytest.skip("only root can make a small disk")
    try:
        result = own_cli("release", *inputs_of_one, "--output", disk / "release", "--jobs", 1)
        assert result.returncode == 1
        assert "Traceback" not in result.stderr
        assert "No space left on device" in result.stdout
        assert not (disk / "release" / MANIFEST_FILE).exists()
        states = states_of(planned(own_cli, *inputs_of_one, "--output", disk / "release"))
        assert set(states.values()) <= {"missing", "done"}
        assert "missing" in states.values()
        succeeded(
            subprocess.run(["mount", "-o", "remount,size=200M", disk], capture_output=True, text=True, check=False)
        )
        succeeded(own_cli("release", *inputs_of_one, "--output", disk / "release"))
        assert hashes(disk / "release") == hashes(released_of_one)
    finally:
        subprocess.run(["umount", disk], check=True)


def test_what_does_not_exist_is_told(own_cli: Command, tmp_path: Path) -> None:
    assert "no model that is to be released has a version 9" in refusal(own_cli("release", "--versions", 9), 2)
    assert "there is no model 'alexnet'" in refusal(own_cli("release", "--models", "alexnet"), 2)
    assert "has no manifest.json" in refusal(own_cli("release", "verify", tmp_path))
    assert "has no manifest.json" in refusal(own_cli("release", "merge", tmp_path, "--output", tmp_path / "x"))
    (tmp_path / "file").touch()
    assert "cannot write in" in refusal(own_cli("release", "--models", "nasnet_mobile", "--output", tmp_path / "file"))
    assert "is not pinned" in own_cli("release", "--frozen", "--models", "nasnet_mobile").stdout
