"""The package `nasexport` in the hands of its users: programs that build, verify, describe, classify and release."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support import pictures, programs
from tests.support.command import Command, Result, artifact_folder, succeeded
from tests.support.shared import Store

_BUILD = """
import json, sys
import nasexport

config, checkpoint, output, format = sys.argv[1:]
steps = []
options = {"format": format, "checkpoint": checkpoint, "task": "classification", "progress": steps.append}
built = nasexport.build(config, output, **options)
again = nasexport.build(config, output, verify=False, **options)
print(json.dumps({
    "path": str(built[0].path), "paths": [str(path) for path in built.paths], "count": len(built),
    "checks": len(built[0].checks), "passed": all(check.passed for check in built[0].checks),
    "kept": [built[0].kept, again[0].kept], "verified": [built[0].verified, again[0].verified],
    "said": [built[0].handle, built[0].model, built[0].task, built[0].version, built[0].format, built[0].synthetic],
    "repr": repr(built), "html": [built._repr_html_(), built[0]._repr_html_()], "steps": steps,
    "imported": [name for name in ("tensorflow", "onnx") if name in sys.modules],
}))
"""


@pytest.fixture(scope="module")
def built(cli: Command, tiny: Path, tiny_checkpoint: Path, of_this_run: Store) -> dict[str, Any]:
    """What a program said of an ONNX model that it built, which lies in a folder of the run."""

    def make(folder: Path) -> None:
        result = programs.run(cli, _BUILD, tiny, tiny_checkpoint, folder / "dist", "onnx")
        (folder / "said.json").write_text(json.dumps(programs.said(result)))

    folder = of_this_run.made("built_by_a_program", make)
    return {**json.loads((folder / "said.json").read_text()), "dist": folder / "dist"}


@pytest.fixture(scope="module")
def onnx(built: dict[str, Any]) -> Path:
    return artifact_folder(built["dist"], "tiny_nasnet", "classification", "onnx")


def test_an_artifact_is_built_verified_and_kept_the_second_time(built: dict[str, Any], onnx: Path) -> None:
    assert (onnx / "model.onnx").is_file() and built["path"].endswith(str(onnx.relative_to(built["dist"].parent)))
    assert built["paths"] == [built["path"]] and built["count"] == 1
    assert built["passed"] and built["checks"] > 5
    assert (built["kept"], built["verified"]) == ([False, True], [True, True])
    handle = "google/imagenet/tiny_nasnet/classification/onnx"
    assert built["said"] == [handle, "tiny_nasnet", "classification", "onnx", "onnx", True]
    assert f"{handle}: written, {built['checks']} checks passed, SYNTHETIC weights" in built["repr"]
    assert all(html.startswith("<div>") and handle in html for html in built["html"])
    assert built["steps"] and all(isinstance(step, str) for step in built["steps"])
    assert built["imported"] == []


_VERIFY = """
import json, sys
import nasexport

found = nasexport.verify(sys.argv[1], checkpoint=sys.argv[2], against="numpy")
print(json.dumps({
    "truth": bool(found), "failed": [check.name for check in found.failed], "count": len(found.checks),
    "path": str(found.path), "repr": repr(found), "html": found._repr_html_(),
}))
"""


def test_a_verification_against_another_checkpoint_is_false(
    cli: Command, tiny: Path, onnx: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.ckpt"
    succeeded(cli("synth", tiny, "--seed", 1, "--output", other))
    result = programs.run(cli, _VERIFY, onnx, other)
    said = programs.said(result)
    assert said["truth"] is False and said["failed"] and said["count"] > len(said["failed"])
    assert any("numpy" in name.lower() for name in said["failed"])
    assert said["path"] == str(onnx) and "FAILED" in said["repr"]
    assert said["html"].index("FAIL") < said["html"].index(">ok<")
    # As the command's, on standard error.
    assert result.stderr.startswith("verify: ") and result.stdout.count("\n") == 1


_INSPECT = """
import json, sys
import nasexport

artifact, packed, checkpoint, config = sys.argv[1:]
found, same = nasexport.inspect(artifact), nasexport.inspect(packed)
described = nasexport.inspect(checkpoint, model=config)
print(json.dumps({
    "artifact": found.to_dict(), "packed": same.to_dict(), "checkpoint": described.to_dict(),
    "shown": [repr(found), found._repr_html_(), repr(described), described._repr_html_()],
}))
"""


def test_what_is_inspected_is_what_the_command_says(
    cli: Command, tiny: Path, tiny_checkpoint: Path, tiny_artifacts: Path, tmp_path: Path
) -> None:
    artifact = artifact_folder(tiny_artifacts, "tiny_nasnet", "classification", 5)
    archive = shutil.make_archive(str(tmp_path / "artifact"), "gztar", artifact)
    said = programs.said(programs.run(cli, _INSPECT, artifact, archive, tiny_checkpoint, tiny))
    assert said["artifact"] == json.loads(succeeded(cli("inspect", artifact, "--json")).stdout)
    assert {**said["packed"], "path": str(artifact)} == said["artifact"]
    command = ("inspect", tiny_checkpoint, "--model", tiny, "--json")
    assert said["checkpoint"] == json.loads(succeeded(cli(*command)).stdout)
    assert "saved_model_2" in said["shown"][0] and "logits float32" in said["shown"][1]
    assert all("tiny_nasnet" in shown for shown in said["shown"][2:])


_PREDICT = """
import json, sys
import nasexport

