"""What passes a check and what does not, on arrays made for it."""

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from exporter.models.variables import VariableSpec
from exporter.probe.observations import Variables
from exporter.verification.checks import output_checks, regularization_check, variables_checks
from exporter.verification.results import TOLERANCE, Check, Report

_outputs = arrays.arrays(
    np.float32,
    st.tuples(st.integers(1, 4), st.integers(2, 6)),
    elements=st.floats(-100, 100, width=32).filter(lambda value: value == 0 or abs(value) > 1e-3),
).filter(lambda output: bool(np.abs(output).max() > 0.1))


def _passes(expected: np.ndarray, found: np.ndarray | None, task: Any = "feature_vector") -> bool:
    checks = list(output_checks("output", task, expected, found))
    assert checks
    return all(check.passed for check in checks)


def test_a_check_passes_at_its_tolerance_and_not_above() -> None:
    assert Check("x", 1e-4, 1e-4).passed
    assert Check("x", 0, 0).passed
    assert not Check("x", math.nextafter(1e-4, 1), 1e-4).passed
    assert not Check("x", 1, 0).passed


@pytest.mark.parametrize("figure", [math.nan, math.inf])
def test_what_is_no_number_never_passes(figure: float) -> None:
    check = Check("x", figure, 1e9, "why")
    assert not check.passed
    assert str(check).startswith("FAIL x: ") and "(why)" in str(check)
    # JSON has neither, and readers must not stumble over it.
    assert json.loads(json.dumps(check.to_dict(), allow_nan=False)) == {
        "name": "x",
        "figure": None,
        "tolerance": 1e9,
        "detail": "why",
        "passed": False,
    }


def test_a_report_passes_when_all_of_at_least_one_check_do() -> None:
    good, bad = Check("good", 0, 0), Check("bad", 1, 0)
    assert Report("x", (good, good)).passed
    assert not Report("x", (good, bad, good)).passed
    assert not Report("x", ()).passed
    assert Report("x", (good, bad)).to_dict()["passed"] is False


@given(output=_outputs)
def test_the_same_output_passes(output: np.ndarray) -> None:
    assert _passes(output, output.copy())
    assert _passes(output, output.copy(), "classification")


@given(output=_outputs, data=st.data(), part=st.floats(0, 1))
def test_a_difference_passes_up_to_the_tolerance(output: np.ndarray, data: Any, part: float) -> None:
    index = data.draw(st.tuples(*(st.integers(0, size - 1) for size in output.shape)))
    largest = float(np.abs(output).max())
    found = output.astype(np.float64)
    # Half a per cent of the tolerance is lost in rounding to float32.
    found[index] += part * 0.95 * TOLERANCE * largest
    assert _passes(output, found.astype(np.float32))
    found[index] = output[index] + (1.05 + part) * TOLERANCE * largest
    assert not _passes(output, found.astype(np.float32))


@given(output=_outputs, data=st.data(), value=st.sampled_from([np.nan, np.inf, -np.inf]))
def test_one_value_that_is_not_finite_fails(output: np.ndarray, data: Any, value: float) -> None:
    found = output.copy()
    found[data.draw(st.tuples(*(st.integers(0, size - 1) for size in output.shape)))] = value
    assert not _passes(output, found)


@given(output=_outputs, factor=st.sampled_from([0.98, 1.02, -1.0, 0.0]))
def test_another_scale_fails(output: np.ndarray, factor: float) -> None:
    assert not _passes(output, (output * np.float32(factor)).astype(np.float32))


@given(output=_outputs)
def test_another_shape_or_type_fails(output: np.ndarray) -> None:
    for found in (output[:, :1], output[..., None], output[:0], np.vstack([output, output])):
        assert not _passes(output, found)
    assert not _passes(output, output.astype(np.float64))
    assert not _passes(output, output.astype(np.float16))
    assert not _passes(output, None)


def test_another_winner_fails_however_close() -> None:
    expected = np.array([[1.0, 1.00001, 0.0]], np.float32)
    found = np.array([[1.00001, 1.0, 0.0]], np.float32)
    checks = {check.name: check for check in output_checks("output", "classification", expected, found)}
    assert checks["output, relative difference"].passed
    assert not checks["output, top-1 disagreements"].passed
    assert _passes(expected, found, "feature_vector")
    assert checks["output, top-1 disagreements"].detail == "of 1 image"


@pytest.mark.parametrize(
    ("found", "passes"),
    [([2.0], True), ([1.5, 0.5], True), ([2.0001], True), ([2.001], False), ([0.0], False), ([math.nan], False)],
)
def test_regularization_losses_are_summed(found: list[float], passes: bool) -> None:
    assert regularization_check(np.float64(2.0), np.array(found)).passed == passes
    assert regularization_check(np.float64(0.0), np.array([0.0])).passed
    assert not regularization_check(np.float64(0.0), np.array([0.1])).passed


SPECS = [VariableSpec(name, (1,), "feature") for name in ("a/weights", "a/gamma", "a/moving_mean")]
NAMES = [spec.name for spec in SPECS]
DIGESTS = dict(zip(NAMES, ["1", "2", "3"], strict=True))


@pytest.mark.parametrize(
    ("names", "trainable", "digests", "failed"),
    [
        (NAMES, NAMES[:2], ["1", "2", "3"], set()),
        (NAMES[::-1], NAMES[:2], ["3", "2", "1"], {"variables named differently"}),
        (NAMES, NAMES, ["1", "2", "3"], {"trainable variables that differ"}),
        (NAMES, NAMES[:2], ["1", "2", "4"], {"variables with other values"}),
        (NAMES[:2], NAMES[:2], ["1", "2"], {"variables named differently", "variables with other values"}),
        ([*NAMES, "global_step"], NAMES[:2], ["1", "2", "3", "4"], {"variables named differently"}),
    ],
    ids=["right", "order", "trainable", "values", "missing", "extra"],
)
def test_variables_must_be_the_same_in_name_order_kind_and_value(
    names: list[str], trainable: list[str], digests: list[str], failed: set[str]
) -> None:
    found = Variables(names, digests, digests_after=digests)
    checks = list(variables_checks(SPECS, DIGESTS, found, trainable))
    assert {check.name for check in checks if not check.passed} == failed
