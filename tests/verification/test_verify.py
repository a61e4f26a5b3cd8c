"""`nasexport verify`: good artifacts pass, and whatever is wrong with one is found and named."""

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support import bundles
from tests.support.command import Command, Result, artifact_folder, refusal, succeeded

#: A kernel in the middle of the network.
KERNEL = "cell_0/comb_iter_0/left/separable_5x5_1/pointwise_weights"


def _artifact(output: Path, task: str = "feature_vector", version: int = 5) -> Path:
    return artifact_folder(output, "tiny_nasnet", task, version)


def _failed(report: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The failed checks of a report by name."""
    failed = {check["name"]: check for check in report["checks"] if not check["passed"]}
    assert report["passed"] == (not failed)
    return failed


def _reports(result: Result, status: int) -> list[dict[str, Any]]:
    assert result.returncode == status, result.stderr
    assert "Traceback" not in result.stderr
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def damaged(tiny_artifacts: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Copies of good artifacts, each with one thing wrong."""
    folder = tmp_path_factory.mktemp("damaged")
    good = _artifact(tiny_artifacts)
    copies = {name: folder / name for name in ("kernel", "graph", "no variables", "cut variables")}
    bundles.with_scaled(good, copies["kernel"], KERNEL, 1.02)
    for name in ("graph", "no variables", "cut variables"):
        shutil.copytree(good, copies[name])
    graph = copies["graph"] / "saved_model.pb"
    graph.write_bytes(graph.read_bytes()[:-1000])
    shutil.rmtree(copies["no variables"] / "variables")
    data = bundles.data_file(copies["cut variables"] / "variables" / "variables")
    data.write_bytes(data.read_bytes()[:-1000])
    return copies


def test_every_artifact_is_judged_and_what_is_wrong_is_named(
    cli: Command, tiny_artifacts: Path, tiny_checkpoint: Path, damaged: dict[str, Path]
) -> None:
    good = [_artifact(tiny_artifacts, "classification"), _artifact(tiny_artifacts)]
    paths = [good[0], *damaged.values(), good[1]]
    result = cli("verify", *paths, "--checkpoint", tiny_checkpoint, "--json")
    reports = _reports(result, 1)
    assert [report["path"] for report in reports] == list(map(str, paths))
    by_name = dict(zip(["classification", *damaged, "feature_vector"], reports, strict=True))

    # The good ones pass in the company of the others, before and after them.
    for name, output in (("classification", "logits"), ("feature_vector", "feature_vector")):
        assert _failed(by_name[name]) == {}
        names = [check["name"] for check in by_name[name]["checks"]]
        assert f"signature/serving_default/{output}, relative difference" in names
        assert by_name[name]["notes"] == [
            "made from a synthetic checkpoint (layout plain, model tiny_nasnet, seed 0), not from published weights"
        ]

    failed = _failed(by_name["kernel"])
    assert KERNEL in failed["variables with other values"]["detail"]
    assert failed["variables with other values"]["figure"] == 1
    # The value would be enough to know; the outputs alone must be enough, too.
    for name in ("output", "output for one image", "signature/serving_default/feature_vector"):
        check = failed[f"{name}, relative difference"]
        assert check["figure"] > check["tolerance"] == 1e-4
    assert "variables named differently" not in failed

    for name, said in {
        "graph": "saved_model.pb is damaged",
        "no variables": "hub.load",
        "cut variables": "hub.load",
    }.items():
        failed = _failed(by_name[name])
        assert list(failed) == ["loads and runs"]
        assert said in failed["loads and runs"]["detail"]


@pytest.fixture(scope="module")
def others(tiny_artifacts: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Copies of version 5, of which some differ from version 4 in what the two have in common."""
    folder = tmp_path_factory.mktemp("others")
    good = _artifact(tiny_artifacts)
    copies = {name: folder / name for name in ("same", "kernel", "function", "training", "capture")}
    bundles.with_scaled(good, copies["kernel"], KERNEL, 1.001)
    for name in ("same", "function", "training", "capture"):
        shutil.copytree(good, copies[name])
    for name, training in (("function", False), ("training", True)):
        with bundles.edited(copies[name]) as saved_model:
            node = next(node for node in _call(saved_model, training).node_def if node.op == "FusedBatchNormV3")
            node.attr["epsilon"].f *= 2
    with bundles.edited(copies["capture"]) as saved_model:
        objects = saved_model.meta_graphs[0].object_graph_def
        inputs = objects.concrete_functions[_call(saved_model, True).signature.name].bound_inputs
        # Two of the same shape change places.
        shapes = [str(objects.nodes[number].variable.shape) for number in inputs]
        first = next(place for place, shape in enumerate(shapes) if shapes.count(shape) > 1)
        second = shapes.index(shapes[first], first + 1)
        inputs[first], inputs[second] = inputs[second], inputs[first]
    return copies


def _call(saved_model: Any, training: bool) -> Any:
    """The function of ``__call__``; in training, batch norm takes no moving statistics."""
    functions = [
        function
        for function in saved_model.meta_graphs[0].graph_def.library.function
        if "call" in function.signature.name
    ]
    (found,) = (
        function
        for function in functions
        if any(node.op.startswith("Random") for node in function.node_def) == training
    )
    return found


@pytest.mark.long
def test_a_network_runs_once_for_artifacts_that_share_it(
    cli: Command, tiny_artifacts: Path, tiny_checkpoint: Path, others: dict[str, Path]
) -> None:
    fourth, fifth = _artifact(tiny_artifacts, version=4), _artifact(tiny_artifacts)
    alone = cli("verify", fifth, "--checkpoint", tiny_checkpoint, "--json")
    result = cli("verify", fourth, fifth, others["same"], "--checkpoint", tiny_checkpoint, "--json")
    assert result.stderr.count("but not the network, which ran before") == 1
    assert result.stderr.count("the same files ran before") == 1
    reports = _reports(result, 0)
    assert reports[1]["checks"] == reports[2]["checks"] == _reports(alone, 0)[0]["checks"]
    assert "ran before" not in alone.stderr


@pytest.mark.breaks
def test_a_network_that_ran_before_hides_nothing_of_one_that_looks_like_it(
    cli: Command, tiny_artifacts: Path, tiny_checkpoint: Path, others: dict[str, Path]
) -> None:
    fourth = _artifact(tiny_artifacts, version=4)
    wrong = [others[name] for name in ("kernel", "function", "training", "capture")]
    result = cli("verify", fourth, *wrong, "--checkpoint", tiny_checkpoint, "--json")
    assert "ran before" not in result.stderr
    _, kernel, function, training, capture = map(_failed, _reports(result, 1))
    assert "variables with other values" in kernel
    assert "end points, relative difference" in function
    assert "moving averages at momentum 0.75, relative difference" in training
    assert capture


@pytest.mark.long
def test_text_has_a_line_for_each_artifact_all_that_failed_and_a_verdict(
    cli: Command, tiny_artifacts: Path, tiny_checkpoint: Path, damaged: dict[str, Path]
) -> None:
    good, bad = _artifact(tiny_artifacts, version=4), damaged["graph"]
    result = cli("verify", good, bad, "--checkpoint", tiny_checkpoint)
    assert result.returncode == 1
    first, second, failed, *notes, verdict = result.stdout.splitlines()
    passed = re.fullmatch(rf"ok    {good} {{2,}}(\d+) checks, largest difference \S+e-\d\d", first)
    assert passed and int(passed[1]) > 10
    assert re.fullmatch(rf"FAIL  {bad} {{2,}}1 of 1 check FAILED", second)
    assert failed.startswith("  FAIL loads and runs: nan, at most 0 (")
    assert any("made from a synthetic checkpoint" in note for note in notes)
    assert verdict == "1 of 2 artifacts FAILED"
    assert result.stderr.splitlines()[-1].startswith("next: ")

    # Every check, in columns, where that is asked for.
    shown = succeeded(cli("verify", "-v", good, "--checkpoint", tiny_checkpoint)).stdout.splitlines()
    table = [line for line in shown if line.startswith("  ok   ")]
    assert len(table) == int(passed[1])
    assert len({line.index("  at most ") for line in table}) == 1


def test_another_checkpoint_is_found_out(cli: Command, tiny: Path, tiny_artifacts: Path, tmp_path: Path) -> None:
    succeeded(cli("synth", tiny, "--seed", 1, "--output", tmp_path / "model.ckpt"))
    result = cli("verify", _artifact(tiny_artifacts, version=4), "--checkpoint", tmp_path, "--json")
    (report,) = _reports(result, 1)
    failed = _failed(report)
    assert {"variables with other values", "output, relative difference"} <= set(failed)
    assert failed["variables with other values"]["figure"] == 212
    assert "compared with another file than it was made from; only the values decide" in report["notes"]
    cause = "212 of 212 variables have other values than in model.ckpt: it was most likely made from another checkpoint"
    assert report["likely_cause"] == f"{cause}, or trained further"


def test_the_other_family_was_verified_in_training_too(
    cli: Command, tiny_pnasnet_artifacts: Path, tiny_checkpoint: Path
) -> None:
    folder = artifact_folder(tiny_pnasnet_artifacts, "tiny_pnasnet", "feature_vector", 5)
    checks = {check["name"]: check for check in json.loads((folder / "nasexport.json").read_text())["verification"]}
    # Without drop path, training is no matter of chance, and is compared as a whole.
    assert checks["output in training mode, relative difference"]["passed"]
    # Its reference cannot come from a checkpoint of the first family.
    assert "lacks cell_stem_0/" in refusal(cli("verify", folder, "--checkpoint", tiny_checkpoint))


def test_networks_with_reductions_between_their_cells_were_verified(reducing_artifacts: Path) -> None:
    for name, task, version in (("reducing_nasnet", "classification", 4), ("reducing_pnasnet", "feature_vector", 5)):
        folder = artifact_folder(reducing_artifacts, name, task, version)
        checks = {check["name"]: check for check in json.loads((folder / "nasexport.json").read_text())["verification"]}
        assert {"end points, relative difference", "gradients that reach the wrong variables"} <= set(checks)
        assert all(check["passed"] for check in checks.values())


def test_a_synthetic_artifact_is_not_held_against_published_weights(own_cli: Command, tiny_artifacts: Path) -> None:
    message = refusal(own_cli("verify", _artifact(tiny_artifacts)))
    assert "synthetic checkpoint (layout plain, model tiny_nasnet, seed 0)" in message
    assert "--checkpoint" in message


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda facts: None, "has no nasexport.json"),
        (lambda facts: {}, "damaged"),
        (lambda facts: {**facts, "schema": 2}, "schema 2"),
        (lambda facts: {**facts, "task": None}, "damaged"),
        (lambda facts: {**facts, "version": "four"}, "damaged"),
        (lambda facts: {**facts, "version": 9}, "damaged"),
        (lambda facts: {**facts, "model": {"name": "tiny"}}, "damaged"),
        (lambda facts: {key: value for key, value in facts.items() if key != "options"}, "damaged"),
        (lambda facts: {key: value for key, value in facts.items() if key != "source"}, "damaged"),
    ],
)
def test_an_artifact_that_does_not_say_what_it_is_is_refused(
    own_cli: Command, tiny_artifacts: Path, tiny_checkpoint: Path, change: Any, said: str
) -> None:
    folder = own_cli.cwd / "5"
    shutil.copytree(_artifact(tiny_artifacts), folder)
    path = folder / "nasexport.json"
    facts = change(json.loads(path.read_text()))
    path.unlink()
    if facts is not None:
        path.write_text(json.dumps(facts))
    message = refusal(own_cli("verify", folder, "--checkpoint", tiny_checkpoint))
    assert said in message and str(folder) in message


@pytest.mark.long
def test_a_build_that_fails_its_verification_writes_nothing(
    own_cli: Command, tiny: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    # The one thing that cannot be had from outside is a wrong exporter, so one is put in its place.
    program = WRONG_EXPORTER.replace("BEGUN", repr(str(tmp_path / "begun")))
    cli = own_cli.with_program_first(program, tmp_path)
    args = ("build", tiny, "--task", "feature_vector", "--checkpoint", tiny_checkpoint, "--output", "out")
    result = cli(*args, "--jobs", 2)
    assert result.returncode == 1
    assert result.stdout == ""
    shown, message = result.stderr.split("nasexport: error: ")
    target = artifact_folder(Path("out"), "tiny_nasnet", "feature_vector", 4)
    counted = re.search(rf"^FAIL  {target}  (\d+ of \d+ checks) FAILED\n", shown, re.MULTILINE)
    assert counted and message == f"{target} was not written: {counted[1]} failed\n"
    assert "\n  FAIL variables with other values: 1, at most 0 (differs first in conv0/weights)\n" in shown
    assert "\n  FAIL output, relative difference: " in shown
    assert "likely cause" not in shown
    (row,) = json.loads(cli(*args, "--json").stdout)
    assert (row["path"], row["state"], row["verified"]) == (str(target), "failed", False)
    assert f"{sum(not check['passed'] for check in row['checks'])} of {len(row['checks'])} checks" == counted[1]
    assert list(own_cli.cwd.iterdir()) == []


WRONG_EXPORTER = """
import sys
import time
from pathlib import Path

if sys.argv[-1].endswith((":EXPORT", ":REFERENCE")) or "serve_forks" in "".join(sys.orig_argv):
    import exporter.artifact.saved_model as module
    from exporter.reference import computed

    begun = Path(BEGUN)
    make, compute = module.Writer.__init__, computed.reference

    def wrong(self, config, task, values):
        # The reference is computed while the export runs.
        while not begun.exists():
            time.sleep(0.01)
        make(self, config, task, {**values, "conv0/weights": values["conv0/weights"] * 1.02})

    def reference(*arguments):
        begun.touch()
        return compute(*arguments)

    module.Writer.__init__ = wrong
    computed.reference = reference
"""