artifact, *images = sys.argv[1:]
found = nasexport.predict(artifact, images, top=3, progress=False)
alone = nasexport.predict(artifact, images[0], top=1, progress=False)
print(json.dumps({
    "model": found.model, "synthetic": found.synthetic, "size": found.image_size, "device": found.device,
    "images": [[str(each.path), [vars(one) for one in each.classes], each.error] for each in found],
    "alone": [len(alone), alone[0].classes[0].name], "repr": repr(found), "html": found._repr_html_(),
}))
"""


def test_images_are_classified_as_by_the_command(cli: Command, imagenet_artifacts: Path, tmp_path: Path) -> None:
    artifact = artifact_folder(imagenet_artifacts, "tiny_imagenet", "classification", 4)
    image = pictures.written(tmp_path / "<image>.png", pictures.picture(0))
    none = tmp_path / "none.png"
    said = programs.said(programs.run(cli, _PREDICT, artifact, image, none))
    expected = json.loads(succeeded(cli("predict", artifact, image, "--top", 3, "--json")).stdout)
    assert [said["model"], said["size"]] == [expected["model"], expected["image_size"]]
    assert said["synthetic"] is True and said["device"] == expected["device"]
    assert said["images"] == [
        [str(image), expected["images"][0]["classes"], None],
        [str(none), [], f"cannot read the image {none}: No such file or directory"],
    ]
    assert said["alone"] == [1, expected["images"][0]["classes"][0]["name"]]
    assert said["repr"].startswith("<Predictions <image>.png: ")
    assert "&lt;image&gt;" in said["html"] and "<image>" not in said["html"] and "SYNTHETIC" in said["html"]


_LOAD = """
import json, sys
import numpy as np
import nasexport

images = np.load(sys.argv[1])
outputs, shown = {}, []
for number, path in enumerate(sys.argv[3:]):
    artifact = nasexport.load(path)
    outputs[str(number)] = artifact(images)
    facts = [getattr(artifact, name) for name in ("format", "model", "task", "image_size")]
    shown.append([repr(artifact), artifact._repr_html_(), *facts])
problems = []
for wrong in (images[0], images[:, :32], np.zeros([1, 64, 64, 3], np.uint8)):
    try:
        artifact(wrong)
    except ValueError as error:
        problems.append(str(error))
np.savez(sys.argv[2], **outputs)
imported = [name for name in ("tensorflow", "torch", "onnxruntime") if name in sys.modules]
print(json.dumps({"shown": shown, "problems": problems, "imported": imported}))
"""


def _images(folder: Path) -> Path:
    path = folder / "images.npy"
    np.save(path, np.random.default_rng(0).random((2, 64, 64, 3)))
    return path


def test_what_onnx_runtime_runs_is_loaded_without_tensorflow(cli: Command, onnx: Path, tmp_path: Path) -> None:
    said = programs.said(programs.run(cli, _LOAD, _images(tmp_path), tmp_path / "outputs.npz", onnx))
    assert said["imported"] == ["onnxruntime"]
    facts = ["onnx", "tiny_nasnet", "classification", [64, 64]]
    assert [shown[2:] for shown in said["shown"]] == [facts] and "images of 64 x 64" in said["shown"][0][0]
    assert said["problems"] == [
        "the images have the shape (64, 64, 3), expected batch x 64 x 64 x 3",
        "the images have the shape (2, 32, 64, 3), expected batch x 64 x 64 x 3",
        "the images are of uint8, expected floats from 0 to 1: divide bytes by 255",
    ]


@pytest.mark.readers
def test_artifacts_of_every_format_give_the_same(
    cli: Command,
    tiny_artifacts: Path,
    hub_modules: Path,
    onnx: Path,
    tiny_keras: Path,
    tiny_litert: Path,
    tmp_path: Path,
) -> None:
    folders = [
        artifact_folder(tiny_artifacts, "tiny_nasnet", "classification", 4),
        artifact_folder(hub_modules, "tiny_nasnet", "classification", 3),
        onnx,
        artifact_folder(tiny_keras, "tiny_nasnet", "classification", "keras"),
        tiny_litert,
    ]
    program = programs.run_with_tensorflow(cli, _LOAD, _images(tmp_path), tmp_path / "outputs.npz", *folders)
    said = programs.said(program)
    assert [shown[2] for shown in said["shown"]] == ["saved_model_2", "hub", "onnx", "keras", "litert"]
    with np.load(tmp_path / "outputs.npz") as outputs:
        first = outputs["0"]
        assert first.shape == (2, 11) and first.dtype == np.float32
        for number in range(1, len(folders)):
            assert np.abs(outputs[str(number)] - first).max() < 1e-4 * np.abs(first).max(), said["shown"][number][0]


_REFUSED = """
import json, sys
import nasexport

