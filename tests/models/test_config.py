"""Configurations: the four that ship, those that a user writes, and what is said of wrong ones."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from exporter.errors import ConfigError
from exporter.fetch.lock import locked_archive
from exporter.models.config import TASKS, ModelConfig, model, models, resolve_version
from exporter.models.formats import FORMATS, written
from exporter.models.variables import parameters, variables
from exporter.resources import resource
from tests.support.command import Command, refusal
from tests.support.fixtures import REDUCING

#: Name: image size, cells, filters, stem filters, reductions, skips reduction input, drop path, decay, features,
#: parameters of a classification and of a feature vector, published accuracies, archive.
PUBLISHED: dict[str, tuple[Any, ...]] = {
    "nasnet_mobile": (
        *(224, 12, 44, 32, (4, 8), False, 1.0, 4e-5, 1056, 5_327_773, 4_269_716, 74.0, 91.6),
        "nasnet-a_mobile_04_10_2017",
    ),
    "nasnet_large": (
        *(331, 18, 168, 96, (6, 12), True, 0.7, 5e-5, 4032, 88_953_851, 84_916_818, 82.7, 96.2),
        "nasnet-a_large_04_10_2017",
    ),
    "pnasnet_large": (
        *(331, 12, 216, 96, (4, 8), True, 0.6, 4e-5, 4320, 86_238_977, 81_913_656, 82.9, 96.2),
        "pnasnet-5_large_2017_12_13",
    ),
    "pnasnet_mobile": (
        *(224, 9, 54, 32, (3, 6), True, 1.0, 4e-5, 1080, 5_099_232, 4_017_151, 74.2, 91.9),
        "pnasnet-5_mobile_2017_12_13",
    ),
}


def test_the_models_are_those_that_were_published() -> None:
    assert set(models()) == set(PUBLISHED)
    assert [name for name, config in models().items() if not config.published] == ["pnasnet_mobile"]


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_model_has_the_published_figures(name: str) -> None:
    config = model(name)
    features = next(spec.shape[0] for spec in variables(config, "classification") if spec.role == "classifier")
    assert config.accuracy is not None
    assert (
        config.image_size,
        config.num_cells,
        config.num_conv_filters,
        config.stem_filters,
        config.reductions,
        config.skip_reduction_layer_input,
        config.drop_path_keep_prob,
        config.weight_decay,
        features,
        parameters(config, "classification"),
        parameters(config, "feature_vector"),
        config.accuracy["top_1"],
        config.accuracy["top_5"],
        config.checkpoint,
    ) == PUBLISHED[name]
    assert (config.num_classes, config.dropout_keep_prob) == (1001, 0.5)
    assert config.family == name.split("_")[0]


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_model_has_the_published_versions_and_a_locked_archive(name: str) -> None:
    config = model(name)
    hub = {1, 2, 3} if name == "pnasnet_large" else {1, 3}
    assert {version for version, format_ in config.versions.items() if format_ == "hub"} == hub
    assert {version for version, format_ in config.versions.items() if format_ == "saved_model_2"} == {4, 5}
    assert config.checkpoint is not None
    locked = locked_archive(config.checkpoint, resource("checkpoints.lock"))
    assert locked.url.endswith(f"/download.tensorflow.org/models/{config.checkpoint}.tar.gz")


def test_versions_default_to_the_newest_of_a_format() -> None:
    config = model("nasnet_mobile")
    assert resolve_version(config, None, None) == (4, "saved_model_2")
    assert resolve_version(config, "saved_model_2", None) == (4, "saved_model_2")
    assert resolve_version(config, "saved_model_2", 5) == (5, "saved_model_2")
    assert resolve_version(config, "hub", None) == (3, "hub")
    assert resolve_version(config, None, 1) == (1, "hub")


@pytest.mark.parametrize(("format_", "version"), [(None, 2), (None, 6), ("hub", 4), ("saved_model_2", 3), (None, -1)])
def test_a_version_that_does_not_exist_is_refused_with_those_that_do(format_: Any, version: int) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve_version(model("nasnet_mobile"), format_, version)
    assert f"version {version}" in str(caught.value)
    assert "1 (hub), 3 (hub), 4 (saved_model_2), 5 (saved_model_2)" in str(caught.value)


def test_an_unknown_model_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(ConfigError) as caught:
        model("nasnet_huge")
    for name in ("nasnet_huge", *PUBLISHED):
        assert name in str(caught.value)


def _file(folder: Path, text: str) -> str:
    path = folder / "network.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def _refused(path: str) -> str:
    with pytest.raises(ConfigError) as caught:
        model(path)
    message = str(caught.value)
    assert path in message
    assert len(message.splitlines()) <= 2
    return message


def test_a_file_describes_a_network(tmp_path: Path) -> None:
    config = model(_file(tmp_path, yaml.safe_dump(REDUCING)))
    assert config == ModelConfig.from_dict(REDUCING)
    assert config.reductions == (1, 2)


@pytest.mark.parametrize("field", sorted(set(REDUCING) - {"formats"}))
def test_a_missing_field_is_named(tmp_path: Path, field: str) -> None:
    fields = {name: value for name, value in REDUCING.items() if name != field}
    assert f"lacks {field}" in _refused(_file(tmp_path, yaml.safe_dump(fields)))


def test_an_unknown_field_is_named(tmp_path: Path) -> None:
    message = _refused(_file(tmp_path, yaml.safe_dump({**REDUCING, "num_cellz": 3})))
    assert "it has num_cellz, expected no other fields than name, family" in message
    odd: dict[Any, Any] = {**REDUCING, 7: 3, "a b": 4}
    assert "it has 7, 'a b', expected" in _refused(_file(tmp_path, yaml.safe_dump(odd, sort_keys=False)))


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("name", "../up", "name is '../up', expected a name of letters, digits and _"),
        ("name", "", "name is '', expected a name"),
        ("name", 7, "name is 7, expected a name"),
        ("name", "tiny\n", "name is 'tiny\\n', expected a name"),
        ("family", "resnet", "family is 'resnet', expected 'nasnet' or 'pnasnet'"),
        ("family", ["nasnet"], "family is ['nasnet'], expected 'nasnet' or 'pnasnet'"),
        ("title", None, "title is None, expected a text that is not empty"),
        ("title", "", "title is '', expected a text that is not empty"),
        ("image_size", "64", "image_size is '64', expected a whole number of at least 32"),
        ("image_size", 64.0, "image_size is 64.0, expected a whole number of at least 32"),
        ("image_size", 8, "image_size is 8, expected a whole number of at least 32"),
        ("num_classes", 0, "num_classes is 0, expected a whole number of at least 2"),
        ("num_cells", True, "num_cells is True, expected a whole number of at least 1"),
        (
            "num_cells",
            2**63,
            "num_cells is 9223372036854775808, expected a whole number of at least 1 and at most 1,000",
        ),
        ("num_cells", 1001, "num_cells is 1001, expected a whole number of at least 1 and at most 1,000"),
        ("image_size", 10**5, "image_size is 100000, expected a whole number of at least 32 and at most 10,000"),
        ("num_classes", 10**7, "num_classes is 10000000, expected a whole number of at least 2 and at most 1,000,000"),
        ("num_conv_filters", 10**6, "expected a whole number of at least 4 and at most 100,000"),
        ("stem_filters", 10**6, "expected a whole number of at least 1 and at most 100,000"),
        (
            "reductions",
            [*range(1, 1002)],
            "reductions[1000] is 1001, expected a whole number of at least 1 and at most 1,000",
        ),
        (
            "versions",
            {2**63: "hub"},
            "has the key 9223372036854775808, expected a whole number of at least 0, below 2**63",
        ),
        ("name", "a" * 101, "expected a name of letters, digits and _, at most 100"),
        ("num_conv_filters", -44, "num_conv_filters is -44, expected a whole number of at least 4"),
        ("stem_filters", [32], "stem_filters is [32], expected a whole number of at least 1"),
        ("reductions", "1, 2", "reductions is '1, 2', expected a list"),
        ("reductions", [2, 1], "reductions is [2, 1], expected cells in ascending order"),
        ("reductions", [1, 1], "reductions is [1, 1], expected cells in ascending order"),
        ("reductions", [0], "reductions[0] is 0, expected a whole number of at least 1"),
        ("reductions", {"x"}, "reductions[0] is 'x', expected a whole number of at least 1"),
        ("reductions", [1, 3], "num_cells is 3 and reductions is [1, 3], which goes beyond the last cell"),
        ("num_cells", 2, "num_cells is 2 and reductions is [1, 2], which goes beyond the last cell"),
        ("skip_reduction_layer_input", "yes, please", "layer_input is 'yes, please', expected true or false"),
        ("drop_path_keep_prob", 0, "drop_path_keep_prob is 0, expected a number above 0 and at most 1"),
        ("drop_path_keep_prob", 1.5, "drop_path_keep_prob is 1.5, expected a number above 0 and at most 1"),
        ("drop_path_keep_prob", float("nan"), "drop_path_keep_prob is nan, expected a number above 0"),
        ("dropout_keep_prob", "half", "dropout_keep_prob is 'half', expected a number above 0 and at most 1"),
        ("dropout_keep_prob", 10**400, "expected a number above 0 and at most 1"),
        ("weight_decay", -1e-5, "weight_decay is -1e-05, expected a finite number of at least 0"),
        ("weight_decay", float("inf"), "weight_decay is inf, expected a finite number of at least 0"),
        ("versions", [4, 5], "versions is [4, 5], expected a mapping"),
        ("versions", {4: "saved_model_3"}, "versions[4] is 'saved_model_3', expected 'hub' or 'saved_model_2'"),
        ("versions", {"4": "saved_model_3"}, "versions[4] is 'saved_model_3', expected 'hub' or 'saved_model_2'"),
        ("versions", {4: ["saved_model_2"]}, "versions[4] is ['saved_model_2'], expected a text"),
        ("versions", {"four": "saved_model_2"}, "versions has the key 'four', expected a whole number of at least 0"),
        ("versions", {-1: "hub"}, "versions has the key -1, expected a whole number of at least 0"),
        ("versions", {None: "hub"}, "versions has the key None, expected a whole number of at least 0"),
        ("published", 1, "published is 1, expected true or false"),
        ("checkpoint", 4, "checkpoint is 4, expected a text that is not empty or null"),
        ("checkpoint_has_auxiliary_head", "no", "checkpoint_has_auxiliary_head is 'no', expected true or false"),
        ("accuracy", 74.0, "accuracy is 74.0, expected a mapping or null"),
        ("accuracy", {"top_1": "74"}, "accuracy.top_1 is '74', expected a number of at least 0 and at most 100"),
    ],
)
def test_a_field_that_is_not_valid_is_named_with_what_was_found_and_expected(
    tmp_path: Path, field: str, value: Any, said: str
) -> None:
    assert said in _refused(_file(tmp_path, yaml.safe_dump({**REDUCING, field: value})))


@pytest.mark.parametrize("field", ["drop_path_keep_prob", "dropout_keep_prob", "weight_decay"])
def test_a_truth_value_is_no_number(tmp_path: Path, field: str) -> None:
    assert f"{field} is True" in _refused(_file(tmp_path, yaml.safe_dump({**REDUCING, field: True})))


@pytest.mark.parametrize("text", ["", "just a word", "- name: tiny\n", "7"])
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    assert "expected a mapping with name, family, title" in _refused(_file(tmp_path, text))


@pytest.mark.parametrize(
    "text",
    [
        *("name: [tiny", "name: {", "\tname: tiny", "name: !!python/object:os.system x", "name: !!bool x"),
        *("image_size: !!int x", "image_size: !!timestamp x", "name: 2017-13-32", "name: \x1b[31m"),
        pytest.param(f"image_size: {'9' * 5000}", id="more digits than Python reads"),
        pytest.param("[" * 2000, id="deep"),
    ],
)
def test_a_file_that_is_no_plain_yaml_is_refused(tmp_path: Path, text: str) -> None:
    assert "not valid YAML" in _refused(_file(tmp_path, text))


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    assert "No such file" in _refused(str(tmp_path / "absent.yaml"))
    (tmp_path / "folder.yaml").mkdir()
    assert "Is a directory" in _refused(str(tmp_path / "folder.yaml"))
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00name")
    assert "binary.yaml" in _refused(str(tmp_path / "binary.yaml"))


@pytest.mark.parametrize(
    "fields", [{**REDUCING, "family": ["nasnet"]}, {**REDUCING, "name": None}, {"name": "tiny"}, []]
)
def test_the_command_line_refuses_a_bad_file_in_a_line(own_cli: Command, fields: Any) -> None:
    path = _file(own_cli.cwd, yaml.safe_dump(fields))
    assert path in refusal(own_cli("build", path, "--checkpoint", "model.ckpt"))


def _formats(*, numbered: bool) -> list[str]:
    return [name for name in written() if FORMATS[name].numbered == numbered]


_whole = st.integers(1, 1000)
_filters = st.integers(1, 10**5)
_probability = st.floats(0, 1, exclude_min=True)
_configs = st.fixed_dictionaries(
    {
        "name": st.from_regex(r"[a-z][a-z0-9_]{0,20}", fullmatch=True),
        "family": st.sampled_from(["nasnet", "pnasnet"]),
        "title": st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "Zs")), min_size=1),
        "image_size": st.integers(32, 4096),
        "num_classes": st.integers(2, 10**6),
        "num_cells": _whole,
        "num_conv_filters": st.integers(4, 4096),
        "stem_filters": _filters,
        "reductions": st.sets(st.integers(1, 999), max_size=4).map(sorted),
        "skip_reduction_layer_input": st.booleans(),
        "drop_path_keep_prob": _probability,
        "dropout_keep_prob": _probability,
        "weight_decay": st.floats(0, 1),
        "versions": st.dictionaries(st.integers(0, 99), st.sampled_from(_formats(numbered=True))),
    },
    optional={
        "formats": st.lists(st.sampled_from(_formats(numbered=False)), unique=True),
        "published": st.booleans(),
        "checkpoint": st.none() | st.from_regex(r"[a-z0-9_-]+", fullmatch=True),
        "checkpoint_has_auxiliary_head": st.booleans(),
        "accuracy": st.none() | st.dictionaries(st.sampled_from(["top_1", "top_5"]), st.floats(0, 100)),
    },
)


def _with_cells_enough(fields: dict[str, Any]) -> dict[str, Any]:
    return {**fields, "num_cells": max([fields["num_cells"], *(index + 1 for index in fields["reductions"])])}


@given(fields=_configs.map(_with_cells_enough))
def test_a_configuration_survives_yaml_and_back(fields: dict[str, Any]) -> None:
    config = ModelConfig.from_dict(fields)
    for name, value in fields.items():
        assert getattr(config, name) == (tuple(value) if isinstance(value, list) else value)
    assert ModelConfig.from_dict(yaml.safe_load(yaml.safe_dump(config.to_dict()))) == config


_anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=5), values, max_size=3),
    max_leaves=5,
)


@given(field=st.sampled_from(sorted(REDUCING)), value=_anything)
def test_any_value_is_either_taken_or_refused_by_name(field: str, value: Any) -> None:
    said = ""
    try:
        config = ModelConfig.from_dict({**REDUCING, field: value})
        assert ModelConfig.from_dict(config.to_dict()) == config
    except ConfigError as error:
        said = str(error)
    assert not said or re.search(rf"\b{field}(\S* is | has the key )", said)


def test_tasks_are_the_two_published_ones() -> None:
    assert TASKS == ("classification", "feature_vector")
