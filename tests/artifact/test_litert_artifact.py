"""The format ``litert`` through the commands: built in both precisions, verified, described, released, run alone."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from markdown_it import MarkdownIt

from exporter.artifact.options import Precision
from tests.support import pictures
from tests.support.command import Command, artifact_folder, files_below, refusal, succeeded
from tests.support.fixtures import TINY
from tests.support.packing import packed
from tests.support.pictures import picture, written
from tests.support.servers import serving
from tests.support.shared import Store

MODEL = "tiny_nasnet"
#: What a program of somebody else's does, in an interpreter that knows nothing of this package.
_PROGRAM = """
import json, sys
import numpy as np
from ai_edge_litert.interpreter import Interpreter
model = Interpreter(sys.argv[1], num_threads=1).get_signature_runner("serving_default")
images = np.random.default_rng(0).random((2, 64, 64, 3), np.float32)
print(json.dumps({name: list(value.shape) for name, value in model(inputs=images).items()}))
assert not {"exporter", "tensorflow"} & set(sys.modules)
"""


def _built(cli: Command, model: Path, checkpoint: Path, precision: Precision, output: Path) -> None:
    options = ("--format", "litert", "--precision", precision, "--checkpoint", checkpoint, "--output", output)
    succeeded(cli("build", model, *options))


@pytest.fixture(scope="module")
def artifact(cli: Command, tiny: Path, tiny_checkpoint: Path, kept: Store) -> Path:
    """The tiny NASNet in float32, built with verification."""
    made = kept.made("tiny_litert", lambda folder: _built(cli, tiny, tiny_checkpoint, "float32", folder), __file__)
    return artifact_folder(made, MODEL, "classification", "litert")


@pytest.fixture(scope="module")
def half(cli: Command, tiny: Path, tiny_checkpoint: Path, kept: Store) -> Path:
    """The same in float16."""
    made = kept.made("tiny_litert_half", lambda folder: _built(cli, tiny, tiny_checkpoint, "float16", folder), __file__)
    return artifact_folder(made, MODEL, "classification", "litert")


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_says_what_it_is_and_runs_without_us(artifact: Path, half: Path, precision: str) -> None:
    folder = {"float32": artifact, "float16": half}[precision]
    assert files_below(folder) == ["model.tflite", "nasexport.json", "preprocessing.json"]
    said = json.loads((folder / "nasexport.json").read_text(encoding="utf-8"))
    assert (said["format"], said["handle"]) == ("litert", f"google/imagenet/{MODEL}/classification/litert")
    assert said["options"] == {"batch_norm_momentum": None} | ({"precision": "float16"} if folder == half else {})
    tolerances = {check["name"]: check["tolerance"] for check in said["verification"] if check["passed"]}
    assert tolerances["output, relative difference"] == (1e-3 if folder == half else 1e-4)
    assert len(tolerances) == len(said["verification"]) == 7
    command = [sys.executable, "-I", "-c", _PROGRAM, str(folder / "model.tflite")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == {"logits": [2, 11]}


def test_a_packed_one_is_verified_and_described(
    own_cli: Command, tiny_checkpoint: Path, half: Path, tmp_path: Path
) -> None:
    archive = packed(half, tmp_path / "litert.tar.gz")
    (report,) = json.loads(succeeded(own_cli("verify", archive, "--checkpoint", tiny_checkpoint, "--json")).stdout)
    assert report["passed"]
    (detail,) = (each["detail"] for each in report["checks"] if each["name"] == "output, relative difference")
    assert re.search(r"from the weights as rounded; rounding them moves it by 0\.00\d", detail)
    shown = succeeded(own_cli("inspect", archive)).stdout
    assert "serving_default: inputs float32 [?, 64, 64, 3] -> logits float32 [?, 11]" in shown
    assert "LiteRT, with ADD, AVERAGE_POOL_2D" in shown and "DEQUANTIZE" in shown


def test_a_lone_file_of_others_is_judged_by_what_it_computes(
    own_cli: Command, tiny: Path, tiny_checkpoint: Path, artifact: Path, half: Path, tmp_path: Path
) -> None:
    files = [tmp_path / name for name in ("right.tflite", "half.tflite")]
    for folder, file in zip((artifact, half), files, strict=True):
        shutil.copyfile(folder / "model.tflite", file)
    result = own_cli("verify", *files, "--model", tiny, "--checkpoint", tiny_checkpoint, "--json")
    right, wrong = json.loads(result.stdout)
    assert result.returncode == 1 and right["passed"]
    failed = {check["name"] for check in wrong["checks"] if not check["passed"]}
    assert {"types of weights that differ", "output, relative difference"} <= failed


def test_is_kept_where_it_is_what_would_be_written_and_not_in_another_precision(
    own_cli: Command, tiny: Path, tiny_checkpoint: Path, artifact: Path
) -> None:
    target = artifact_folder(own_cli.cwd, MODEL, "classification", "litert")
    shutil.copytree(artifact, target)
    options = ("--format", "litert", "--task", "classification", "--no-verify", "--output", own_cli.cwd)
    again = succeeded(own_cli("build", tiny, *options, "--checkpoint", tiny_checkpoint))
    assert "kept, the same as would be written" in again.stderr
    other = own_cli("build", tiny, *options, "--precision", "float16", "--checkpoint", tiny_checkpoint)
    assert "float16" in refusal(other)


def test_predicts_what_a_saved_model_does(
    own_cli: Command, tiny_artifacts: Path, artifact: Path, tmp_path: Path
) -> None:
    image = written(tmp_path / "image.png", picture(0, 70, 200))
    folders = (artifact, artifact_folder(tiny_artifacts, MODEL, "classification", 4))
    found = [json.loads(succeeded(own_cli("predict", each, image, "--json")).stdout) for each in folders]
    classes, others = ([(each["index"], each["probability"]) for each in one["images"][0]["classes"]] for one in found)
    assert [index for index, _ in classes] == [index for index, _ in others]
    assert [share for _, share in classes] == pytest.approx([share for _, share in others], rel=1e-3)


def test_a_precision_that_a_format_does_not_have_is_refused(own_cli: Command) -> None:
    result = own_cli("build", "nasnet_mobile", "--precision", "float16")
    assert result.returncode == 2 and "--precision needs --format litert" in result.stderr


def test_a_missing_package_is_a_line_with_what_to_type(own_cli: Command, artifact: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text("import sys\nsys.modules['ai_edge_litert'] = None\n", encoding="utf-8")
    without = own_cli.with_variables(PYTHONPATH=f"{site}:{own_cli.env['PYTHONPATH']}")
    for command in (("build", "nasnet_mobile", "--format", "litert"), ("inspect", artifact)):
        result = without(*command)
        assert result.returncode == 3, command
        assert "the format litert needs ai-edge-litert: pip install 'nasexport[litert]'" in refusal(result)


@pytest.mark.parametrize("content", [b"", b"<html>", bytes(2000), b"\x1c\0\0\0TFL3" + bytes(40)])
def test_what_is_no_model_is_damaged(own_cli: Command, content: bytes) -> None:
    folder = own_cli.cwd / "litert"
    folder.mkdir()
    (folder / "model.tflite").write_bytes(content)
    assert "model.tflite" in refusal(own_cli("inspect", folder))


def test_the_programs_on_its_page_run_on_a_release_that_is_served(
    cli: Command, tiny: Path, tiny_checkpoint: Path, kept: Store, tmp_path: Path
) -> None:
    def make(folder: Path) -> None:
        given = ("--models", tiny, "--checkpoint", f"{MODEL}={tiny_checkpoint}", "--formats", "litert")
        succeeded(cli("release", *given, "--output", folder))

    release = kept.made("tiny_litert_release", make, __file__)
    succeeded(cli("release", "verify", release, "--files-only"))
    text = (release / f"google/imagenet/{MODEL}/classification/litert.md").read_text(encoding="utf-8")
    tokens = MarkdownIt("commonmark").parse(text)
    programs = [token.content for token in tokens if token.type == "fence" and token.info == "python"]
    assert len(programs) == 3
    pictures.written(tmp_path / "picture.jpg", pictures.picture(0), kind="JPEG")
    with serving(cli, release) as served:
        index = (release / "index.html").read_text(encoding="utf-8")
        (example,) = re.findall(r"<pre><code[^>]*>(.*?)</code></pre>", index, re.S)
        for program in ("\n".join(programs) + "\nassert logits.shape == (2, 11)", example.replace("&#34;", '"')):
            assert "http://127.0.0.1:8000" in program
            command = [sys.executable, "-I", "-c", program.replace("http://127.0.0.1:8000", served.url)]
            result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
            assert result.returncode == 0, result.stderr


@pytest.mark.full
def test_a_release_of_a_network_that_outweighs_its_graph_is_sound(own_cli: Command, tmp_path: Path) -> None:
    """As all published ones do: without its batch norms, the file is smaller than the values of the checkpoint."""
    config = tmp_path / "wide.yaml"
    config.write_text(yaml.safe_dump({**TINY, "num_conv_filters": 256, "stem_filters": 64}), encoding="utf-8")
    succeeded(own_cli("synth", config, "--output", "wide.tar.gz"))
    given = ("--models", config, "--checkpoint", f"{MODEL}=wide.tar.gz", "--formats", "litert")
    succeeded(own_cli("release", *given, "--output", "release"))
    facts = json.loads(succeeded(own_cli("models", config, "--json")).stdout)[0]
    for task, parameters in facts["parameters"].items():
        folder = own_cli.cwd / "release" / f"google/imagenet/{MODEL}/{task}/litert"
        assert sum(path.stat().st_size for path in folder.iterdir()) < 4 * parameters
    succeeded(own_cli("release", "verify", "release", "--files-only"))
