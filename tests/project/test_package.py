"""The package as users get it: installed from a wheel, outside of the checkout; and the pages that describe it."""

import json
import os
import pkgutil
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from exporter.models.config import models
from scripts.write_command_reference import PAGE, page
from tests.support.command import CHECKOUT


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with nothing but the unpacked wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", folder, CHECKOUT], check=True, capture_output=True)
    (wheel,) = folder.glob("nasexport-*.whl")
    target = folder / "site"
    with zipfile.ZipFile(wheel) as file:
        file.extractall(target)
    return target


def _run(installed: Path, cwd: Path, *args: object) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(installed), "NASEXPORT_CACHE_DIR": str(cwd / "cache")}
    return subprocess.run(
        [sys.executable, "-m", "exporter", *map(str, args)],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )


def test_wheel_holds_what_the_tool_reads(installed: Path) -> None:
    names = {path.relative_to(installed).as_posix() for path in installed.rglob("*") if path.is_file()}
    assert {f"exporter/configs/{name}.yaml" for name in models()} <= names
    data = {
        f"exporter/data/{name}" for name in ("ops_tensorflow_1.15.json", "class_names.txt", "page.html", "model_hub.md")
    }
    assert {"exporter/checkpoints.lock", *data} <= names
    assert {f"exporter/data/statistics/bn_{name}.npz" for name in models()} <= names
    assert len([name for name in names if name.startswith("exporter/configs/references/")]) == len(models())
    assert not [name for name in names if name.startswith("tests/")]


@pytest.mark.full
def test_wheel_works_where_the_checkout_is_not(installed: Path, tmp_path: Path) -> None:
    listed = _run(installed, tmp_path, "models", "--json")
    assert [row["name"] for row in json.loads(listed.stdout)] == list(models())

    made = _run(installed, tmp_path, "synth", "pnasnet_mobile", "--output", "model.ckpt")
    assert made.returncode == 0, made.stderr
    built = _run(
        installed, tmp_path, "build", "pnasnet_mobile", "--task", "feature_vector", "--checkpoint", "model.ckpt"
    )
    assert built.returncode == 0, built.stderr
    artifact = Path("dist/google/imagenet/pnasnet_mobile/feature_vector/4")
    assert built.stdout.split() == [str(artifact)]
    assert (tmp_path / artifact / "saved_model.pb").is_file()


def test_a_folder_named_exporter_in_the_way_changes_nothing(installed: Path, tmp_path: Path) -> None:
    """Workers are started from the user's folder, which may hold anything."""
    (tmp_path / "exporter").mkdir()
    (tmp_path / "exporter" / "__init__.py").write_text("raise SystemExit('the wrong package')")
    program = "import sys; sys.path.pop(0); from exporter.__main__ import run; run()"
    env = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, "-c", program, "inspect", str(tmp_path)]
    result = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "holds no saved_model.pb" in result.stderr


def test_page_of_commands_is_that_of_the_commands() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run scripts/write_command_reference.py"


def test_readme_names_only_what_exists() -> None:
    text = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):.*##", (CHECKOUT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"(?:`|^)make ([a-z]+)\b", text, re.MULTILINE)) <= targets
    python = (CHECKOUT / "docs" / "reference" / "python.md").read_text(encoding="utf-8")
    named = re.findall(r"`(exporter\.[\w.]+)`", text + python)
    assert "exporter.build.build" in named
    for name in named:
        pkgutil.resolve_name(name)
    for name, config in models().items():
        assert f"| `{name}` | {config.image_size} x {config.image_size} |" in text