found = {}
def tried(name, function, *arguments, **options):
    try:
        function(*arguments, **options)
    except nasexport.NasexportError as error:
        found[name] = [type(error).__name__, str(error)]

nowhere, artifact, hub = sys.argv[1:]
tried("model", nasexport.build, "nasnet_huge", nowhere)
tried("format", nasexport.build, "nasnet_large", nowhere, format="gguf")
tried("task", nasexport.build, "nasnet_large", nowhere, task="detection")
tried("momentum", nasexport.build, "nasnet_large", nowhere, batch_norm_momentum=1.5)
tried("device", nasexport.build, "nasnet_large", nowhere, device="tpu", progress=False)
tried("jobs", nasexport.build, "nasnet_large", nowhere, jobs=0)
tried("path", nasexport.inspect, "")
tried("nothing", nasexport.inspect, nowhere)
tried("no checkpoint", nasexport.inspect, artifact, model="nasnet_large")
tried("against", nasexport.verify, artifact, against="jax")
tried("synthetic", nasexport.verify, artifact, progress=False)
tried("load", nasexport.load, nowhere)
tried("releases", nasexport.release, nowhere, formats="gguf")
tried("checkpoints", nasexport.release, nowhere, models="nasnet_large", checkpoints={"nasnet_mobile": "x"})
offline = nasexport.Settings(offline=True, cache_dir=nowhere)
tried("release", nasexport.release, nowhere, models="nasnet_large", versions=[4], settings=offline, progress=False)
print(json.dumps(found))
"""


def test_what_cannot_be_is_refused_by_errors_of_their_families(
    cli: Command, tiny_artifacts: Path, tmp_path: Path
) -> None:
    artifact = artifact_folder(tiny_artifacts, "tiny_nasnet", "classification", 4)
    nowhere = tmp_path / "nowhere"
    said = programs.said(programs.run(cli, _REFUSED, nowhere, artifact, artifact))
    expected = {
        "model": ("ConfigError", "there is no model 'nasnet_huge'"),
        "format": ("ConfigError", "format is 'gguf', expected 'hub' or "),
        "task": ("ConfigError", "task is 'detection', expected 'classification' or 'feature_vector'"),
        "momentum": ("ConfigError", "batch_norm_momentum is 1.5, expected a number from 0 to 1"),
        "device": ("ConfigError", "device is 'tpu', expected 'cpu' or 'gpu'"),
        "jobs": ("ConfigError", "jobs is 0, expected a number of 1 or more"),
        "path": ("ConfigError", "the path '' is empty"),
        "nothing": ("ArtifactError", f"there is nothing at {nowhere}"),
        "no checkpoint": ("ConfigError", "model can be given with a checkpoint only"),
        "against": ("ConfigError", "against is 'jax', expected "),
        "synthetic": ("ArtifactError", f"{artifact} was made from a synthetic checkpoint"),
        "load": ("ArtifactError", f"there is nothing at {nowhere}"),
        "releases": ("ConfigError", "formats is 'gguf', expected "),
        "checkpoints": ("ConfigError", "checkpoints is 'nasnet_mobile', expected 'nasnet_large'"),
        "release": ("ReleaseError", "2 of 2 artifacts were not made, the others were:\n"),
    }
    assert said.keys() == expected.keys()
    for name, (family, text) in expected.items():
        assert said[name][0] == family and said[name][1].startswith(text), (name, said[name])


_RELEASE = """
import json, sys
import nasexport

release, config, name, checkpoint = sys.argv[1:]
options = {"models": config, "checkpoints": {name: checkpoint}, "progress": False}
made = nasexport.release(release, **options)
print(json.dumps({
    "path": str(made.path), "artifacts": [[each.handle, each.state] for each in made],
    "repr": repr(made), "html": made._repr_html_(),
}))
"""


@pytest.mark.long
def test_a_release_is_made_and_kept(
    cli: Command, inputs_of_one: list[object], released_of_one: Path, tmp_path: Path
) -> None:
    release = shutil.copytree(released_of_one, tmp_path / "release")
    shutil.rmtree(release / "google/imagenet/small_nasnet/feature_vector/5")
    name, _, checkpoint = str(inputs_of_one[3]).partition("=")
    said = programs.said(programs.run(cli, _RELEASE, release, inputs_of_one[1], name, checkpoint))
    states = dict(said["artifacts"])
    assert states.pop("google/imagenet/small_nasnet/feature_vector/5") == "made"
    assert set(states.values()) == {"kept"} and len(states) == 3
    assert (release / "manifest.json").is_file() and said["path"] == str(release)
    assert "3 kept, 1 made" in said["repr"] and "small_nasnet" in said["html"]


def test_a_program_is_the_command(cli: Command) -> None:
    program = "import runpy, sys; sys.argv[1:] = ['--version']; runpy.run_module('nasexport', run_name='__main__')"
    result: Result = programs.run(cli, program)
    assert result.stdout == succeeded(cli("--version")).stdout
