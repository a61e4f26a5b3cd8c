"""The oldest TensorFlow that may write against the newest: their artifacts agree, and the same readers take both."""

import functools
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from exporter.checkpoint.synthetic import ImageSet
from tests.support import environments
from tests.support.command import CHECKOUT, Command, artifact_folder, succeeded
from tests.support.fixtures import REDUCING
from tests.support.networks import TOLERANCE, difference
from tests.support.reading import SCRIPTS
from tests.support.shared import Store

pytestmark = pytest.mark.readers

VERSIONS = (3, 4)
TASK = "feature_vector"
NAME, SIZE = "written_nasnet", 64
#: Both kinds of cells, with strides, and every kind of layer; in its training mode, nothing is a matter of chance.
WRITTEN = {**REDUCING, "name": NAME, "drop_path_keep_prob": 1.0}


@pytest.fixture(scope="module")
def config(of_this_run: Store) -> Path:
    path = of_this_run.made("written", lambda folder: (folder / "written.yaml").write_text(yaml.safe_dump(WRITTEN)))
    return path / "written.yaml"


@pytest.fixture(scope="module")
def checkpoint(cli: Command, config: Path, of_this_run: Store) -> Path:
    path = of_this_run.made(
        "written_checkpoint", lambda folder: succeeded(cli("synth", config, "--output", folder / "model.ckpt"))
    )
    return path / "model.ckpt"


@pytest.fixture(scope="module")
def written(cli: Command, config: Path, checkpoint: Path, of_this_run: Store) -> dict[str, Path]:
    """The ``--output`` folders of the two writers, each with versions 3 and 4."""

    def write(python: Path, output: Path) -> None:
        for version in VERSIONS:
            # Each writer's own verification is left out: one reader of all comes below.
            options = ("--version", version, "--task", TASK, "--checkpoint", checkpoint, "--no-verify")
            command = [python, "-m", "exporter", "build", config, *options, "--output", output]
            variables = {**environments.clean_variables(), "PYTHONPATH": str(CHECKOUT)}
            process = subprocess.run(
                [str(part) for part in command],
                cwd=cli.cwd,
                env=variables,
                capture_output=True,
                text=True,
                check=False,
            )
            assert process.returncode == 0, process.stderr[-3000:]

    writers = {"oldest": environments.oldest_writer(), "newest": environments.current()}
    return {
        name: of_this_run.made(f"written_by_{name}", functools.partial(write, python))
        for name, python in writers.items()
    }


def test_they_are_what_wrote(written: dict[str, Path]) -> None:
    versions = {}
    for name, output in written.items():
        metadata = artifact_folder(output, NAME, TASK, 4) / "nasexport.json"
        versions[name] = json.loads(metadata.read_text(encoding="utf-8"))["tool"]["tensorflow"]
    assert versions["oldest"].startswith("2.16.")
    assert versions["newest"] != versions["oldest"]


def test_the_newest_reader_verifies_both(cli: Command, written: dict[str, Path], checkpoint: Path) -> None:
    paths = [artifact_folder(output, NAME, TASK, version) for output in written.values() for version in VERSIONS]
    reports = json.loads(succeeded(cli("verify", *paths, "--checkpoint", checkpoint, "--json")).stdout)
    assert [report["passed"] for report in reports] == [True] * len(paths)
    # All but the figures, which are matters of rounding, are the same for both writers.
    names = [[check["name"] for check in report["checks"]] for report in reports]
    assert names[: len(VERSIONS)] == names[len(VERSIONS) :]


@pytest.mark.parametrize(
    "reader",
    [environments.old, environments.last_with_hub_module],
    ids=["TensorFlow 1.15.5", "TensorFlow 2.15.1"],
)
def test_old_readers_find_no_difference(reader: Callable[[], Path], written: dict[str, Path], tmp_path: Path) -> None:
    """In inference and in training mode, of the TF1 Hub module and of the reusable SavedModel."""
    outputs = {}
    for name, output in written.items():
        folder = tmp_path / name
        folder.mkdir()
        np.savez(folder / "input.npz", images=ImageSet(count=2, seed=5).at(SIZE))
        paths = [str(artifact_folder(output, NAME, TASK, version)) for version in VERSIONS]
        script = str(SCRIPTS / "both_formats.py")
        process = subprocess.run(
            [str(reader()), script, *paths, str(folder)],
            env={**environments.clean_variables(), "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONWARNINGS": "ignore"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert process.returncode == 0, process.stderr[-3000:]
        with np.load(folder / "output.npz") as file:
            outputs[name] = {key: file[key] for key in file.files}
    assert outputs["oldest"].keys() == outputs["newest"].keys()
    for key, value in outputs["oldest"].items():
        assert difference(outputs["newest"][key], value) <= TOLERANCE, key
    np.testing.assert_allclose(outputs["oldest"]["module"], outputs["oldest"]["reusable"], atol=1e-4)
