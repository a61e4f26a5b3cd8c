"""The table of formats: what its rows name is there, and a row is all that a format needs."""

import ast
import dataclasses
import importlib.util
import json
import pkgutil
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from exporter.errors import ConfigError
from exporter.models.config import ModelConfig, handle, resolve_version
from exporter.models.formats import FORMATS, HUB, SAVED_MODEL_1, SAVED_MODEL_2, FormatSpec, written
from exporter.resources import resource
from tests.support import made_up_format
from tests.support.command import Command, artifact_folder, files_below, refusal, succeeded
from tests.support.fixtures import TINY
from tests.support.packing import packed
from tests.support.pictures import picture
from tests.support.pictures import written as written_picture

_FOLDERS = ("artifact", "probe", "verification", "evaluation")


def _references(spec: FormatSpec) -> dict[str, str]:
    """What a row names as ``module:name``, by field."""
    fields = dataclasses.asdict(spec)
    return {name: value for name, value in fields.items() if isinstance(value, str) and ":" in value}


def _is_callable(reference: str, spec: FormatSpec) -> bool:
    """Whether it names a function or a class; its module is only read where a heavy package is not installed."""
    try:
        return callable(pkgutil.resolve_name(reference))
    except ModuleNotFoundError as error:
        if error.name not in (*spec.packages, *spec.running_packages):
            raise
    module, _, name = reference.partition(":")
    found = importlib.util.find_spec(module)
    assert found is not None and found.origin is not None
    body = ast.parse(Path(found.origin).read_text(encoding="utf-8")).body
    return any(isinstance(part, ast.FunctionDef | ast.ClassDef) and part.name == name for part in body)


@pytest.mark.parametrize("name", FORMATS)
def test_everything_that_a_row_names_is_there(name: str) -> None:
    spec = FORMATS[name]
    references = _references(spec)
    assert set(references) >= {"inspect", "probe", "compare", "guess_version", "load"}
    for reference in references.values():
        assert _is_callable(reference, spec), reference
    for template in filter(None, (spec.page, spec.example)):
        assert resource("data").joinpath(template).is_file(), template
    assert [row.number for row in spec.versions] == sorted({row.number for row in spec.versions})


@pytest.mark.parametrize("name", written())
def test_a_format_has_modules_of_one_name(name: str) -> None:
    spec = FORMATS[name]
    assert spec.name == name and spec.versions and spec.page and spec.example
    assert spec.writer is not None
    module = spec.writer.partition(":")[0].rpartition(".")[2]
    for folder in _FOLDERS:
        assert importlib.util.find_spec(f"exporter.{folder}.{module}")
    named = {reference.partition(":")[0] for reference in _references(spec).values()}
    assert named >= {f"exporter.{folder}.{module}" for folder in _FOLDERS}


