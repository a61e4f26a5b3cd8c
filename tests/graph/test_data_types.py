"""Data types are called as TensorFlow calls them, for every number that one can have."""

import pytest
import tensorflow as tf
from tensorflow.core.framework import types_pb2

from exporter.graph.data_types import name_of


@pytest.mark.parametrize("number", [each for each in types_pb2.DataType.values() if each])
def test_a_type_has_the_name_that_tensorflow_gives_it(number: int) -> None:
    assert name_of(number) == tf.as_dtype(number).name


@pytest.mark.parametrize("number", [-1, 0, 77, 100, 250])
def test_there_is_no_name_for_what_is_no_type(number: int) -> None:
    with pytest.raises(ValueError, match=f"data type {number}, which TensorFlow does not have"):
        name_of(number)
