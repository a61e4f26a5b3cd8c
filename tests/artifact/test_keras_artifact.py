"""The format ``keras`` through the commands: built, verified, described, compared, released, and run without us."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

from tests.support import keras_faults, pictures
from tests.support.command import Command, artifact_folder, files_below, refusal, succeeded
from tests.support.pictures import picture, written
from tests.support.servers import serving
from tests.support.shared import Store

MODEL, FILES = "tiny_nasnet", ["model.keras", "nasexport.json"]


@pytest.fixture(scope="module")
def output(cli: Command, tiny: Path, tiny_checkpoint: Path, kept: Store) -> Path:
    """The ``--output`` folder of the tiny NASNet, both tasks, built with verification."""

    def make(output: Path) -> None:
        succeeded(cli("build", tiny, "--format", "keras", "--checkpoint", tiny_checkpoint, "--output", output))

    return kept.made("tiny_keras", make, __file__)


@pytest.fixture(scope="module")
def artifact(output: Path) -> Path:
    return artifact_folder(output, MODEL, "classification", "keras")


def _changed(artifact: Path, folder: Path, edit: keras_faults.Edit) -> Path:
    """A copy of an artifact with something wrong in its file."""
    shutil.copytree(artifact, folder)
    keras_faults.change(folder / "model.keras", edit)
    return folder


def test_is_one_file_that_says_what_it_is(output: Path) -> None:
    for task in ("classification", "feature_vector"):
        folder = artifact_folder(output, MODEL, task, "keras")
        assert files_below(folder) == FILES
        said = json.loads((folder / "nasexport.json").read_text(encoding="utf-8"))
        assert (said["format"], said["version"], said["task"]) == ("keras", "keras", task)
        assert said["handle"] == f"google/imagenet/{MODEL}/{task}/keras"
        assert said["options"] == {"batch_norm_momentum": 0.99}
        assert said["verification"] and all(check["passed"] for check in said["verification"])
        assert "output in training mode, relative difference" in {check["name"] for check in said["verification"]}


@pytest.mark.long
def test_the_momentum_can_be_chosen_and_is_verified(
    own_cli: Command, tiny: Path, tiny_checkpoint: Path, artifact: Path
) -> None:
    options = ("--format", "keras", "--task", "classification", "--batch-norm-momentum", 0.5, "--output", own_cli.cwd)
    built = Path(succeeded(own_cli("build", tiny, *options, "--checkpoint", tiny_checkpoint)).stdout.strip())
    said = json.loads((built / "nasexport.json").read_text(encoding="utf-8"))
    names = {check["name"] for check in said["verification"]}
    assert "moving averages at default momentum 0.5, relative difference" in names
    assert (built / "model.keras").read_bytes() != (artifact / "model.keras").read_bytes()


def test_is_described(own_cli: Command, artifact: Path) -> None:
    shown = succeeded(own_cli("inspect", artifact)).stdout
    assert "format       keras, google/imagenet/tiny_nasnet/classification/keras" in shown
    assert "network: inputs float32 [?, 64, 64, 3] -> logits float32 [?, 11]" in shown
    assert "Keras 3.6.0 and newer" in shown


@pytest.mark.long
def test_has_the_values_and_the_classes_of_a_saved_model(
    own_cli: Command, tiny_artifacts: Path, artifact: Path, tmp_path: Path
) -> None:
    other = artifact_folder(tiny_artifacts, MODEL, "classification", 4)
    difference = json.loads(succeeded(own_cli("diff", other, artifact, "--only", "variables", "--json")).stdout)
    names = {comparison["name"] for comparison in difference["comparisons"]}
    assert names == {"variables by name", "shapes and types of variables", "values of variables"}
    image = written(tmp_path / "image.png", picture(0, 70, 200))
    predicted = [json.loads(succeeded(own_cli("predict", each, image, "--json")).stdout) for each in (other, artifact)]
    ranked = [[best["index"] for best in each["images"][0]["classes"]] for each in predicted]
    assert ranked[0] == ranked[1]


@pytest.mark.long
def test_a_lone_file_of_others_is_judged_by_what_it_computes(
    own_cli: Command, tiny: Path, tiny_checkpoint: Path, artifact: Path, tmp_path: Path
) -> None:
    """Two files whose layers have other names than ours, one of them with Keras Applications' mistake."""

    def renamed(config: Any) -> None:
        text = json.dumps(config)
        for number, layer in enumerate(config["config"]["layers"]):
            text = text.replace(json.dumps(layer["name"]), f'"layer_{number}"')
        config |= json.loads(text)

    def counted(members: dict[str, bytes]) -> None:
        keras_faults.json_changed("config.json", keras_faults.padded_by_keras)(members)
        keras_faults.json_changed("config.json", renamed)(members)

    edits = {"right": keras_faults.json_changed("config.json", renamed), "counted": counted}
    files = []
    for name, edit in edits.items():
        files.append(shutil.copy(_changed(artifact, tmp_path / name, edit) / "model.keras", tmp_path / f"{name}.keras"))
    result = own_cli("verify", *files, "--model", tiny, "--checkpoint", tiny_checkpoint, "--json")
    right, wrong = json.loads(result.stdout)
    assert result.returncode == 1 and right["passed"] and right["path"] == str(files[0])
    details = {check["name"]: check["detail"] for check in right["checks"]}
    assert "found" in details["end points, relative difference"]
    assert details["poolings unlike TensorFlow's SAME"].endswith("of its poolings")
    failed = {check["name"]: check["detail"] for check in wrong["checks"] if not check["passed"]}
    assert failed["end points, relative difference"].endswith("first divergent end point: Stem")
    assert "output, relative difference" in failed
    assert re.search(r"first: layer_\d+, off by 0\.\d+ of", failed["poolings unlike TensorFlow's SAME"])


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (keras_faults.kind("Lambda", name="logits", function="x"), "Lambda (node 'logits') runs code of its own"),
        (keras_faults.kind("TFSMLayer", name="logits", filepath="x"), "TFSMLayer (node 'logits') reads files"),
        (
            keras_faults.layers(lambda layer: layer.update(module="os", class_name="system"), name="logits"),
            "system (node 'logits') is of the module 'os', not of Keras's layers: it can do anything",
        ),
        (
            keras_faults.arguments(
                name="logits",
                activation={
                    "module": "builtins",
                    "class_name": "function",
                    "config": "exec",
                    "registered_name": "exec",
                },
            ),
            "function (node 'logits') is of the module 'builtins', not of Keras's layers: it can do anything",
        ),
    ],
)
def test_what_could_do_more_than_compute_is_named_and_not_loaded(
    own_cli: Command, tiny_checkpoint: Path, artifact: Path, tmp_path: Path, edit: keras_faults.Edit, said: str
) -> None:
    folder = _changed(artifact, tmp_path / "keras", edit)
    assert said in succeeded(own_cli("inspect", folder)).stdout
    image = written(tmp_path / "image.png", picture(0, 70, 200))
    assert f"was not loaded: {said}" in refusal(own_cli("predict", folder, image))


