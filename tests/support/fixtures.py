"""What tests share: commands, and checkpoints and artifacts that the command line itself makes, once for many runs."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import browser, environments, shared
from tests.support.command import Command, succeeded
from tests.support.shared import Store

#: Both kinds of cells (the stem has reductions) and every kind of layer, in few operations: what a command
#: costs grows with the number of cells. Its drop path makes training a matter of chance, as in the large models.
TINY = {
    "name": "tiny_nasnet",
    "family": "nasnet",
    "title": "NASNet-A (tiny)",
    "image_size": 64,
    "num_classes": 11,
    "num_cells": 1,
    "num_conv_filters": 8,
    "stem_filters": 8,
    "reductions": [],
    "skip_reduction_layer_input": True,
    "drop_path_keep_prob": 0.8,
    "dropout_keep_prob": 0.5,
    "weight_decay": 5.0e-5,
    "versions": {1: "hub", 3: "hub", 4: "saved_model_2", 5: "saved_model_2"},
    "formats": ["onnx", "keras", "litert"],
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
#: The first network with reductions between its cells, and therefore with an auxiliary head in its checkpoints.
REDUCING = {**TINY, "name": "reducing_nasnet", "num_cells": 3, "reductions": [1, 2]}
#: The other family with cells that stride.
REDUCING_PNASNET = {**TINY_PNASNET, "name": "reducing_pnasnet", "num_cells": 3, "reductions": [1, 2]}
#: The first network with the classes of ImageNet, and with made-up accuracy to be held against.
TINY_IMAGENET = {
    **TINY,
    "name": "tiny_imagenet",
    "num_classes": 1001,
    "accuracy": {"top_1": 50.0, "top_5": 70.0},
}


#: What a test that asks for a fixture is marked with.
MARKERS = {"mobile_checkpoint": "full", "mobile_artifacts": "full", "tab": "browser"}
#: Parameters of tests that run a reader in an interpreter of its own.
READERS = (
    *("current", "tensorflow_1_15", "tensorflow_2_15"),
    *(environments.current, environments.old, environments.last_with_hub_module),
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks tests by what they ask for, before any is chosen by its markers."""
    for item in items:
        for name in MARKERS.keys() & set(getattr(item, "fixturenames", ())):
            item.add_marker(MARKERS[name])
        parameters = getattr(getattr(item, "callspec", None), "params", {})
        if any(value in READERS for value in parameters.values() if callable(value) or isinstance(value, str)):
            item.add_marker("readers")


@pytest.fixture(scope="session")
def kept() -> Iterator[Store]:
    """Entries that all processes of a run share, and later runs of the same code; no test may change one."""
    store = shared.kept()
    yield store
    _require_unchanged(store)


