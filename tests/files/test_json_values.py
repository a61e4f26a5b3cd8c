"""Numbers that JSON has, and those that it has not."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.files.json_values import finite_or_none


@given(st.floats() | st.floats(width=32).map(np.float32).map(float) | st.integers(-(2**60), 2**60))
def test_what_is_no_number_of_json_is_null(value: float) -> None:
    written = json.dumps(finite_or_none(value), allow_nan=False)
    assert json.loads(written) == (value if abs(value) <= np.finfo(np.float64).max else None)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), np.float64("nan"), np.float32("inf")])
def test_each_of_them_is_null(value: float) -> None:
    assert finite_or_none(value) is None
