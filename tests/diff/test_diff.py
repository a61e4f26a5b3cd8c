"""`nasexport diff`: artifacts that are the same, and every way in which two can differ, found and named."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exporter.artifact import hub_messages
from exporter.artifact.variable_names import prefixes, without
from tests.support import bundles, foreign, pictures
from tests.support.command import Command, Result, artifact_folder, files_below, refusal, succeeded
from tests.support.packing import packed, with_members

#: A kernel in the middle of the network.
KERNEL = "cell_0/comb_iter_0/left/separable_5x5_1/pointwise_weights"
MODEL = "tiny_nasnet"
FILES = ("--only", "format,tag-sets,signatures,variables")


def _artifact(output: Path, version: int) -> Path:
    return artifact_folder(output, MODEL, "classification", version)


def _build(cli: Command, tiny: Path, checkpoint: Path, output: Path, *options: object) -> Path:
    fixed = ("--task", "classification", "--checkpoint", checkpoint, "--no-verify", "--output", output)
    succeeded(cli("build", tiny, *fixed, *options))
    return output


@pytest.fixture(scope="module")
def module(cli: Command, tiny: Path, tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Version 3 of the same network as `tiny_artifacts`."""
    output = tmp_path_factory.mktemp("module")
    return _artifact(_build(cli, tiny, tiny_checkpoint, output, "--version", 3), 3)


def _compared(result: Result) -> dict[str, Any]:
    """The comparisons by name, of a command that compared."""
    assert result.returncode in (0, 1), result.stderr
    assert "error" not in result.stderr
    difference = json.loads(result.stdout)
    comparisons = {comparison["name"]: comparison for comparison in difference["comparisons"]}
    assert len(comparisons) == len(difference["comparisons"])
    assert difference["same"] == all(comparison["same"] for comparison in comparisons.values())
    assert result.returncode == (0 if difference["same"] else 1)
    return comparisons


def _differing(comparisons: dict[str, Any]) -> set[str]:
    return {name for name, comparison in comparisons.items() if not comparison["same"]}


def test_the_files_of_an_artifact_are_those_of_its_archive(own_cli: Command, tiny_artifacts: Path) -> None:
    folder = _artifact(tiny_artifacts, 5)
    archive = packed(folder, own_cli.cwd / "5.tar.gz")
    result = own_cli("diff", folder, archive, *FILES, "--json")
    comparisons = _compared(result)
    assert result.returncode == 0
    assert files_below(own_cli.temporary) == []
    difference = json.loads(result.stdout)
    assert (difference["a"], difference["b"]) == (str(folder), str(archive))
    assert (difference["notes"], difference["tolerance"]) == ([], 1e-4)
    assert comparisons["variables by name"]["in_both"] == comparisons["values of variables"]["compared"] == 214


@pytest.mark.long
def test_every_kind_of_difference_in_what_it_does_is_named(
    cli: Command, tiny: Path, tiny_checkpoint: Path, tiny_artifacts: Path, tmp_path: Path
) -> None:
    good = _artifact(tiny_artifacts, 5)
    options = ("--version", 5, "--batch-norm-momentum", 0.9)
    other = _artifact(_build(cli, tiny, tiny_checkpoint, tmp_path / "built", *options), 5)
    bundles.with_scaled(other, tmp_path / "other", KERNEL, 1.02)
    comparisons = _compared(cli("diff", good, tmp_path / "other", "--json"))
    assert _differing(comparisons) == {
        "values of variables",
        "L2 terms",
        "output",
        "output for one image",
        "end points",
        "outputs of signature serving_default",
        # Not what training gives: batch normalization by the batch takes the factor out again.
        "moving averages after one step at momentum 0.75",
        "default momentum",
    }
    aspects = ["format", "tag-sets", "signatures", "variables", "trainable", "l2", "outputs", "training", "momentum"]
    assert list(dict.fromkeys(comparison["aspect"] for comparison in comparisons.values())) == aspects
    # Drop path and dropout do not make two runs differ.
    assert comparisons["output in training"]["outputs"][0]["relative_difference"] < 1e-5
    values = comparisons["values of variables"]
    assert values["differing"] == [values["largest"]]
    assert (values["largest"]["name"], values["largest"]["relative_difference"]) == (KERNEL, pytest.approx(0.02, 1e-3))
    kernel = bundles.values_of(good)[KERNEL]
    assert values["largest"]["absolute_difference"] == pytest.approx(0.02 * float(np.abs(kernel).max()), rel=1e-3)
    assert KERNEL in values["detail"] and "1 of 214 differ" in values["detail"]
    assert comparisons["output"]["outputs"][0]["relative_difference"] > 1e-4
    end_points = {row["name"]: row["same"] for row in comparisons["end points"]["outputs"]}
    assert end_points.pop("Stem") and set(end_points.values()) == {False}
    momenta = comparisons["default momentum"]
    assert (momenta["a"], momenta["b"]) == (pytest.approx(0.99, abs=1e-6), pytest.approx(0.9, abs=1e-6))
    assert momenta["detail"] == "0.99 | 0.9"