@pytest.fixture(scope="session")
def of_this_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Entries that all processes of a run share: what is tested with several tests, and takes long."""
    folder = tmp_path_factory.getbasetemp()
    # Each process of pytest-xdist has a folder in that of the run.
    store = Store((folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "of_this_run")
    yield store
    _require_unchanged(store)


def _require_unchanged(store: Store) -> None:
    changed = store.changed()
    assert not changed, f"tests have changed what all of them share: {', '.join(changed)}"


@pytest.fixture(scope="session")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Command:
    """``cli("models", "--json")`` runs the command line in a real process."""
    return Command(tmp_path_factory.mktemp("cli"))


@pytest.fixture
def own_cli(tmp_path: Path) -> Command:
    """A command whose cache, temporary files and working folder belong to one test alone."""
    return Command(tmp_path / "own")


@pytest.fixture(scope="session")
def tiny(kept: Store) -> Path:
    """The configuration of a tiny NASNet, a MODEL for the command line."""
    return _config(kept, TINY)


@pytest.fixture(scope="session")
def tiny_pnasnet(kept: Store) -> Path:
    """The configuration of a tiny PNASNet, a MODEL for the command line."""
    return _config(kept, TINY_PNASNET)


def _config(kept: Store, fields: Mapping[str, Any]) -> Path:
    name = f"{fields['name']}.yaml"
    text = yaml.safe_dump(dict(fields), sort_keys=False)
    return kept.made(str(fields["name"]), lambda folder: (folder / name).write_text(text), __file__) / name


@pytest.fixture(scope="session")
def tiny_checkpoint(cli: Command, tiny: Path, kept: Store) -> Path:
    """The prefix of a checkpoint of the tiny NASNet, seed 0."""
    return _checkpoint(cli, tiny, kept)


@pytest.fixture(scope="session")
def tiny_pnasnet_checkpoint(cli: Command, tiny_pnasnet: Path, kept: Store) -> Path:
    """The prefix of a checkpoint of the tiny PNASNet, seed 0."""
    return _checkpoint(cli, tiny_pnasnet, kept)


def _checkpoint(cli: Command, config: Path, kept: Store) -> Path:
    def make(folder: Path) -> None:
        succeeded(cli("synth", config, "--output", folder / "model.ckpt"))

    return kept.made(f"{config.stem}_checkpoint", make, __file__) / "model.ckpt"


@pytest.fixture(scope="session")
def reducing(kept: Store) -> Path:
    """The configuration of the NASNet with reductions between its cells, a MODEL for the command line."""
    return _config(kept, REDUCING)


@pytest.fixture(scope="session")
def reducing_checkpoint(cli: Command, reducing: Path, kept: Store) -> Path:
    """The prefix of a checkpoint of the NASNet with reductions, seed 0, with an auxiliary head."""
    return _checkpoint(cli, reducing, kept)


@pytest.fixture(scope="session")
def reducing_artifacts(cli: Command, reducing: Path, reducing_checkpoint: Path, kept: Store) -> Path:
    """The ``--output`` folder of networks with reductions between their cells.

    Classification of a NASNet, version 4, and the feature vector of a PNASNet, version 5, with verification; without
    it, the NASNet's feature vector, version 4, and classification, versions 3 and 5.
    """
    pnasnet = _config(kept, REDUCING_PNASNET)
    pnasnet_checkpoint = _checkpoint(cli, pnasnet, kept)
    classification, feature_vector = (("--task", task) for task in ("classification", "feature_vector"))

    def make(output: Path) -> None:
        to = ("--output", output)
        command = ("build", reducing, "--checkpoint", reducing_checkpoint, *to)
        succeeded(cli(*command, *classification))
        succeeded(cli(*command, *feature_vector, "--no-verify"))
        for version in (3, 5):
            succeeded(cli(*command, *classification, "--version", version, "--no-verify"))
        succeeded(cli("build", pnasnet, "--checkpoint", pnasnet_checkpoint, *feature_vector, "--version", 5, *to))

    return kept.made("reducing_artifacts", make, __file__)


@pytest.fixture(scope="session")
def tiny_artifacts(cli: Command, tiny: Path, tiny_checkpoint: Path, kept: Store) -> Path:
    """The ``--output`` folder of the tiny NASNet, both tasks: version 4 with verification, version 5 without."""

    def make(output: Path) -> None:
        command = ("build", tiny, "--checkpoint", tiny_checkpoint, "--output", output)
        succeeded(cli(*command))
        succeeded(cli(*command, "--version", 5, "--no-verify"))

    return kept.made("tiny_artifacts", make, __file__)


@pytest.fixture(scope="session")
def tiny_reference(cli: Command, tiny: Path, tiny_checkpoint: Path, kept: Store) -> Path:
    """What `reference record` wrote of the tiny NASNet."""

    def make(folder: Path) -> None:
        path = folder / "tiny.npz"
        result = succeeded(cli("reference", "record", tiny, "--checkpoint", tiny_checkpoint, "--output", path))
        assert result.stdout == f"{path}\n"

    return kept.made("tiny_reference", make, __file__) / "tiny.npz"


@pytest.fixture(scope="session")
def tiny_pnasnet_artifacts(cli: Command, tiny_pnasnet: Path, tiny_pnasnet_checkpoint: Path, kept: Store) -> Path:
    """The ``--output`` folder of the tiny PNASNet's feature vector, version 5, built with verification."""

    def make(output: Path) -> None:
        options = ("--task", "feature_vector", "--version", 5, "--output", output)
        succeeded(cli("build", tiny_pnasnet, *options, "--checkpoint", tiny_pnasnet_checkpoint))

    return kept.made("tiny_pnasnet_artifacts", make, __file__)


@pytest.fixture(scope="session")
def imagenet_artifacts(cli: Command, kept: Store) -> Path:
    """The ``--output`` folder of a tiny NASNet with 1001 classes, not verified.

    Version 4 of both tasks, version 3 of classification.
    """
    config = _config(kept, TINY_IMAGENET)

    def make(output: Path) -> None:
        command = ("build", config, "--checkpoint", _checkpoint(cli, config, kept), "--no-verify", "--output", output)
        succeeded(cli(*command))
        succeeded(cli(*command, "--version", 3, "--task", "classification"))

    return kept.made("imagenet_artifacts", make, __file__)


@pytest.fixture(scope="session")
def mobile_checkpoint(cli: Command, kept: Store) -> Path:
    """A ``.tar.gz`` of nasnet_mobile, seed 0, laid out like the published archive."""
    name = "nasnet-a_mobile.tar.gz"

    def make(folder: Path) -> None:
        succeeded(cli("synth", "nasnet_mobile", "--output", folder / name))

    return kept.made("mobile_checkpoint", make, __file__) / name


@pytest.fixture(scope="session")
def mobile_artifacts(cli: Command, mobile_checkpoint: Path, kept: Store) -> Path:
    """The ``--output`` folder of nasnet_mobile version 4, both tasks, built with verification."""

    def make(output: Path) -> None:
        succeeded(cli("build", "nasnet_mobile", "--checkpoint", mobile_checkpoint, "--output", output))

    return kept.made("mobile_artifacts", make, __file__)


@pytest.fixture(scope="session")
def hub_modules(cli: Command, tiny: Path, tiny_checkpoint: Path, kept: Store) -> Path:
    """The ``--output`` folder of versions 1 and 3 of the tiny NASNet, both tasks, built with verification."""

    def make(output: Path) -> None:
        for version in (1, 3):
            options = ("--format", "hub", "--version", version, "--output", output)
            succeeded(cli("build", tiny, *options, "--checkpoint", tiny_checkpoint))

    return kept.made("hub_modules", make, __file__)


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[browser.Page]:
    """A page of a real browser; without one, the test that asks is skipped."""
    if browser.CHROMIUM is None:
        pytest.skip("there is no Chromium here")
    with browser.page(tmp_path_factory.mktemp("browser") / "profile") as page:
        yield page
