"""Where two lists of end points part, on arrays made for it."""

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.verification.differences import compare_end_points, relative_difference

REFERENCE = {"Stem": np.array([[1.0, -4.0]]), "Cell_0": np.array([2.0]), "Logits": np.array([0.5, 0.5])}


def _changed(**values: list[Any]) -> dict[str, np.ndarray]:
    return {**REFERENCE, **{name: np.array(value) for name, value in values.items()}}


def test_a_difference_is_a_part_of_the_largest_magnitude_of_the_reference() -> None:
    reference, found = np.array([[1.0, -4.0], [2.0, 0.0]]), np.array([[1.0, -4.5], [2.0, 1.0]])
    assert relative_difference(reference, found) == 1 / 4
    assert relative_difference(found, reference) == 1 / 4.5


@pytest.mark.parametrize(
    ("reference", "found", "difference"),
    [
        ([0.0], [0.0], 0.0),
        ([0.0], [1e-9], math.inf),
        ([0.0], [math.nan], math.nan),
        ([1.0], [math.nan], math.nan),
        ([1.0, math.nan], [1.0, math.nan], math.nan),
        ([1.0], [math.inf], math.inf),
        ([math.inf], [math.inf], math.nan),
        ([], [], 0.0),
        ([1.0], [1.0, 1.0], math.nan),
        ([1.0], None, math.nan),
    ],
)
def test_what_cannot_be_divided_or_compared(
    reference: list[float], found: list[float] | None, difference: float
) -> None:
    value = relative_difference(np.array(reference), None if found is None else np.array(found))
    assert value == pytest.approx(difference, nan_ok=True)


def test_numbers_near_in_float32_are_told_apart() -> None:
    reference = np.array([1.0], np.float32)
    found = np.nextafter(reference, np.float32(2))
    assert relative_difference(reference, found) == 2**-23


@pytest.mark.parametrize(
    ("found", "first"),
    [
        (REFERENCE, None),
        (dict(reversed(REFERENCE.items())), None),
        (_changed(Cell_9=[1.0]), None),
        (_changed(Logits=[0.5, 0.7]), "Logits"),
        (_changed(Logits=[0.5, 0.7], Cell_0=[2.1]), "Cell_0"),
        (_changed(Logits=[0.5, 0.7], Cell_0=[math.nan]), "Cell_0"),
        (_changed(Stem=[1.0, -4.0]), "Stem"),
        ({"Stem": REFERENCE["Stem"], "Logits": REFERENCE["Logits"]}, "Cell_0"),
        ({}, "Stem"),
    ],
)
def test_the_first_end_point_in_the_order_of_the_reference_is_named(
    found: dict[str, np.ndarray], first: str | None
) -> None:
    differences = compare_end_points(REFERENCE, found, 1e-4)
    assert differences.first_divergent == first
    assert list(differences.differences) == list(REFERENCE)
    assert bool(differences.largest <= 1e-4) == (first is None)


@given(part=st.floats(0, 1))
def test_a_difference_diverges_above_the_tolerance_only(part: float) -> None:
    found = _changed(Cell_0=[2.0 + 2.0 * part])
    difference = compare_end_points(REFERENCE, found, 0.5).differences["Cell_0"]
    assert difference == pytest.approx(part)
    assert compare_end_points(REFERENCE, found, difference).first_divergent is None
    if difference:
        assert compare_end_points(REFERENCE, found, math.nextafter(difference, 0)).first_divergent == "Cell_0"


def test_it_is_plain_json() -> None:
    differences = compare_end_points(REFERENCE, _changed(Stem=[[1.0, -3.0]], Cell_0=[math.inf]), 0.01)
    assert json.loads(json.dumps(differences.to_dict(), allow_nan=False)) == {
        "first_divergent": "Stem",
        "tolerance": 0.01,
        "differences": {"Stem": 0.25, "Cell_0": None, "Logits": 0.0},
    }
    assert math.isinf(differences.largest)
    assert compare_end_points({}, REFERENCE, 0.01).largest == 0.0
