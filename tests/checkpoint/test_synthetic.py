"""Synthetic checkpoints: the same bytes for the same seed, and the weights that the originals were recorded on."""

import hashlib
import json
import tarfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.checkpoint.names import MARKER
from exporter.checkpoint.synthetic import ImageSet, base_value
from exporter.models.config import model
from exporter.models.variables import VariableSpec, all_variables
from tests.models.test_variables import inventory
from tests.support import bundles
from tests.support.command import CHECKOUT, Command, refusal, succeeded

RECORD = CHECKOUT / "exporter" / "data" / "statistics"


def _recorded_value(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The rule by which the weights of the record were made, told once more and apart from the exporter."""
    generator = np.random.RandomState(zlib.crc32(b"nasexport/" + name.encode()))
    kind = name.split("/")[-1]
    if kind == "gamma":
        return generator.uniform(0.6, 1.4, shape).astype("float32")
    deviation = {"beta": 0.2, "biases": 0.5}.get(kind)
    if deviation is None:
        inputs = shape[0] * shape[1] if kind == "depthwise_weights" else int(np.prod(shape)) // shape[-1]
        deviation = (2.0 / inputs) ** 0.5
    return (generator.standard_normal(shape) * deviation).astype("float32")


@pytest.fixture(scope="module")
def mobile(mobile_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The tensors of the archive of nasnet_mobile."""
    folder = tmp_path_factory.mktemp("mobile")
    with tarfile.open(mobile_checkpoint) as tar:
        # As in the published archives: the checkpoint's files at the root, and nothing else.
        assert sorted(tar.getnames()) == ["model.ckpt.data-00000-of-00001", "model.ckpt.index"]
        for member in tar.getmembers():
            content = tar.extractfile(member)
            assert content is not None
            (folder / member.name).write_bytes(content.read())
    return bundles.read(folder / "model.ckpt")


def test_the_archive_of_a_model_has_exactly_its_variables(mobile: dict[str, Any]) -> None:
    recorded = {entry["name"]: tuple(entry["shape"]) for entry in inventory("nasnet_mobile")["variables"]}
    held = {name: value for name, value in mobile.items() if name != MARKER}
    assert {name: value.shape for name, value in held.items()} == recorded
    assert {value.dtype.name for value in held.values()} == {"float32"}
    assert json.loads(mobile[MARKER]) == {"layout": "plain", "model": "nasnet_mobile", "seed": 0}


def test_seed_zero_gives_the_weights_of_the_record(mobile: dict[str, Any]) -> None:
    with np.load(RECORD / "bn_nasnet_mobile.npz") as file:
        statistics = {name.replace("|", "/"): file[name].astype(np.float32) for name in file.files}
    for spec in all_variables(model("nasnet_mobile")):
        expected = _recorded_value(spec.name, spec.shape) if spec.trainable else statistics.get(spec.name)
        if expected is None:
            pytest.fail(f"no record of {spec.name}")
        np.testing.assert_array_equal(mobile[spec.name], expected, err_msg=spec.name, strict=True)


@given(
    scope=st.text("abc_/", min_size=1, max_size=20),
    leaf=st.sampled_from(["gamma", "beta", "biases", "weights", "pointwise_weights", "depthwise_weights"]),
    shape=st.lists(st.integers(1, 7), min_size=4, max_size=4).map(tuple),
)
def test_a_value_depends_on_name_shape_and_seed_alone(scope: str, leaf: str, shape: tuple[int, ...]) -> None:
    shape = shape if leaf.endswith("weights") else shape[:1]
    spec = VariableSpec(f"{scope}/{leaf}", shape, "feature")
    np.testing.assert_array_equal(base_value(spec, 0), _recorded_value(spec.name, shape), strict=True)
    np.testing.assert_array_equal(base_value(spec, 7), base_value(spec, 7), strict=True)
    assert base_value(spec, 7).tobytes() != base_value(spec, 0).tobytes()
    assert base_value(spec, 7).tobytes() != base_value(spec, 8).tobytes()


def test_images_are_in_range_and_depend_on_the_seed() -> None:
    images = ImageSet(count=3, seed=11).at(37)
    assert (images.shape, images.dtype) == ((3, 37, 37, 3), np.float32)
    assert 0 <= images.min() < 0.1 and 0.9 < images.max() <= 1
    np.testing.assert_array_equal(images, ImageSet(count=3, seed=11).at(37))
    assert (images != ImageSet(count=3, seed=12).at(37)).any()


def _hashes(files: list[Path]) -> list[str]:
    return [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]


def test_the_same_seed_gives_the_same_bytes_and_another_gives_others(
    cli: Command, tiny: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    first = sorted(tiny_checkpoint.parent.iterdir())
    succeeded(cli("synth", tiny, "--seed", 0, "--output", tmp_path / "again" / "model.ckpt"))
    result = succeeded(cli("synth", tiny, "--seed", 1, "--output", tmp_path / "other" / "model.ckpt"))
    again, other = (sorted((tmp_path / name).iterdir()) for name in ("again", "other"))
    assert [file.name for file in again] == [file.name for file in first]
    assert _hashes(again) == _hashes(first)
    assert sorted(result.stdout.splitlines()) == [str(file) for file in other]

    values, others = bundles.read(tiny_checkpoint), bundles.read(tmp_path / "other" / "model.ckpt")
    assert set(values) == set(others)
    constant = [name for name, value in values.items() if name != MARKER and (value == others[name]).all()]
    # Batch statistics of the auxiliary head are not calibrated: nothing that is exported runs through them.
    assert all(name.startswith("aux_") and "moving_" in name for name in constant)
    assert json.loads(others[MARKER])["seed"] == 1


def test_an_archive_has_the_same_bytes_for_the_same_seed(cli: Command, tiny_pnasnet: Path, tmp_path: Path) -> None:
    archives = [tmp_path / "one.tar.gz", tmp_path / "folder" / "two.tgz"]
    for archive in archives:
        result = succeeded(cli("synth", tiny_pnasnet, "--seed", 3, "--output", archive))
        assert result.stdout == f"{archive}\n"
    assert len(set(_hashes(archives))) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "one.tar.gz"]


def test_activations_keep_unit_scale(tiny_checkpoint: Path) -> None:
    values = bundles.read(tiny_checkpoint)
    variances = np.concatenate([value for name, value in values.items() if name.endswith("moving_variance")])
    assert variances.min() >= 1e-3
    assert 0.05 < np.median(variances) < 20


@pytest.mark.parametrize("option", [("--seed", "-1"), ("--seed", str(2**32)), ("--layout", "other"), ()])
def test_wrong_usage_is_told(own_cli: Command, tiny: Path, option: tuple[str, ...]) -> None:
    output = ("--output", "model.ckpt") if option else ()
    result = own_cli("synth", tiny, *option, *output)
    assert result.returncode == 2
    assert "Usage:" in result.stderr
    assert list(own_cli.cwd.iterdir()) == []


def test_an_output_that_cannot_be_written_is_refused(own_cli: Command, tiny: Path) -> None:
    (own_cli.cwd / "file").write_text("in the way")
    assert "file" in refusal(own_cli("synth", tiny, "--output", "file/model.ckpt"))
    assert (own_cli.cwd / "file").read_text() == "in the way"
