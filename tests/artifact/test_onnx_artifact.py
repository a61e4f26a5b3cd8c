"""The format ``onnx`` through the commands: built, verified, described, compared, released, and run without us."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from markdown_it import MarkdownIt

from tests.support import onnx_faults, pictures
from tests.support.command import Command, artifact_folder, files_below, refusal, succeeded
from tests.support.packing import packed
from tests.support.pictures import picture, written
from tests.support.servers import serving
from tests.support.shared import Store

MODEL, FILES = "tiny_nasnet", ["model.onnx", "nasexport.json"]
#: What a program of somebody else's does, in an interpreter that knows nothing of this package.
_PROGRAM = """
import json, sys
import numpy as np, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1])
images = np.random.default_rng(0).random((2, 64, 64, 3), np.float32)
outputs = session.run(None, {"inputs": images})
names = [output.name for output in session.get_outputs()]
print(json.dumps({name: list(value.shape) for name, value in zip(names, outputs)}))
assert not {"exporter", "tensorflow"} & set(sys.modules)
"""


@pytest.fixture(scope="module")
def output(cli: Command, tiny: Path, tiny_checkpoint: Path, kept: Store) -> Path:
    """The ``--output`` folder of the tiny NASNet, both tasks, built with verification."""

    def make(output: Path) -> None:
        succeeded(cli("build", tiny, "--format", "onnx", "--checkpoint", tiny_checkpoint, "--output", output))

    return kept.made("tiny_onnx", make, __file__)


@pytest.fixture(scope="module")
def artifact(output: Path) -> Path:
    return artifact_folder(output, MODEL, "classification", "onnx")


def _run(path: Path) -> dict[str, list[int]]:
    command = [sys.executable, "-I", "-c", _PROGRAM, str(path)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    shapes: dict[str, list[int]] = json.loads(result.stdout)
    return shapes


def test_is_one_file_that_says_what_it_is(output: Path, artifact: Path) -> None:
    for task in ("classification", "feature_vector"):
        folder = artifact_folder(output, MODEL, task, "onnx")
        assert files_below(folder) == FILES
        said = json.loads((folder / "nasexport.json").read_text(encoding="utf-8"))
        assert (said["format"], said["version"], said["task"]) == ("onnx", "onnx", task)
        assert said["handle"] == f"google/imagenet/{MODEL}/{task}/onnx"
        assert said["options"] == {"batch_norm_momentum": None}
        assert said["verification"] and all(check["passed"] for check in said["verification"])
    assert _run(artifact / "model.onnx") == {"logits": [2, 11]}


def test_is_kept_where_it_is_what_would_be_written(
    own_cli: Command, tiny: Path, tiny_checkpoint: Path, artifact: Path
) -> None:
    target = artifact_folder(own_cli.cwd, MODEL, "classification", "onnx")
    shutil.copytree(artifact, target)
    options = ("--format", "onnx", "--task", "classification", "--no-verify", "--output", own_cli.cwd)
    again = succeeded(own_cli("build", tiny, *options, "--checkpoint", tiny_checkpoint))
    assert "kept, the same as would be written" in again.stderr
    (target / "model.onnx").write_bytes((target / "model.onnx").read_bytes() + b"\0")
    assert "another content of model.onnx" in refusal(own_cli("build", tiny, *options, "--checkpoint", tiny_checkpoint))


def test_end_points_are_outputs_where_that_is_asked_for(
    own_cli: Command, tiny: Path, tiny_checkpoint: Path, artifact: Path
) -> None:
    options = ("--format", "onnx", "--task", "classification", "--end-points", "--output", own_cli.cwd)
    built = succeeded(own_cli("build", tiny, *options, "--checkpoint", tiny_checkpoint))
    folder = Path(built.stdout.strip())
    said = json.loads((folder / "nasexport.json").read_text(encoding="utf-8"))
    assert said["options"] == {"batch_norm_momentum": None, "end_points": True}
    assert all(check["passed"] for check in said["verification"]) and said["verification"]
    shapes = _run(folder / "model.onnx")
    assert list(shapes)[:2] == ["logits", "Stem"] and shapes["Stem"][:3] == [2, 8, 8]
    assert set(shapes) == {"logits", "Stem", "Cell_0", "global_pool", "Predictions"}


def test_a_packed_one_is_verified_and_described(
    own_cli: Command, tiny_checkpoint: Path, artifact: Path, tmp_path: Path
) -> None:
    archive = packed(artifact, tmp_path / "onnx.tar.gz")
    (report,) = json.loads(succeeded(own_cli("verify", archive, "--checkpoint", tiny_checkpoint, "--json")).stdout)
    assert report["passed"] and report["path"] == str(archive)
    shown = succeeded(own_cli("inspect", archive)).stdout
    assert "format       onnx, google/imagenet/tiny_nasnet/classification/onnx" in shown
    assert "graph: inputs float32 [?, 64, 64, 3] -> logits float32 [?, 11]" in shown
    assert "runtimes of ONNX with IR version 8 and opset 17" in shown
    facts = json.loads(succeeded(own_cli("inspect", archive, "--json")).stdout)
    assert (facts["variables"]["count"], facts["image_size"]) == (214, 64)
    assert all(variable["trainable"] is None for variable in facts["variables"]["list"])


def test_has_the_values_and_the_classes_of_a_saved_model(
    own_cli: Command, tiny_artifacts: Path, artifact: Path, tmp_path: Path
) -> None:
    other = artifact_folder(tiny_artifacts, MODEL, "classification", 4)
    difference = json.loads(succeeded(own_cli("diff", other, artifact, "--only", "variables", "--json")).stdout)
    names = {comparison["name"] for comparison in difference["comparisons"]}
    assert names == {"variables by name", "shapes and types of variables", "values of variables"}
    image = written(tmp_path / "image.png", picture(0, 70, 200))
    found = [json.loads(succeeded(own_cli("predict", each, image, "--json")).stdout) for each in (other, artifact)]
    ranked = [[best["index"] for best in each["images"][0]["classes"]] for each in found]
    assert ranked[0] == ranked[1]


@pytest.mark.full
def test_does_what_a_saved_model_does(own_cli: Command, mobile_checkpoint: Path, mobile_artifacts: Path) -> None:
    """Both tasks of nasnet_mobile, from its archive."""
    options = ("--format", "onnx", "--checkpoint", mobile_checkpoint, "--output", own_cli.cwd)
    folders = [Path(line) for line in succeeded(own_cli("build", "nasnet_mobile", *options)).stdout.splitlines()]
    other = artifact_folder(mobile_artifacts, "nasnet_mobile", "classification", 4)
    result = own_cli("diff", other, folders[0], "--only", "variables,outputs,momentum", "--json")
    assert result.returncode == 0, result.stdout
    difference = json.loads(result.stdout)
    names = {comparison["name"] for comparison in difference["comparisons"]}
    assert {"values of variables", "output", "output for one image", "end points"} <= names
    assert difference["notes"] == ["artifacts of format onnx are not trained: momentum was not compared"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--format", "onnx", "--version", 4), "onnx has no version numbers: leave out --version"),
        (("--format", "onnx", "--batch-norm-momentum", 0.9), "onnx is not trained: leave out --batch-norm-momentum"),
        (("--end-points",), "--end-points needs --format onnx"),
    ],
)
def test_an_option_that_a_format_does_not_have_is_refused(
    own_cli: Command, options: tuple[object, ...], expected: str
) -> None:
    result = own_cli("build", "nasnet_mobile", *options)
    assert result.returncode == 2 and expected in result.stderr and not result.stdout


def test_a_missing_package_is_a_line_with_what_to_type(own_cli: Command, artifact: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text("import sys\nsys.modules['onnx'] = None\n", encoding="utf-8")
    without = own_cli.with_variables(PYTHONPATH=f"{site}:{own_cli.env['PYTHONPATH']}")
    commands = (
        ("build", "nasnet_mobile", "--format", "onnx"),
        ("verify", artifact, "--checkpoint", tmp_path),
        ("inspect", artifact),
        ("release", "--formats", "onnx", "--plan"),
    )
    for command in commands:
        result = without(*command)
        assert result.returncode == 3, command
        assert "the format onnx needs onnx: pip install 'nasexport[onnx]'" in refusal(result)


def _foreign(path: Path, artifact: Path, edit: onnx_faults.Edit | None = None) -> Path:
    """The same network as a lone file in which nothing has our names, or says what it is."""
    model = onnx.load_model(artifact / "model.onnx")
    if edit:
        edit(model)
    del model.metadata_props[:]
    names: dict[str, str] = {"inputs": "input_1"}
    for node in model.graph.node:
        for name in (*node.input, *node.output):
            names.setdefault(name, f"t{len(names)}")
        node.name = f"n{len(names)}"
        node.input[:], node.output[:] = ([names[name] for name in side] for side in (node.input, node.output))
    for value in (*model.graph.initializer, *model.graph.input, *model.graph.output):
        value.name = names[value.name]
    onnx.save_model(model, path)
    return path


def test_a_lone_file_of_others_is_judged_by_what_it_computes(
    own_cli: Command, tiny: Path, tiny_checkpoint: Path, artifact: Path, tmp_path: Path
) -> None:
    counted = onnx_faults.attribute("AveragePool", "count_include_pad", lambda _: 1)
    files = [
        _foreign(tmp_path / "right.onnx", artifact),
        _foreign(tmp_path / "counted.onnx", artifact, counted),
        _foreign(tmp_path / "late.onnx", artifact, onnx_faults.operator("cell_0/cell_output/Relu", "Identity")),
    ]
    result = own_cli("verify", *files, "--model", tiny, "--checkpoint", tiny_checkpoint, "--json")
    right, *wrong = json.loads(result.stdout)
    assert result.returncode == 1 and right["passed"] and right["path"] == str(files[0])
    details = {check["name"]: check["detail"] for check in right["checks"]}
    assert details["end points, relative difference"].startswith("2 of 4 found")
    assert details["poolings unlike TensorFlow's SAME"].endswith("of its poolings")
    for report, begins in zip(wrong, ("Stem", "global_pool"), strict=True):
        failed = {check["name"]: check["detail"] for check in report["checks"] if not check["passed"]}
        assert "output, relative difference" in failed
        pooling = failed.get("poolings unlike TensorFlow's SAME", "")
        assert re.search(r"first: n\d+, off by 0\.\d+ of" if begins == "Stem" else "^$", pooling)
        assert begins == "global_pool" or failed["end points, relative difference"].endswith(f"end point: {begins}")
    refused = own_cli("verify", files[0], "--checkpoint", tiny_checkpoint)
    assert "say with --model what it should be" in refusal(refused) and str(files[0]) in refused.stderr


def _damaged(content: bytes) -> dict[str, bytes]:
    return {"empty": b"", "text": b"<html>", "cut off": content[:1000], "zeros": bytes(2000)}


@pytest.mark.parametrize("kind", _damaged(b""))
def test_what_is_no_model_is_damaged(own_cli: Command, artifact: Path, kind: str) -> None:
    folder = own_cli.cwd / "onnx"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(_damaged((artifact / "model.onnx").read_bytes())[kind])
    assert "model.onnx is damaged" in refusal(own_cli("inspect", folder))


@pytest.fixture(scope="module")
def release(cli: Command, tiny: Path, tiny_checkpoint: Path, kept: Store) -> Path:
    def make(folder: Path) -> None:
        given = ("--models", tiny, "--checkpoint", f"{MODEL}={tiny_checkpoint}", "--formats", "onnx")
        succeeded(cli("release", *given, "--output", folder))

    return kept.made("tiny_onnx_release", make, __file__)


def test_a_release_has_it_where_that_is_asked_for(
    own_cli: Command, tiny: Path, tiny_checkpoint: Path, release: Path
) -> None:
    given = ("--models", tiny, "--checkpoint", f"{MODEL}={tiny_checkpoint}")
    manifest = json.loads((release / "manifest.json").read_text(encoding="utf-8"))
    handles = [record["handle"] for record in manifest["artifacts"]]
    assert handles == [f"google/imagenet/{MODEL}/{task}/onnx" for task in ("classification", "feature_vector")]
    assert {record["version"] for record in manifest["artifacts"]} == {"onnx"}
    assert "onnxruntime" in manifest["artifacts"][0]["inputs"]["packages"]
    succeeded(own_cli("release", "verify", release, "--files-only"))

    def planned(*options: object) -> list[str]:
        plan = succeeded(own_cli("release", *given, "--plan", "--json", "--output", "new", *options))
        return [each["handle"].rpartition("/")[2] for each in json.loads(plan.stdout)["artifacts"]][:5]

    assert planned() == ["1", "3", "4", "5", "1"]
    assert planned("--formats", "all") == ["1", "3", "4", "5", "onnx"]
    assert planned("--formats", "onnx,hub") == ["1", "3", "onnx", "1", "3"]
    assert planned("--versions", "4,onnx") == ["4", "onnx", "4", "onnx"]
    for wrong, said in (("keras_1", "'keras_1' is not a format: expected hub"), ("saved_model_1", "not a format")):
        result = own_cli("release", "--models", tiny, "--plan", "--formats", wrong)
        assert result.returncode == 2 and said in result.stderr


def test_the_program_on_its_page_runs_on_a_release_that_is_served(cli: Command, release: Path, tmp_path: Path) -> None:
    page = release / f"google/imagenet/{MODEL}/classification/onnx.md"
    text = page.read_text(encoding="utf-8")
    assert "## Fine-tuning" not in text and "fine-tunable: false" in text
    tokens = MarkdownIt("commonmark").parse(text)
    programs = [token.content for token in tokens if token.type == "fence" and token.info == "python"]
    assert len(programs) == 4
    pictures.written(tmp_path / "picture.jpg", pictures.picture(0), kind="JPEG")
    with serving(cli, release) as served:
        index = (release / "index.html").read_text(encoding="utf-8")
        (example,) = re.findall(r"<pre><code[^>]*>(.*?)</code></pre>", index, re.S)
        for program in ("\n".join(programs) + "\nassert logits.shape == (2, 11)", example.replace("&#34;", '"')):
            assert "http://127.0.0.1:8000" in program
            command = [sys.executable, "-I", "-c", program.replace("http://127.0.0.1:8000", served.url)]
            result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
            assert result.returncode == 0, result.stderr
