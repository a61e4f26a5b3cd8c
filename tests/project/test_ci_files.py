"""The files for CI and for containers: what they call exists, and their scripts do what they are for.

`make lint` has the linters of these files; what they cannot know is here.
"""

import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from exporter.models.config import models
from exporter.release import plan
from tests.support import environments
from tests.support.calls import calls, require_known
from tests.support.command import CHECKOUT, Result, files_below
from tests.support.releases import finish, write_release

WORKFLOWS = {path.stem: path for path in sorted((CHECKOUT / ".github" / "workflows").glob("*.yml"))}
SCRIPTS = CHECKOUT / ".ci"
DOCKERFILE = CHECKOUT / "Dockerfile"


def _jobs(workflow: str) -> dict[str, dict[str, Any]]:
    return yaml.safe_load(WORKFLOWS[workflow].read_text(encoding="utf-8"))["jobs"]


def _steps(workflow: str, job: str) -> list[dict[str, Any]]:
    return _jobs(workflow)[job]["steps"]


def _script(workflow: str, job: str, name: str) -> str:
    (step,) = [step for step in _steps(workflow, job) if step.get("name") == name]
    return step["run"]


def _runs() -> Iterator[tuple[str, str]]:
    """What each step's shell runs, with a name for it."""
    for workflow in WORKFLOWS:
        for job in _jobs(workflow):
            for step in _steps(workflow, job):
                if "run" in step:
                    yield f"{workflow}, {job}: {step.get('name', step['run'])}", step["run"]


@pytest.fixture
def runner(tmp_path: Path) -> Path:
    """A folder for PATH in which `nasexport` and `python` are those of this test."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, command in (("nasexport", f"{sys.executable} -m exporter"), ("python", sys.executable)):
        (folder / name).write_text(f'#!/bin/sh\nexec {command} "$@"\n', encoding="utf-8")
        (folder / name).chmod(0o755)
    return folder


def _bash(script: str, cwd: Path, runner: Path, **variables: object) -> Result:
    """Runs a step as a runner does."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("NASEXPORT_")}
    path = f"{runner}{os.pathsep}{os.environ['PATH']}"
    env = {**kept, "PATH": path, "PYTHONPATH": str(CHECKOUT), **{key: str(value) for key, value in variables.items()}}
    return subprocess.run(["bash", "-e", "-c", script], cwd=cwd, env=env, capture_output=True, text=True, check=False)


