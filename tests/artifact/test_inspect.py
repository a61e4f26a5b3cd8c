"""`nasexport inspect`: what it says of artifacts, and of what is none."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import tensorflow as tf

from exporter.models.config import Task, model
from exporter.models.variables import parameters, variables
from tests.support.command import Command, artifact_folder, files_below, refusal, succeeded


@pytest.mark.parametrize(("version", "task"), [(4, "classification"), (5, "classification"), (5, "feature_vector")])
def test_an_artifact_is_described(
    cli: Command, tiny: Path, tiny_checkpoint: Path, tiny_artifacts: Path, version: int, task: Task
) -> None:
    folder = artifact_folder(tiny_artifacts, "tiny_nasnet", task, version)
    before = files_below(folder)
    result = succeeded(cli("inspect", folder, "--json"))
    assert result.stderr == ""
    facts = json.loads(result.stdout)
    assert files_below(folder) == before

    assert (facts["format"], facts["handle"]) == ("saved_model_2", f"google/imagenet/tiny_nasnet/{task}/{version}")
    assert facts["tag_sets"] == [["serve"]]
    assert facts["image_size"] == 64
    name, size = {"classification": ("logits", 11), "feature_vector": ("feature_vector", 48)}[task]
    serving = {
        "inputs": {"inputs": {"dtype": "float32", "shape": [None, 64, 64, 3]}},
        "outputs": {name: {"dtype": "float32", "shape": [None, size]}},
    }
    assert facts["signatures"] == {"serve": {"serving_default": serving} if version == 5 else {}}
    assert facts["functions"] == {"__call__": 2}

    specs = variables(model(str(tiny)), task)
    assert [(held["name"], held["shape"], held["trainable"]) for held in facts["variables"]["list"]] == [
        (spec.name, list(spec.shape), spec.trainable) for spec in specs
    ]
    assert {held["dtype"] for held in facts["variables"]["list"]} == {"float32"}
    assert facts["variables"]["count"] == len(specs)
    assert facts["variables"]["trainable"] == sum(spec.trainable for spec in specs)
    assert facts["variables"]["parameters"] == parameters(model(str(tiny)), task)
    assert facts["bytes"] == sum((folder / file).stat().st_size for file in before if (folder / file).is_file())

    assert (facts["oldest_tensorflow"], facts["findings"]) == ("1.15", [])
    assert facts["source"]["synthetic"] == {"layout": "plain", "model": "tiny_nasnet", "seed": 0}
    assert facts["source"]["files"] == {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in tiny_checkpoint.parent.iterdir()
    }
    assert facts["verified"] == (version == 4)


def test_people_get_text(cli: Command, tiny_checkpoint: Path, tiny_artifacts: Path) -> None:
    digest = hashlib.sha256(tiny_checkpoint.with_name("model.ckpt.index").read_bytes()).hexdigest()
    told = {
        4: ("signatures   none", "verified     when it was built"),
        5: (
            "signature    {serve} serving_default: inputs float32 [?, 64, 64, 3] -> logits float32 [?, 11]",
            "no: built with --no-verify",
        ),
    }
    for version, said in told.items():
        folder = artifact_folder(tiny_artifacts, "tiny_nasnet", "classification", version)
        text = succeeded(cli("inspect", folder)).stdout
        for line in (
            str(folder),
            f"format       saved_model_2, google/imagenet/tiny_nasnet/classification/{version}",
            "214, 142 trainable",
            "TensorFlow 1.15 and newer",
            f"TensorFlow {tf.__version__}",
            "SYNTHETIC checkpoint (layout plain, model tiny_nasnet, seed 0), not published weights",
            f"model.ckpt.index sha256 {digest}",
            *said,
        ):
            assert line in text


def test_a_hub_module_gives_every_cell(cli: Command, reducing_artifacts: Path) -> None:
    folder = artifact_folder(reducing_artifacts, "reducing_nasnet", "classification", 3)
    facts = json.loads(succeeded(cli("inspect", folder, "--json")).stdout)
    cells = ("Stem", "Cell_0", "Reduction_Cell_0", "Cell_1", "Reduction_Cell_1", "Cell_2")
    names = {"default", *(f"reducing_nasnet/{name}" for name in (*cells, "global_pool", "Logits", "Predictions"))}
    assert [set(tags["default"]["outputs"]) for tags in facts["signatures"].values()] == [names, names]


def test_a_saved_model_of_somebody_else_is_described(cli: Command, tmp_path: Path) -> None:
    class Banded(tf.Module):
        def __init__(self) -> None:
            self.factor = tf.Variable([2.0], name="factor", trainable=False)

        @tf.function(input_signature=[tf.TensorSpec([3, 3], tf.float32)])
        def banded(self, x):
            # An operation that TensorFlow 1.15 does not have.
            return self.factor * tf.raw_ops.MatrixDiagPartV3(input=x, k=0, padding_value=0.0, align="LEFT_RIGHT")

    module = Banded()
    tf.saved_model.save(module, str(tmp_path / "foreign"), signatures={"banded": module.banded})
    facts = json.loads(succeeded(cli("inspect", tmp_path / "foreign", "--json")).stdout)
    assert (facts["handle"], facts["source"], facts["options"], facts["verified"]) == (None, None, None, None)
    assert facts["oldest_tensorflow"] is None
    assert any("MatrixDiagPartV3" in finding for finding in facts["findings"])
    assert facts["variables"]["count"] == 1
    assert list(facts["signatures"]["serve"]) == ["banded"]
    text = succeeded(cli("inspect", tmp_path / "foreign")).stdout
    assert "newer than TensorFlow 1.15" in text
    assert "source       unknown" in text


def test_a_saved_model_without_objects_is_one_of_tensorflow_1(cli: Command, tiny: Path, tmp_path: Path) -> None:
    v1 = tf.compat.v1
    folder = tmp_path / "foreign"
    with tf.Graph().as_default(), v1.Session() as session:
        images = v1.placeholder(tf.float32, [None, 64, 64, 3])
        factor = v1.get_variable("factor", [3], use_resource=True)
        session.run(factor.initializer)
        v1.saved_model.simple_save(session, str(folder), {"images": images}, {"scaled": images * factor})
    facts = json.loads(succeeded(cli("inspect", folder, "--json")).stdout)
    assert (facts["format"], facts["image_size"], facts["variables"]["count"]) == ("saved_model_1", 64, 1)
    message = refusal(cli("verify", folder, "--model", tiny))
    assert "is of format saved_model_1, and tiny_nasnet has versions 1 (hub), " in message


def test_garbage_is_refused(cli: Command, tiny_artifacts: Path, tmp_path: Path) -> None:
    whole = artifact_folder(tiny_artifacts, "tiny_nasnet", "feature_vector", 4)
    content = (whole / "saved_model.pb").read_bytes()
    for name, damaged in {"cut": content[: len(content) // 2], "text": b"not a protocol buffer", "empty": b""}.items():
        folder = tmp_path / name
        folder.mkdir()
        (folder / "saved_model.pb").write_bytes(damaged)
        message = refusal(cli("inspect", folder))
        assert f"{name}/saved_model.pb is damaged" in message

    shutil.copytree(whole, tmp_path / "lying")
    (tmp_path / "lying" / "nasexport.json").write_text("{")
    assert "nasexport.json is damaged" in refusal(cli("inspect", tmp_path / "lying"))


def test_the_artifacts_of_a_folder_are_listed(cli: Command, tiny_artifacts: Path, tmp_path: Path) -> None:
    paths = [
        f"google/imagenet/tiny_nasnet/{task}/{version}"
        for task in ("classification", "feature_vector")
        for version in (4, 5)
    ]
    head, *lines = succeeded(cli("inspect", tiny_artifacts)).stdout.splitlines()
    assert head.startswith(f"{tiny_artifacts}: 4 artifacts, ")
    assert [line.split()[0] for line in lines] == paths
    for path, line in zip(paths, lines, strict=True):
        verified = "verified when it was built" if path.endswith("4") else "NOT verified"
        assert " saved_model_2 " in line and line.endswith(f" MB  {verified}, SYNTHETIC weights")

    # One of others, one that is damaged, and what is passed over.
    folder = tmp_path / "dist"
    shutil.copytree(tiny_artifacts / paths[1], folder / "others")
    (folder / "others" / "nasexport.json").unlink()
    shutil.copytree(tiny_artifacts / paths[1], folder / "some" / "damaged")
    (folder / "some" / "damaged" / "nasexport.json").write_text("{")
    shutil.copytree(tiny_artifacts / paths[1], folder / ".hidden")
    (folder / "link").symlink_to(tiny_artifacts)
    found = json.loads(succeeded(cli("inspect", folder, "--json")).stdout)
    assert found["path"] == str(folder)
    others, damaged = found["artifacts"]
    size = sum(file.stat().st_size for file in (folder / "others").rglob("*") if file.is_file())
    assert (others["path"], others["bytes"], others["verified"]) == ("others", size, None)
    assert damaged["path"] == "some/damaged" and "is damaged" in damaged["problem"]
    assert "1 artifact," in succeeded(cli("inspect", folder / "some")).stdout
    assert "can be used with a checkpoint only" in cli("inspect", folder, "--model", "nasnet_large").stderr
