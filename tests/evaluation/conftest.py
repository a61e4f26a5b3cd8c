"""A tiny network for ONNX Runtime, whose processes start at once, for what is not about what it computes."""

from pathlib import Path

import pytest
import yaml

from tests.support.command import Command, artifact_folder, succeeded
from tests.support.fixtures import TINY_IMAGENET
from tests.support.shared import Store


@pytest.fixture(scope="session")
def imagenet_onnx(cli: Command, kept: Store) -> Path:
    """The ``--output`` folder of its artifacts of both tasks, with 1001 classes; not verified."""

    def make(output: Path) -> None:
        (output / "tiny.yaml").write_text(yaml.safe_dump(TINY_IMAGENET))
        succeeded(cli("synth", output / "tiny.yaml", "--output", output / "model.ckpt"))
        command = ("build", output / "tiny.yaml", "--checkpoint", output / "model.ckpt", "--no-verify")
        succeeded(cli(*command, "--format", "onnx", "--output", output))

    return kept.made("imagenet_onnx", make, __file__)


@pytest.fixture(scope="session")
def artifact(imagenet_onnx: Path) -> Path:
    """Its artifact that gives feature vectors; modules about other formats have a fixture of their own by that name."""
    return artifact_folder(imagenet_onnx, "tiny_imagenet", "feature_vector", "onnx")