def _ci(script: str, *args: object, **variables: str) -> Result:
    return subprocess.run(
        [str(SCRIPTS / script), *map(str, args)],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """A release of two artifacts that are none, with a folder that is empty, as some have in SavedModels."""
    artifacts = []
    for number, name in enumerate(("nasnet_large/feature_vector/3", "pnasnet_large/classification/4")):
        artifact = tmp_path / "artifacts" / "google" / "imagenet" / name
        (artifact / "variables").mkdir(parents=True)
        (artifact / "assets").mkdir()
        (artifact / "saved_model.pb").write_bytes(b"graph" * number)
        (artifact / "variables" / "variables.index").write_bytes(b"index")
        artifacts.append(artifact)
    release = write_release(tmp_path / "release", artifacts)
    sums = release / "SHA256SUMS"
    assert "google/imagenet/nasnet_large/feature_vector/3.tar.gz" in sums.read_text(encoding="utf-8")
    return release


@pytest.mark.parametrize(("where", "script"), list(_runs()))
def test_steps_call_what_exists(where: str, script: str) -> None:
    for arguments in calls(script):
        require_known(arguments)
    for name in re.findall(r"(?<![\w/])\.ci/(\w+)", script):
        assert os.access(SCRIPTS / name, os.X_OK), where


def test_calls_are_found_and_held_against_the_commands() -> None:
    found = [tuple(arguments[:2]) for _, script in _runs() for arguments in calls(script)]
    assert {("release", "merge"), ("release", "verify"), ("fetch", "--frozen"), ("cache", "verify")} <= set(found)
    assert len(found) == sum(script.count("nasexport ") for _, script in _runs())
    for broken in (["release", "--plans"], ["release", "join"], ["release", "verify", "--models", "x"], ["fetchall"]):
        with pytest.raises((click.UsageError, AssertionError)):
            require_known(broken)


def test_every_job_ends_and_may_do_little() -> None:
    for workflow, path in WORKFLOWS.items():
        assert yaml.safe_load(path.read_text(encoding="utf-8"))["permissions"] == {"contents": "read"}
        for name, job in _jobs(workflow).items():
            assert job["timeout-minutes"] <= 360, name
            assert name == "publish" or "permissions" not in job, name
        assert "secrets." not in path.read_text(encoding="utf-8")


def test_tests_run_on_every_python_that_is_supported() -> None:
    jobs = _jobs("tests")["tests"]["strategy"]["matrix"]["include"]
    text = (CHECKOUT / "pyproject.toml").read_text(encoding="utf-8")
    first, last = map(int, re.findall(r'requires-python = ">=3\.(\d+),<3\.(\d+)"', text)[0])
    assert [job["python"] for job in jobs] == [f"3.{minor}" for minor in range(first, last)]
    (full,) = [job for job in jobs if job.get("readers")]
    needed = {reader.python for reader in environments.READERS}
    assert set(full["readers"].split()) == needed
    (setup,) = [step["with"] for step in _steps("tests", "tests") if step.get("if") and "setup-python" in step["uses"]]
    assert set(setup["python-version"].split()) == needed


def test_plan_of_the_release_workflow(tmp_path: Path, runner: Path) -> None:
    """The step itself, with nothing there: every artifact that was published, once."""
    output = tmp_path / "output"
    script = _script("release", "plan", "Plan")
    cache = tmp_path / "cache"
    result = _bash(script, tmp_path, runner, GITHUB_OUTPUT=output, MODELS="", VERSIONS="", NASEXPORT_CACHE_DIR=cache)
    assert result.returncode == 0, result.stderr
    found = dict(line.split("=", 1) for line in output.read_text(encoding="utf-8").splitlines())
    assert found["models"] == "nasnet_large nasnet_mobile pnasnet_large"
    entries = json.loads(found["matrix"])["include"]
    assert len(entries) == len({entry["name"] for entry in entries}) == 6

    # Actionlint cannot know what a matrix has that a job computes.
    text = WORKFLOWS["release"].read_text(encoding="utf-8")
    assert set(re.findall(r"matrix\.(\w+) ", text)) == set(entries[0])
    made = [
        (entry["models"], task, int(version))
        for entry in entries
        for task in ("classification", "feature_vector")
        for version in entry["versions"].split(",")
    ]
    targets = plan.targets([config for config in models().values() if config.published])
    assert sorted(made) == sorted((target.config.name, target.task, target.version) for target in targets)


def test_plan_of_a_few_models(tmp_path: Path, runner: Path) -> None:
    output = tmp_path / "output"
    variables = {"GITHUB_OUTPUT": output, "MODELS": "nasnet_mobile", "VERSIONS": "3,4"}
    result = _bash(_script("release", "plan", "Plan"), tmp_path, runner, **variables)
    assert result.returncode == 0, result.stderr
    assert re.findall(r"\{([^{}]*)\}", output.read_text(encoding="utf-8")) == [
        '"name": "nasnet_mobile-hub", "models": "nasnet_mobile", "versions": "3"',
        '"name": "nasnet_mobile-saved_model_2", "models": "nasnet_mobile", "versions": "4"',
    ]

    output.unlink()
    result = _bash(_script("release", "plan", "Plan"), tmp_path, runner, **{**variables, "MODELS": "nasnet_tiny"})
    assert result.returncode == 2
    assert not output.exists()


def test_release_stops_at_an_archive_that_is_not_pinned(tmp_path: Path, runner: Path) -> None:
    lock = tmp_path / "checkpoints.lock"
    lock.write_text('[checkpoint."nasnet-a_mobile_04_10_2017"]\nurl = "https://127.0.0.1:1/x.tar.gz"\n', "utf-8")
    variables = {"MODELS": "nasnet_mobile", "NASEXPORT_LOCK": lock, "NASEXPORT_CACHE_DIR": tmp_path / "cache"}
    result = _bash(_script("release", "plan", "Fetch the checkpoints"), tmp_path, runner, **variables)
    assert result.returncode == 1
    assert "is not pinned" in result.stderr
    assert result.stdout.startswith("::error file=checkpoints.lock::nasnet_mobile ")


@pytest.mark.parametrize(("tag", "status"), [("v{}", 0), ("v{}.1", 1)])
def test_tag_is_that_of_the_version(tag: str, status: int, tmp_path: Path, runner: Path) -> None:
    import exporter

    script = _script("release", "plan", "The tag is that of the version")
    result = _bash(script, tmp_path, runner, GITHUB_REF_NAME=tag.format(exporter.__version__))
    assert result.returncode == status, result.stderr


def test_unpacked_artifacts_are_taken_out_and_put_back(finished: Path) -> None:
    before = files_below(finished)
    assert _ci("unpacked", "remove", finished).returncode == 0
    left = files_below(finished)
    assert set(before) - set(left) == {path for path in before if re.search(r"/[0-9]+(/|$)", path)}
    assert _ci("unpacked", "restore", finished).returncode == 0
    assert files_below(finished) == before

    archive = next(finished.glob("google/imagenet/*/*/*.tar.gz"))
    archive.write_bytes(archive.read_bytes()[:100])
    _ci("unpacked", "remove", finished)
    assert _ci("unpacked", "restore", finished).returncode != 0


def test_what_is_no_release_is_left_alone(tmp_path: Path) -> None:
    result = _ci("unpacked", "remove", tmp_path)
    assert result.returncode == 1
    assert "has no archives" in result.stderr
    assert _ci("unpacked", "forget", tmp_path).returncode != 0
    assert _ci("unpacked").returncode == 2


@pytest.mark.parametrize("signatures", [[], ["provenance.dsse.json", "provenance.sigstore.json"]])
def test_files_of_a_github_release(finished: Path, tmp_path: Path, signatures: list[str]) -> None:
    """They have what the folder has, by the recipe of ``docs/how-to/ci.md``."""
    for name in signatures:
        (finished / name).write_text("{}")
    before = {path: (finished / path).read_bytes() for path in files_below(finished) if (finished / path).is_file()}
    _ci("unpacked", "remove", finished)
    assets = tmp_path / "assets"
    result = _ci("assets", finished, assets)
    assert result.returncode == 0, result.stderr
    archives = ["nasnet_large-feature_vector-3.tar.gz", "pnasnet_large-classification-4.tar.gz"]
    whole = ["SHA256SUMS", "imagenet_labels.txt", "index.html", "manifest.json", "provenance.json", *signatures]
    assert files_below(assets) == sorted([*archives, *whole, "archives.sha256", "pages.tar.gz"])
    lines = [f"{hashlib.sha256((assets / name).read_bytes()).hexdigest()}  {name}" for name in archives]
    assert (assets / "archives.sha256").read_text(encoding="utf-8").splitlines() == lines

    text = (CHECKOUT / "docs" / "how-to" / "ci.md").read_text(encoding="utf-8")
    (recipe,) = re.findall(r"```sh\n(sha256sum --check archives\.sha256\n.*?)```", text, re.DOTALL)
    restored = subprocess.run(["bash", "-e", "-c", recipe], cwd=assets, capture_output=True, text=True, check=False)
    assert restored.returncode == 0, restored.stderr
    release = assets / "release"
    after = {path: (release / path).read_bytes() for path in files_below(release) if (release / path).is_file()}
    assert after == before


def test_a_changed_archive_is_not_published(finished: Path, tmp_path: Path) -> None:
    archive = next(finished.glob("google/imagenet/*/*/*.tar.gz"))
    archive.write_bytes(archive.read_bytes() + b"\0")
    assert _ci("assets", finished, tmp_path / "assets").returncode != 0
    archive.unlink()
    assert _ci("assets", finished, tmp_path / "others").returncode != 0
    finish(finished, [])
    assert _ci("assets", finished, tmp_path / "more").returncode != 0


@pytest.mark.parametrize(
    ("said", "everything", "status"),
    [
        ("=== 3 passed, 1 skipped ===", "", 0),
        ("=== 3 passed ===", "3.7", 0),
        ("SKIPPED [1] tests/support/environments.py:122: NOT TESTED with TensorFlow 1.15.5\n=== 3 passed ===", "", 0),
        (
            "SKIPPED [1] tests/support/environments.py:122: NOT TESTED with TensorFlow 1.15.5\n=== 3 passed ===",
            "3.7",
            1,
        ),
        ("=== 3 skipped ===", "", 1),
    ],
)
def test_a_run_that_leaves_out_a_reader_fails(said: str, everything: str, status: int, tmp_path: Path) -> None:
    """`.ci/run`, with a `make` that only says what pytest would."""
    make = tmp_path / "make"
    make.write_text(f"#!/bin/sh\necho {shlex.quote(said)}\n", encoding="utf-8")
    make.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    result = _ci("run", PATH=path, NASEXPORT_TEST_ALL=everything)
    assert result.returncode == status, result.stderr


def test_what_the_dockerfile_copies_is_enough(tmp_path: Path) -> None:
    """The build's folder holds what is copied and nothing else; the wheel is that of the checkout."""
    allowed = {line[1:] for line in (CHECKOUT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied: set[str] = set()
    for line in DOCKERFILE.read_text(encoding="utf-8").splitlines():
        if line.startswith("COPY ") and "--from" not in line:
            *sources, _ = line.split()[1:]
            copied |= set(sources)
    assert copied == allowed
    for name in copied:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        if (CHECKOUT / name).is_dir():
            shutil.copytree(CHECKOUT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(CHECKOUT / name, tmp_path / name)
    found: list[dict[str, bytes]] = []
    for tree in (tmp_path, CHECKOUT):
        wheels = tmp_path / f"wheels-{len(found)}"
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
        subprocess.run([*command, "--wheel-dir", wheels, tree], check=True, capture_output=True)
        (wheel,) = wheels.glob("nasexport-*.whl")
        with zipfile.ZipFile(wheel) as file:
            found.append({name: file.read(name) for name in file.namelist() if "/RECORD" not in name})
    assert found[0] == found[1]


def test_forms_of_issues_can_be_shown() -> None:
    """A forge passes over one that lacks a field or has two of a name, without a word."""
    forms = sorted((CHECKOUT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
    assert len(forms) > 2
    for path in forms:
        form = yaml.safe_load(path.read_text(encoding="utf-8"))
        if path.name == "config.yml":
            continue
        assert form["name"] and form["description"], path
        ids = [item["id"] for item in form["body"]]
        assert len(ids) == len(set(ids)), path
        for item in form["body"]:
            assert item["type"] in ("textarea", "input", "dropdown", "checkboxes"), path
            assert item["attributes"]["label"], path
            if item["type"] == "dropdown":
                assert set(item["attributes"]["options"]) == set(models()), path
        for arguments in calls("\n".join(re.findall(r"`(nasexport [^`]+)`", path.read_text(encoding="utf-8")))):
            require_known([argument for argument in arguments if argument != "..."])