def test_what_can_be_written_was_published_or_has_no_numbers_and_what_is_only_read_is_in_no_configuration() -> None:
    assert [name for name in written() if FORMATS[name].numbered] == ["hub", "saved_model_2"]
    assert [name for name in written() if not FORMATS[name].numbered] == ["onnx", "keras", "timm", "litert", "pytorch"]
    assert set(FORMATS) - set(written()) == {"saved_model_1"} and SAVED_MODEL_1.versions == ()
    with pytest.raises(ConfigError, match=r"versions\[1\] is .saved_model_1., expected .hub. or .saved_model_2."):
        ModelConfig.from_dict({**TINY, "versions": {1: "saved_model_1"}})


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"versions": {4: "onnx"}}, r"versions\[4\] is 'onnx', expected 'hub' or 'saved_model_2'"),
        ({"formats": ["hub"]}, r"'hub', expected 'onnx' or 'keras' or 'timm' or 'litert' or 'pytorch'"),
        ({"formats": ["onnx", "onnx"]}, "expected each once"),
    ],
)
def test_a_format_stands_where_its_versions_say(fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        ModelConfig.from_dict({**TINY, **fields})


def test_a_format_without_numbers_is_its_own_version() -> None:
    config = ModelConfig.from_dict(TINY)
    assert list(config.all_versions) == [1, 3, 4, 5, "onnx", "keras", "litert"]
    assert resolve_version(config, "onnx", None) == ("onnx", "onnx")
    assert handle(config, "classification", "onnx") == "google/imagenet/tiny_nasnet/classification/onnx"
    with pytest.raises(ConfigError, match="onnx has no version numbers: leave out --version"):
        resolve_version(config, "onnx", 4)
    without = ModelConfig.from_dict({**TINY, "formats": []})
    with pytest.raises(ConfigError, match=r"tiny_nasnet has no format onnx: it has versions 1 \(hub\)"):
        resolve_version(without, "onnx", None)


@pytest.mark.parametrize(
    ("spec", "number", "momentum", "settable", "serving"),
    [
        (HUB, 0, 0.9997, False, False),
        (HUB, 1, 0.9997, False, False),
        (HUB, 2, 0.9997, False, False),
        (HUB, 3, 0.99, True, False),
        (HUB, 9, 0.99, True, False),
        (SAVED_MODEL_2, 4, 0.99, True, False),
        (SAVED_MODEL_2, 5, 0.99, True, True),
        (SAVED_MODEL_2, 9, 0.99, True, True),
    ],
)
def test_a_version_has_what_the_last_row_up_to_it_has(
    spec: FormatSpec, number: int, momentum: float, settable: bool, serving: bool
) -> None:
    row = spec.version(number)
    assert (row.momentum, row.momentum_settable, row.serving) == (momentum, settable, serving)


def test_a_new_row_is_a_new_format_of_configurations(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {4: "saved_model_2", 7: made_up_format.NAME}
    with pytest.raises(ConfigError, match=r"versions\[7\] is "):
        ModelConfig.from_dict({**TINY, "versions": versions})
    monkeypatch.setitem(FORMATS, made_up_format.NAME, made_up_format.SPEC)
    config = ModelConfig.from_dict({**TINY, "versions": versions})
    assert resolve_version(config, made_up_format.NAME, None) == (7, made_up_format.NAME)
    assert config.format_spec(7) is made_up_format.SPEC
    assert config.version_spec(7).momentum == 0.5


@pytest.fixture
def extended(own_cli: Command, tmp_path: Path) -> Command:
    """A command that knows one format more."""
    return made_up_format.added(own_cli, tmp_path / "site")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The tiny NASNet with a version in the made-up format."""
    path = tmp_path / "tiny_nasnet.yaml"
    fields: dict[str, Any] = {**TINY, "versions": {**TINY["versions"], 7: made_up_format.NAME}}  # type: ignore[dict-item]
    path.write_text(yaml.safe_dump(fields), encoding="utf-8")
    return path


def test_a_new_format_is_offered(own_cli: Command, extended: Command) -> None:
    usual, more = (" ".join(succeeded(cli("build", "--help")).stdout.split()) for cli in (own_cli, extended))
    assert "[hub|saved_model_2|onnx|keras|timm|litert|pytorch] Artifact format. [default: saved_model_2]" in usual
    assert "[default: 4 for saved_model_2, 3 for hub]" in usual
    assert "[hub|saved_model_2|onnx|keras|timm|litert|pytorch|numpy_arrays] Artifact format. [default: saved" in more
    assert "[default: 4 for saved_model_2, 3 for hub, 7 for numpy_arrays]" in more


@pytest.mark.long
def test_a_row_is_all_that_a_format_needs(
    extended: Command, config: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    """It is built, verified, described, unpacked, and predicts; what is wrong with it is found."""
    given = ("--checkpoint", tiny_checkpoint)
    options = ("--format", made_up_format.NAME, "--task", "classification", "--output", tmp_path / "dist")
    folder = Path(succeeded(extended("build", config, *options, *given)).stdout.strip())
    assert folder == artifact_folder(tmp_path / "dist", "tiny_nasnet", "classification", 7)
    assert files_below(folder) == [made_up_format.FILE, "nasexport.json"]
    said = json.loads((folder / "nasexport.json").read_text())
    assert (said["format"], said["options"]) == (made_up_format.NAME, {"batch_norm_momentum": 0.5})
    assert all(check["passed"] for check in said["verification"]) and said["verification"]

    facts = json.loads(succeeded(extended("inspect", packed(folder, tmp_path / "7.tar.gz"), "--json")).stdout)
    assert facts["format"] == made_up_format.NAME and facts["variables"]["count"] == 214

    image = written_picture(tmp_path / "image.png", picture(0, 70, 200))
    found = json.loads(succeeded(extended("predict", folder, image, "--top", 1, "--json")).stdout)
    assert [best["index"] for best in found["images"][0]["classes"]] == [10]

    foreign = tmp_path / "foreign"
    shutil.copytree(folder, foreign)
    (foreign / "nasexport.json").unlink()
    wrong = tmp_path / "wrong"
    shutil.copytree(foreign, wrong)
    values = made_up_format.values(wrong)
    np.savez(wrong / made_up_format.FILE, **{**values, "conv0/weights": values["conv0/weights"] * 2})
    result = extended("verify", folder, foreign, wrong, "--model", config, *given, "--json")
    good, also_good, bad = json.loads(result.stdout)
    assert result.returncode == 1 and good["passed"] and also_good["passed"]
    failed = {check["name"]: check["detail"] for check in bad["checks"] if not check["passed"]}
    assert failed == {"variables with other values": "differs first in conv0/weights"}

    (tmp_path / "empty").mkdir()
    message = refusal(extended("inspect", tmp_path / "empty"))
    files = (
        "saved_model.pb",
        "model.onnx",
        "model.keras",
        "model.safetensors",
        "model.tflite",
        "model.pt2",
        "model.npz",
    )
    assert f"holds no {' or '.join(files)}" in message