@pytest.mark.long
def test_a_module_named_by_the_hub_does_what_a_packed_version_4_does(
    own_cli: Command, module: Path, tiny_artifacts: Path, tmp_path: Path
) -> None:
    theirs = foreign.as_hub_wrote_it(module, tmp_path / "3")
    only = ("--only", "variables,trainable,l2", "--only", "outputs", "--only", "training,momentum")
    archive = packed(_artifact(tiny_artifacts, 4), own_cli.cwd / "4.tar.gz")
    result = succeeded(own_cli("diff", theirs, archive, *only))
    assert files_below(own_cli.temporary) == []
    lines = [line.strip() for line in result.stdout.splitlines()]
    assert lines[:2] == [f"A {theirs}", f"B {archive}"]
    for line in (
        "same variables by name: 214 in both",
        "same values of variables: 214, bit for bit",
        "same trainable variables: 142 in both",
        "same variables that training changes: 72 in both",
        "same default momentum: 0.99",
        "note variables of A are named below module/, which was left out when they were matched",
        "all 13 are the same",
    ):
        assert line in lines
    for name in ("output", "end points", "output in training", "moving averages after one step at momentum 0.75"):
        assert any(line.startswith(f"same {name}: ") for line in lines)
    assert not any("format" in line or "signature" in line for line in lines)


def test_what_the_files_of_two_formats_say(cli: Command, module: Path, tiny_artifacts: Path) -> None:
    result = cli("diff", module, _artifact(tiny_artifacts, 4), *FILES)
    assert result.returncode == 1
    for line in (
        "  DIFF format: hub | saved_model_2\n",
        "  same image size: 64\n",
        "  DIFF tag sets: {} {train} | {serve}\n",
        "  DIFF signatures by name: 0 in both; only in A: 10 (",
        "  same values of variables: 214, bit for bit\n",
        "  3 of 8 differ\n",
    ):
        assert line in result.stdout


def test_a_signature_more_is_a_difference(cli: Command, tiny_artifacts: Path) -> None:
    comparisons = _compared(
        cli("diff", *(_artifact(tiny_artifacts, version) for version in (5, 4)), "--only", "signatures", "--json")
    )
    assert _differing(comparisons) == {"signatures by name"}
    assert comparisons["signatures by name"]["only_in_a"] == ["{serve} serving_default"]
    assert comparisons["signatures by name"]["only_in_b"] == []


