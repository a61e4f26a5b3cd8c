"""The package as users get it: installed from a wheel, outside of the checkout; and the pages that describe it."""

import compileall
import email.parser
import json
import os
import pkgutil
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml

from exporter.models.config import models
from exporter.release import identity
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
    assert {"exporter/checkpoints.lock", "exporter/py.typed", *data} <= names
    assert {"nasexport/__init__.py", "nasexport/py.typed", "nasexport/results/made.py"} <= names
    assert {f"exporter/data/statistics/bn_{name}.npz" for name in models()} <= names
    assert len([name for name in names if name.startswith("exporter/configs/references/")]) == len(models())
    assert not [name for name in names if name.startswith("tests/")]


def test_sdist_makes_the_same_wheel_and_holds_what_its_tests_read(installed: Path, tmp_path: Path) -> None:
    """All that is tracked is in it, and nothing else."""
    build = [sys.executable, "-m", "hatchling", "build", "--target"]
    subprocess.run([*build, "sdist", "--directory", tmp_path], cwd=CHECKOUT, check=True, capture_output=True)
    (sdist,) = tmp_path.glob("nasexport-*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    tree = tmp_path / sdist.name.removesuffix(".tar.gz")
    listed = subprocess.run(["git", "ls-files"], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    if listed.returncode == 0:  # a checkout, and no sdist itself
        held = {path.relative_to(tree).as_posix() for path in tree.rglob("*") if path.is_file()}
        assert set(listed.stdout.split()) - held == set()
    subprocess.run([*build, "wheel", "--directory", tmp_path], cwd=tree, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("nasexport-*.whl")
    with zipfile.ZipFile(wheel) as file:
        found = {name: file.read(name) for name in file.namelist() if not name.endswith("/")}
    assert found == {path.relative_to(installed).as_posix(): path.read_bytes() for path in _files(installed)}


def test_metadata_say_what_an_index_shows(installed: Path) -> None:
    (path,) = installed.glob("nasexport-*.dist-info/METADATA")
    facts = email.parser.Parser().parsestr(path.read_text(encoding="utf-8"))
    classifiers = facts.get_all("Classifier", [])
    minors = range(10, 14)
    assert facts["Requires-Python"] == "<3.14,>=3.10"
    assert {f"Programming Language :: Python :: 3.{minor}" for minor in minors} < set(classifiers)
    assert "Typing :: Typed" in classifiers
    assert str(facts.get_payload()).startswith("# nasexport\n")
    citation = yaml.safe_load((CHECKOUT / "CITATION.cff").read_text(encoding="utf-8"))
    assert (citation["title"], citation["version"]) == ("nasexport", facts["Version"])
    assert citation["license"] == facts["License-Expression"]
    assert f"\n## {facts['Version']}\n" in (CHECKOUT / "CHANGELOG.md").read_text(encoding="utf-8")


def _files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file()]


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


def test_an_installed_package_is_of_the_same_code(installed: Path, tmp_path: Path) -> None:
    """What one of them released, the other can check; pip compiles all modules of a package, those of its data too."""
    assert compileall.compile_dir(installed / "exporter" / "data", quiet=1)
    program = "import exporter; from exporter.release import identity; print(exporter.__file__, identity.code())"
    env = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, "-c", program]
    result = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=True)
    assert result.stdout.split() == [str(installed / "exporter" / "__init__.py"), identity.code()]


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


def test_readme_names_only_what_exists() -> None:
    text = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):.*##", (CHECKOUT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"(?:`|^)make ([a-z]+)\b", text, re.MULTILINE)) <= targets
    python = (CHECKOUT / "docs" / "reference" / "python.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:exporter|nasexport)\.(?!json)[\w.]+)", text + python)
    assert {"nasexport.errors", "nasexport.NasexportError"} <= set(named)
    for name in named:
        pkgutil.resolve_name(name)
    for name, config in models().items():
        assert f"| `{name}` | {config.image_size} x {config.image_size} |" in text


def test_demo_installs_nothing_for_development() -> None:
    """What else there is in it comes from the dependencies; and what follows finds it installed."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}

    def lines(target: str) -> list[str]:
        command = ["make", "--dry-run", "--always-make", target]
        made = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=True)
        return made.stdout.splitlines()

    installed = [line.split("--editable ")[1] for line in lines("demo") if "pip install" in line]
    assert installed == ["."]
    assert [line.split("--editable ")[1] for line in lines("docs") if "pip install" in line] == [".", "'.[dev]'"]
    assert "-m sphinx" in lines("docs")[-1]
