"""What probes write is what checks and comparisons read, under the same names for every format."""

from pathlib import Path

import numpy as np
import pytest

from exporter.files.arrays import ArrayStore, ArrayWriter
from exporter.probe.observations import MOMENTS, Gradients, RandomDecision, Variables
from exporter.probe.result import ProbeResult
from exporter.probe.reuse import PreviousProbes
from exporter.probe.writer import ProbeWriter

NAMES = ["module/conv0/weights", "module/conv0_bn/moving_mean"]
DECISION = RandomDecision("cell_0/comb_iter_0/left", "(None, 1, 1, 1)", 0.75, False)


def _module(folder: Path, *, output: float = 1.0) -> ProbeResult:
    """A TF1 Hub module's result, whose variables are below a scope."""
    with ArrayWriter(folder) as arrays:
        found = ProbeWriter(arrays)
        found.meta_graphs(["", "train"], ["variables"])
        found.variables(NAMES, ["1", "2"])
        found.digests_after_inference(["1", "3"])
        found.training_variables(Variables(NAMES, ["1", "2"], ["1", "4"]))
        found.trainable(NAMES[:1])
        for training in (False, True):
            values = {"default/default": output, "default/nasnet/Stem": 2.0, "features/default": 3.0}
            found.signatures({name: np.full(3, value) for name, value in values.items()}, training=training)
            found.output_keys({name: f"key of {name}" for name in values}, training=training)
        found.main_signature("default")
        for number, moment in enumerate(MOMENTS):
            found.moving_statistics(moment, {NAMES[1]: np.full(2, number)})
        found.l2_weights({NAMES[0]: 0.5})
        found.regularization_losses(np.array([1.0, 2.0]))
        found.gradients(Gradients(reached=NAMES[:1], not_finite=NAMES[:1]))
        found.random_decisions([DECISION], 7)
    return ProbeResult(ArrayStore(folder))


def test_the_main_signature_gives_the_output_and_the_end_points(tmp_path: Path) -> None:
    found = _module(tmp_path / "found")
    assert found.main_signature == "default"
    assert {name: list(outputs) for name, outputs in found.signatures.items()} == {
        "default": ["default", "nasnet/Stem"],
        "features": ["default"],
    }
    assert found.output is not None and found.output.tolist() == [1.0] * 3
    assert found.training_output is not None and found.training_output.tolist() == [1.0] * 3
    assert {name: value.tolist() for name, value in found.end_points.items()} == {"Stem": [2.0] * 3}
    assert found.single_output is None


def test_a_scope_before_the_names_of_variables_is_taken_off_everywhere(tmp_path: Path) -> None:
    found = _module(tmp_path / "found")
    assert found.matched_to(NAMES).prefix == ""
    own = found.matched_to(["conv0/weights", "conv0_bn/moving_mean"])
    assert own.prefix == "module/"
    kernel, mean = "conv0/weights", "conv0_bn/moving_mean"
    assert own.variables == Variables([kernel, mean], ["1", "2"], ["1", "3"])
    assert own.variables.changed == own.training_variables.changed == [mean]
    assert own.trainable == [kernel]
    assert own.l2_weights == {kernel: 0.5}
    assert own.gradients == Gradients([kernel], [kernel])
    steps = own.moving_statistics
    moments = (steps.before, steps.after_set_momentum, steps.after_default_momentum)
    assert [{name: value.tolist() for name, value in step.items()} for step in moments] == [
        {mean: [number, number]} for number in range(3)
    ]
    assert own.random_decisions == [DECISION] and own.inference_decisions == 7


def test_what_was_not_run_is_not_complete(tmp_path: Path) -> None:
    with ArrayWriter(tmp_path / "found") as arrays:
        ProbeWriter(arrays).meta_graphs([""], ["variables"])
    found = ProbeResult(ArrayStore(tmp_path / "found"))
    assert not found.is_complete and found.tag_sets == [""]
    assert found.matched_to(NAMES) is found
    assert PreviousProbes([found]).with_variables([], []).with_outputs({"default/default": "key"}) is None


def test_previous_probes_are_found_by_variables_and_keys(tmp_path: Path) -> None:
    probes = [_module(tmp_path / "first"), _module(tmp_path / "second")]
    previous = PreviousProbes(probes)
    assert previous.with_same_variables(NAMES, ["1", "2"]) is probes[0]
    assert previous.with_same_variables(NAMES[::-1], ["2", "1"]) is None
    keys = {"own/name": "key of default/nasnet/Stem"}
    assert previous.with_variables(NAMES[:1], ["1"]).with_outputs(keys) == (
        probes[0],
        {"own/name": "default/nasnet/Stem"},
    )
    assert previous.with_variables(NAMES[:1], ["2"]).with_outputs(keys) is None
    assert previous.with_outputs({}) is None
    assert previous.with_outputs({**keys, "other": "another key"}, training=True) is None


@pytest.mark.parametrize("training", [False, True])
def test_what_is_linked_is_read_like_what_was_written(tmp_path: Path, training: bool) -> None:
    previous = _module(tmp_path / "previous", output=5.0)
    with ArrayWriter(tmp_path / "found") as arrays:
        found = ProbeWriter(arrays)
        found.link_signatures(previous, {"default/default": "default/default"}, training=training)
        found.link_moving_statistics(previous, NAMES[1:])
        found.link_gradients(previous)
        found.main_signature("default")
    linked = ProbeResult(ArrayStore(tmp_path / "found"))
    output = linked.training_output if training else linked.output
    assert output is not None and output.tolist() == [5.0] * 3
    assert linked.l2_weights == previous.l2_weights and linked.gradients == previous.gradients
    assert linked.moving_statistics.after_set_momentum[NAMES[1]].tolist() == [1, 1]