def _damaged(content: bytes) -> dict[str, bytes]:
    return {"empty": b"", "text": b"<html>", "cut off": content[:1000], "zeros": bytes(2000)}


@pytest.mark.parametrize("kind", _damaged(b""))
def test_what_is_no_network_is_damaged(own_cli: Command, artifact: Path, kind: str) -> None:
    folder = own_cli.cwd / "keras"
    folder.mkdir()
    (folder / "model.keras").write_bytes(_damaged((artifact / "model.keras").read_bytes())[kind])
    assert "model.keras is damaged" in refusal(own_cli("inspect", folder))


def _without(member: str) -> keras_faults.Edit:
    def edit(members: dict[str, bytes]) -> None:
        del members[member]

    return edit


def _linked(members: dict[str, bytes]) -> None:
    """Makes a value one of another file, which HDF5 would open."""
    import io

    import h5py

    content = io.BytesIO(members["model.weights.h5"])
    with h5py.File(content, "r+") as file:
        del file["layers/conv2d/vars/0"]
        file["layers/conv2d/vars/0"] = h5py.ExternalLink("/etc/hostname", "/x")
    members["model.weights.h5"] = content.getvalue()


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (_without("config.json"), "it lacks config.json"),
        (_without("model.weights.h5"), "it lacks model.weights.h5"),
        (lambda members: members.update({"config.json": b"{"}), "config.json: it is not valid JSON"),
        (lambda members: members.update({"config.json": b"[]"}), "is no functional network"),
        (lambda members: members.update({"model.weights.h5": b"x"}), "its weights are no HDF5 file"),
        (_linked, "0 of its weights is no dataset of this file"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(
    own_cli: Command, artifact: Path, tmp_path: Path, edit: keras_faults.Edit, said: str
) -> None:
    assert said in refusal(own_cli("inspect", _changed(artifact, tmp_path / "keras", edit)))


@pytest.fixture(scope="module")
def release(cli: Command, tiny: Path, tiny_checkpoint: Path, kept: Store) -> Path:
    def make(folder: Path) -> None:
        given = ("--models", tiny, "--checkpoint", f"{MODEL}={tiny_checkpoint}", "--formats", "keras")
        succeeded(cli("release", *given, "--output", folder))

    return kept.made("tiny_keras_release", make, __file__)


@pytest.mark.long
def test_a_release_has_it_where_that_is_asked_for(own_cli: Command, artifact: Path, release: Path) -> None:
    manifest = json.loads((release / "manifest.json").read_text(encoding="utf-8"))
    handles = [record["handle"] for record in manifest["artifacts"]]
    assert handles == [f"google/imagenet/{MODEL}/{task}/keras" for task in ("classification", "feature_vector")]
    assert {"h5py", "keras", "tensorflow"} <= set(manifest["artifacts"][0]["inputs"]["packages"])
    succeeded(own_cli("release", "verify", release, "--files-only"))
    released = release / f"google/imagenet/{MODEL}/classification/keras/model.keras"
    assert released.read_bytes() == (artifact / "model.keras").read_bytes()


@pytest.mark.long
@pytest.mark.parametrize("task", ["classification", "feature_vector"])
def test_the_programs_on_its_page_run_on_a_release_that_is_served(
    cli: Command, release: Path, task: str, tmp_path: Path
) -> None:
    page = release / f"google/imagenet/{MODEL}/{task}/keras.md"
    text = page.read_text(encoding="utf-8")
    assert "`layer.momentum` sets it, as above." in text and "fine-tunable: true" in text
    tokens = MarkdownIt("commonmark").parse(text)
    programs = [token.content for token in tokens if token.type == "fence" and token.info == "python"]
    assert len(programs) == 5
    checked = "\n".join(programs) + '\nimport sys\nassert "exporter" not in sys.modules\n'
    pictures.written(tmp_path / "picture.jpg", pictures.picture(0), kind="JPEG")
    with serving(cli, release) as served:
        index = (release / "index.html").read_text(encoding="utf-8")
        examples = re.findall(r"<pre><code[^>]*>(.*?)</code></pre>", index, re.S)
        for program in (checked, examples[0].replace("&#34;", '"')):
            assert "http://127.0.0.1:8000" in program
            command = [sys.executable, "-I", "-c", program.replace("http://127.0.0.1:8000", served.url)]
            result = subprocess.run(
                command,
                cwd=tmp_path,
                env={**cli.env, "KERAS_BACKEND": "tensorflow"},
                capture_output=True,
                text=True,
                check=False,
            )
            assert result.returncode == 0, result.stderr
