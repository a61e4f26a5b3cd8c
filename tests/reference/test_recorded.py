"""References that were recorded, and other implementations: what an artifact is held against besides a new run."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exporter.files.hashing import sha256
from exporter.models.config import models
from exporter.reference import recorded as references
from tests.support import bundles
from tests.support.command import CHECKOUT, Command, Result, artifact_folder, refusal, succeeded

KERNEL = "cell_0/comb_iter_0/left/separable_5x5_1/pointwise_weights"


def _artifacts(output: Path) -> list[Path]:
    return [artifact_folder(output, "tiny_nasnet", task, 5) for task in ("classification", "feature_vector")]


def _reports(result: Result, status: int = 0) -> list[dict[str, Any]]:
    assert result.returncode == status, result.stderr
    return json.loads(result.stdout)


def test_what_ships_are_the_records_of_the_original_networks() -> None:
    found = {}
    for path in (CHECKOUT / "configs" / "references").glob("*.npz"):
        with np.load(path) as file:
            facts = json.loads(str(file["facts"]))
        assert path.stem == references.key(facts["files"])
        assert "TensorFlow 1.15.5" in facts["recorded_with"]
        found[facts["model"]] = path
    assert set(found) == set(models())


def test_a_recorded_reference_takes_the_place_of_a_new_run(
    cli: Command, tiny_artifacts: Path, tiny_checkpoint: Path, tiny_reference: Path
) -> None:
    assert tiny_reference.stat().st_size < 500_000
    result = cli(
        "verify", *_artifacts(tiny_artifacts), "--checkpoint", tiny_checkpoint, "--reference", tiny_reference, "--json"
    )
    assert "computing the reference" not in result.stderr
    for report in _reports(result):
        assert any("recorded reference" in note for note in report["notes"])
        names = {check["name"] for check in report["checks"]}
        assert {
            "output, relative difference",
            "end points, relative difference",
            "output in training mode, relative difference",
        } <= names


@pytest.mark.long
def test_a_reference_in_the_cache_is_found_by_its_checkpoint(
    own_cli: Command, tiny: Path, tiny_artifacts: Path, tiny_checkpoint: Path, tiny_reference: Path
) -> None:
    files = {file.name: sha256(file) for file in tiny_checkpoint.parent.iterdir()}
    place = own_cli.cache / "references" / f"{references.key(files)}.npz"
    place.parent.mkdir(parents=True)
    shutil.copyfile(tiny_reference, place)
    verified = own_cli("verify", _artifacts(tiny_artifacts)[1], "--checkpoint", tiny_checkpoint)
    assert "recorded reference" in succeeded(verified).stdout
    assert "computing the reference" not in verified.stderr
    built = own_cli("build", tiny, "--task", "feature_vector", "--checkpoint", tiny_checkpoint)
    assert "computing the reference" not in succeeded(built).stderr


def test_a_wrong_reference_is_refused(
    own_cli: Command, tiny: Path, tiny_artifacts: Path, tiny_checkpoint: Path, tiny_reference: Path, tmp_path: Path
) -> None:
    artifact = _artifacts(tiny_artifacts)[1]

    def refused(path: Path, checkpoint: Path = tiny_checkpoint) -> str:
        return refusal(own_cli("verify", artifact, "--checkpoint", checkpoint, "--reference", path))

    assert "there is no reference" in refused(tmp_path / "absent.npz")
    damaged = tmp_path / "damaged.npz"
    damaged.write_bytes(tiny_reference.read_bytes()[:1000])
    assert "damaged" in refused(damaged)
    other = tmp_path / "other" / "model.ckpt"
    succeeded(own_cli("synth", tiny, "--seed", 1, "--output", other))
    assert "was recorded from other files" in refused(tiny_reference, other)
    with np.load(tiny_reference) as file:
        arrays = {name: file[name] for name in file.files}
    arrays["facts"] = np.array(json.dumps({"model": "nasnet_mobile", "recorded_with": "x", "files": {}}))
    foreign = tmp_path / "foreign.npz"
    np.savez(foreign, **arrays)
    assert "is a reference of nasnet_mobile, not of tiny_nasnet" in refused(foreign)


@pytest.mark.long
def test_a_wrong_artifact_fails_by_a_recorded_reference_and_by_numpy_at_the_same_end_point(
    cli: Command, tiny_artifacts: Path, tiny_checkpoint: Path, tiny_reference: Path, tmp_path: Path
) -> None:
    good = _artifacts(tiny_artifacts)[0]
    wrong = bundles.with_scaled(good, tmp_path / "wrong", KERNEL, 1.05)
    against = ("--reference", tiny_reference, "--against", "numpy")
    result = cli("verify", good, wrong, "--checkpoint", tiny_checkpoint, *against, "--json")
    right, reports = _reports(result, 1)
    assert right["passed"]
    independent = next(check for check in right["checks"] if "against numpy" in check["name"])
    assert 0 < independent["figure"] < independent["tolerance"] == 1e-4
    failed = {check["name"]: check for check in reports["checks"] if not check["passed"]}
    for name in ("end points, relative difference", "end points against numpy, relative difference"):
        assert failed[name]["detail"].endswith("first divergent end point: Cell_0"), failed[name]


@pytest.mark.long
def test_hub_modules_are_held_against_numpy_too(
    cli: Command, hub_modules: Path, tiny_checkpoint: Path, tiny_pnasnet_artifacts: Path, tiny_pnasnet_checkpoint: Path
) -> None:
    """And so is the other family."""
    module = artifact_folder(hub_modules, "tiny_nasnet", "feature_vector", 3)
    pnasnet = artifact_folder(tiny_pnasnet_artifacts, "tiny_pnasnet", "feature_vector", 5)
    for path, checkpoint, count in ((module, tiny_checkpoint, 3), (pnasnet, tiny_pnasnet_checkpoint, 3)):
        (report,) = _reports(cli("verify", path, "--checkpoint", checkpoint, "--against", "numpy", "--json"))
        (check,) = [check for check in report["checks"] if "against numpy" in check["name"]]
        assert check["detail"].startswith(f"{count} end points")


def test_keras_has_no_such_network(cli: Command, tiny_artifacts: Path, tiny_checkpoint: Path) -> None:
    path = _artifacts(tiny_artifacts)[1]
    message = refusal(cli("verify", path, "--checkpoint", tiny_checkpoint, "--against", "keras"))
    assert "Keras Applications has no tiny_nasnet" in message and "--against numpy" in message


def test_nasnet_mobile_is_held_against_numpy_keras_and_the_record(
    cli: Command, mobile_artifacts: Path, mobile_checkpoint: Path
) -> None:
    path = artifact_folder(mobile_artifacts, "nasnet_mobile", "classification", 4)
    result = cli(
        "verify", path, "--checkpoint", mobile_checkpoint, "--against", "numpy", "--against", "keras", "--json"
    )
    (report,) = _reports(result)
    assert any("TensorFlow 1.15.5" in note for note in report["notes"])
    for kind, count in (("numpy", 18), ("keras", 2)):
        (check,) = [check for check in report["checks"] if f"against {kind}" in check["name"]]
        assert check["passed"] and check["detail"].startswith(f"{count} end points")
