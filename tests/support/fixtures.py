"""What is dear to make and shared by all tests: checkpoints and artifacts, made once with the command line itself."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.support import browser
from tests.support.command import Command, succeeded

#: A network of both kinds of cells, with a strided one of each, in a thousandth of the published size. Its drop path
#: makes training a matter of chance, as in the large models.
TINY = {
    "name": "tiny_nasnet",
    "family": "nasnet",
    "title": "NASNet-A (tiny)",
    "image_size": 64,
    "num_classes": 11,
    "num_cells": 3,
    "num_conv_filters": 8,
    "stem_filters": 8,
    "reductions": [1, 2],
    "skip_reduction_layer_input": True,
    "drop_path_keep_prob": 0.8,
    "dropout_keep_prob": 0.5,
    "weight_decay": 5.0e-5,
    "versions": {1: "hub", 3: "hub", 4: "saved_model_2", 5: "saved_model_2"},
}
#: The other family, without drop path.
TINY_PNASNET = {
    **TINY,
    "name": "tiny_pnasnet",
    "family": "pnasnet",
    "title": "PNASNet-5 (tiny)",
    "drop_path_keep_prob": 1.0,
    "weight_decay": 4.0e-5,
}
#: The first network with the classes of ImageNet, and with made-up accuracy to be held against.
TINY_IMAGENET = {
    **TINY,
    "name": "tiny_imagenet",
    "num_classes": 1001,
    "accuracy": {"top_1": 50.0, "top_5": 70.0},
}


#: The files of tests that take minutes, longest first: two processes share the files, and one that took a long one last
#: would leave the other idle.
LONG = (
    *("release", "hub_modules", "readers", "model_page", "writers", "serve", "sensitivity", "references", "evaluate"),
    *("diff", "fetch", "report", "verify", "foreign", "checkpoint", "numpy_network", "predict", "build", "gate"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Brings long files of tests to the front; the order within a file stays."""
    order = {f"test_{name}": place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: order.get(item.path.stem, len(LONG)))


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of everything that tests share; nothing in it may be changed by a test."""
    return tmp_path_factory.mktemp("shared")


@pytest.fixture(scope="session")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Command:
    """``cli("models", "--json")`` runs the command line in a real process."""
    return Command(tmp_path_factory.mktemp("cli"))


@pytest.fixture
def own_cli(tmp_path: Path) -> Command:
    """A command whose cache, temporary files and working folder belong to one test alone."""
    return Command(tmp_path / "own")


@pytest.fixture(scope="session")
def tiny(shared: Path) -> Path:
    """The configuration of a tiny NASNet, a MODEL for the command line."""
    return _written(shared / "tiny_nasnet.yaml", TINY)


@pytest.fixture(scope="session")
def tiny_pnasnet(shared: Path) -> Path:
    """The configuration of a tiny PNASNet, a MODEL for the command line."""
    return _written(shared / "tiny_pnasnet.yaml", TINY_PNASNET)


def _written(path: Path, fields: dict[str, object]) -> Path:
    path.write_text(yaml.safe_dump(fields, sort_keys=False), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def tiny_checkpoint(cli: Command, tiny: Path, shared: Path) -> Path:
    """The prefix of a checkpoint of the tiny NASNet, seed 0."""
    prefix = shared / "tiny" / "model.ckpt"
    succeeded(cli("synth", tiny, "--output", prefix))
    return prefix


@pytest.fixture(scope="session")
def tiny_pnasnet_checkpoint(cli: Command, tiny_pnasnet: Path, shared: Path) -> Path:
    """The prefix of a checkpoint of the tiny PNASNet, seed 0."""
    prefix = shared / "tiny_pnasnet" / "model.ckpt"
    succeeded(cli("synth", tiny_pnasnet, "--output", prefix))
    return prefix


@pytest.fixture(scope="session")
def tiny_artifacts(cli: Command, tiny: Path, tiny_checkpoint: Path, shared: Path) -> Path:
    """The ``--output`` folder of the tiny NASNet, both tasks: version 4 with verification, version 5 without."""
    output = shared / "tiny_artifacts"
    command = ("build", tiny, "--checkpoint", tiny_checkpoint, "--output", output)
    succeeded(cli(*command))
    succeeded(cli(*command, "--version", 5, "--no-verify"))
    return output


@pytest.fixture(scope="session")
def tiny_pnasnet_artifacts(cli: Command, tiny_pnasnet: Path, tiny_pnasnet_checkpoint: Path, shared: Path) -> Path:
    """The ``--output`` folder of the tiny PNASNet's feature vector, version 5, built with verification."""
    output = shared / "tiny_pnasnet_artifacts"
    options = ("--task", "feature_vector", "--version", 5, "--output", output)
    succeeded(cli("build", tiny_pnasnet, *options, "--checkpoint", tiny_pnasnet_checkpoint))
    return output


@pytest.fixture(scope="session")
def imagenet_artifacts(cli: Command, shared: Path) -> Path:
    """The ``--output`` folder of a tiny NASNet with 1001 classes, not verified.

    Version 4 of both tasks, version 3 of classification.
    """
    config = _written(shared / "tiny_imagenet.yaml", TINY_IMAGENET)
    prefix = shared / "tiny_imagenet" / "model.ckpt"
    succeeded(cli("synth", config, "--output", prefix))
    output = shared / "imagenet_artifacts"
    command = ("build", config, "--checkpoint", prefix, "--no-verify", "--output", output)
    succeeded(cli(*command))
    succeeded(cli(*command, "--version", 3, "--task", "classification"))
    return output


@pytest.fixture(scope="session")
def mobile_checkpoint(cli: Command, shared: Path) -> Path:
    """A ``.tar.gz`` of nasnet_mobile, seed 0, laid out like the published archive."""
    archive = shared / "nasnet-a_mobile.tar.gz"
    succeeded(cli("synth", "nasnet_mobile", "--output", archive))
    return archive


@pytest.fixture(scope="session")
def mobile_artifacts(cli: Command, mobile_checkpoint: Path, shared: Path) -> Path:
    """The ``--output`` folder of nasnet_mobile version 4, both tasks, built with verification."""
    output = shared / "mobile_artifacts"
    succeeded(cli("build", "nasnet_mobile", "--checkpoint", mobile_checkpoint, "--output", output))
    return output


@pytest.fixture(scope="session")
def hub_modules(cli: Command, tiny: Path, tiny_checkpoint: Path, shared: Path) -> Path:
    """The ``--output`` folder of versions 1 and 3 of the tiny NASNet, both tasks, built with verification."""
    output = shared / "hub_modules"
    for version in (1, 3):
        options = ("--format", "hub", "--version", version, "--output", output)
        succeeded(cli("build", tiny, *options, "--checkpoint", tiny_checkpoint))
    return output


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[browser.Page]:
    """A page of a real browser; without one, the test that asks is skipped."""
    if browser.CHROMIUM is None:
        pytest.skip("there is no Chromium here")
    with browser.page(tmp_path_factory.mktemp("browser") / "profile") as page:
        yield page