def test_every_difference_in_the_files_is_named(cli: Command, module: Path, tmp_path: Path) -> None:
    altered = tmp_path / "altered"
    shutil.copytree(module, altered)

    def variables(values: dict[str, Any]) -> dict[str, Any]:
        values["conv0_bn/beta"] = values["conv0_bn/beta"] + np.float32(1e-3)
        values["conv0_bn/moving_mean"] = values["conv0_bn/moving_mean"] * np.float32(np.nan)
        values["conv0/weights"] = values["conv0/weights"][:2]
        values["extra/weights"] = values.pop("final_layer/FC/biases")
        return {f"module/{name}": value for name, value in values.items()}

    def signatures(held: Any) -> None:
        del held["image_classification"]
        held["default"].inputs["images"].tensor_shape.dim[1].size = 32
        del held["default"].outputs[f"{MODEL}/Stem"]

    foreign.with_variables(altered, variables)
    foreign.with_signatures(altered, signatures)
    result = cli("diff", module, altered, "--only", "format,signatures,variables", "--json")
    comparisons = _compared(result)
    assert json.loads(result.stdout)["notes"] == [
        "variables of B are named below module/, which was left out when they were matched"
    ]
    same = {name for name, comparison in comparisons.items() if comparison["same"]}
    assert same == {"format", "image size"}

    assert comparisons["signatures by name"]["only_in_a"] == ["{train} image_classification", "{} image_classification"]
    changed = {row["where"]: (row["a"], row["b"]) for row in comparisons["inputs and outputs of signatures"]["changed"]}
    images = [{"dtype": "float32", "shape": [None, size, 64, 3]} for size in (64, 32)]
    for tags in ("{}", "{train}"):
        assert changed[f"{tags} default input images"] == tuple(images)
        assert changed[f"{tags} default output {MODEL}/Stem"][1] is None
    assert len(changed) == 4

    assert comparisons["variables by name"]["only_in_a"] == ["final_layer/FC/biases"]
    assert comparisons["variables by name"]["only_in_b"] == ["extra/weights"]
    shapes = comparisons["shapes and types of variables"]["differing"]
    assert shapes == [{"name": "conv0/weights", "a": "float32 [3, 3, 3, 8]", "b": "float32 [2, 3, 3, 8]"}]
    values = {row["name"]: row for row in comparisons["values of variables"]["differing"]}
    assert set(values) == {"conv0_bn/beta", "conv0_bn/moving_mean"}
    assert values["conv0_bn/beta"]["absolute_difference"] == pytest.approx(1e-3, rel=1e-3)
    # What is no number is larger than any, and JSON has no word for it.
    assert comparisons["values of variables"]["largest"]["name"] == "conv0_bn/moving_mean"
    assert values["conv0_bn/moving_mean"]["relative_difference"] is None


