"""What TensorFlow calls its data types, by their numbers in protocol buffers; without TensorFlow."""

from tensorflow.core.framework import types_pb2

#: From this on, a number means a reference to a value of the type whose number is so much less.
_REFERENCES = 100
#: Those whose names are no parts of their constants' names.
_NUMBERS = frozenset(types_pb2.DataType.values()) - {types_pb2.DT_INVALID}
_NAMES = {types_pb2.DT_HALF: "float16", types_pb2.DT_FLOAT: "float32", types_pb2.DT_DOUBLE: "float64"}


def name_of(number: int) -> str:
    """The name of a data type, such as "float32".

    Raises:
        ValueError: no data type has this number.
    """
    if number not in _NUMBERS:
        raise ValueError(f"there is the data type {number}, which TensorFlow does not have")
    is_reference = number > _REFERENCES
    value = number - _REFERENCES if is_reference else number
    name = _NAMES.get(value) or types_pb2.DataType.Name(value).removeprefix("DT_").lower()
    return f"{name}_ref" if is_reference else name