@pytest.mark.parametrize("missing", ["", "train"])
def test_a_module_without_one_of_its_tag_sets_is_compared_as_far_as_it_goes(
    cli: Command, module: Path, tmp_path: Path, missing: str
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(module, copy)
    with bundles.edited(copy) as saved_model:
        (place,) = (
            number
            for number, each in enumerate(saved_model.meta_graphs)
            if ",".join(each.meta_info_def.tags) == missing
        )
        del saved_model.meta_graphs[place]
    comparisons = _compared(cli("diff", copy, copy, "--only", "tag-sets,variables,outputs,training", "--json"))
    # Nothing is known of what they do, so that they cannot pass for the same.
    assert _differing(comparisons) == {"outputs", "training"}
    for name in ("outputs", "training"):
        assert comparisons[name]["detail"] == "A and B not run, for want of one of the tag sets {} and {train}"


def test_an_artifact_cannot_ask_for_images_that_fill_the_machine(cli: Command, module: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(module, copy)
    (copy / "nasexport.json").unlink()
    with bundles.edited(copy) as saved_model:
        for meta_graph in saved_model.meta_graphs:
            attached = meta_graph.collection_def["hub_module_attachments"].bytes_list.value
            attached[0] = hub_messages.image_size_attachment(100_000)
    assert "images of 100000 x 100000 pixels" in refusal(cli("diff", copy, module, "--only", "outputs"))
    picture = pictures.written(tmp_path / "picture.png", pictures.picture(0))
    assert "images of 100000 x 100000 pixels" in refusal(cli("predict", copy, picture))


def test_what_cannot_be_run_is_refused_with_a_way_out(cli: Command, tiny_artifacts: Path) -> None:
    folder = _artifact(tiny_artifacts, 5)
    message = refusal(cli("diff", folder, folder, "--only", "outputs", "--image-size", 32))
    assert str(folder) in message
    assert message.splitlines()[1].endswith("--only format,tag-sets,signatures,variables")


def test_cut_variables_are_refused(cli: Command, tiny_artifacts: Path, tmp_path: Path) -> None:
    folder = _artifact(tiny_artifacts, 5)
    shutil.copytree(folder, tmp_path / "cut")
    data = bundles.data_file(tmp_path / "cut" / "variables" / "variables")
    data.write_bytes(data.read_bytes()[:-1000])
    message = refusal(cli("diff", folder, tmp_path / "cut", "--only", "variables"))
    assert f"{tmp_path / 'cut' / 'variables'} is damaged or missing" in message


def test_what_is_no_artifact_is_refused(own_cli: Command, tiny_artifacts: Path) -> None:
    folder = _artifact(tiny_artifacts, 5)
    hostile = {"saved_model.pb": b"x", "../saved_model.pb": b"x"}
    with_members(own_cli.cwd / "evil.tar.gz", hostile, {})
    with_members(own_cli.cwd / "linked.tar.gz", {"saved_model.pb": b"x"}, {"variables": "/etc"})
    (own_cli.cwd / "torn.tar.gz").write_bytes(b"\x1f\x8b")
    for name, said in {
        "absent": "there is nothing at absent",
        ".": "holds no saved_model.pb",
        "evil.tar.gz": "leads out",
        "linked.tar.gz": "link or a device",
        "torn.tar.gz": "not a whole .tar.gz archive",
    }.items():
        for pair in ((folder, name), (name, folder)):
            assert said in refusal(own_cli("diff", *pair, "--json"))
    assert files_below(own_cli.temporary) == []
    assert files_below(own_cli.cwd) == ["evil.tar.gz", "linked.tar.gz", "torn.tar.gz"]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("a",), "Missing argument"),
        (("a", "b", "c"), "unexpected extra argument"),
        (("a", "b", "--only", "weights"), "'weights' is none of format, tag-sets"),
        (("a", "b", "--only", ","), "the list of names is empty"),
        (("a", "b", "--tolerance", "-1"), "-1.0 is not in the range 0<=x<=1000"),
        (("a", "b", "--tolerance", "nan"), "'nan' is not a finite number"),
        (("a", "b", "--tolerance", "much"), "much"),
        (("a", "b", "--image-size", "0"), "--image-size"),
    ],
)
def test_wrong_usage_ends_with_status_2(own_cli: Command, args: tuple[str, ...], said: str) -> None:
    result = own_cli("diff", *args)
    assert result.returncode == 2
    assert result.stdout == ""
    assert said in result.stderr


NAMES = ["conv/weights", "cell_0/weights", "cell_1/weights"]


@pytest.mark.parametrize(
    ("first", "second", "found"),
    [
        (NAMES, NAMES, ("", "")),
        (NAMES, [f"module/{name}" for name in NAMES], ("", "module/")),
        ([f"a/b/{name}" for name in NAMES], NAMES, ("a/b/", "")),
        ([f"one/{name}" for name in NAMES], [f"two/{name}" for name in NAMES], ("one/", "two/")),
        ([f"module/{name}" for name in NAMES], [f"module/{name}" for name in NAMES], ("", "")),
        (NAMES, ["global_step", *(f"module/{name}" for name in NAMES)], ("", "module/")),
        # Two names would become one.
        (NAMES, ["conv/weights", *(f"module/{name}" for name in NAMES)], ("", "")),
        (NAMES, ["something", "else"], ("", "")),
        ([], NAMES, ("", "")),
        ([], [], ("", "")),
    ],
)
def test_a_common_prefix_is_found(first: list[str], second: list[str], found: tuple[str, str]) -> None:
    assert prefixes(first, second) == found
    assert without("module/a", "module/") == without("a", "module/") == "a"
