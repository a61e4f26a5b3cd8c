"""Tells what an operation of TensorFlow can do besides computing, from the list in ``data/operations.json``.

``scripts/record_operation_kinds.py`` writes that file, and documents how each operation was classified.
"""

import functools
import json
import re
from collections.abc import Collection

from exporter.resources import resource
from exporter.without_tensorflow import require_tensorflow

#: What operations of a kind can do; the end of a sentence that begins with the operation.
_CAN = {
    "files": "reads or writes files",
    "data sets": "is part of a data set, which can read files",
    "network": "reaches other devices or machines",
    "Python": "calls Python",
    "programs": "runs a compiled program, which cannot be checked",
    "process": "ends the process",
}
_NOT_LISTED = "is not on the list of operations that only compute"
#: What all operations of TensorFlow are called. The functions that it makes itself are called otherwise.
_NAME_OF_OPERATION = re.compile(r"_*[A-Z]")
_UNKNOWN = "is unknown to TensorFlow: a custom operation can do anything"


@functools.cache
def kinds() -> dict[str, str]:
    """The kind of each operation in the list, by name: "computes" or a key of `_CAN`."""
    listed = json.loads(resource("data/operations.json").read_text(encoding="utf-8"))["operations"]
    return {name: kind for kind, names in listed.items() for name in names}


def can_do(operation: str, functions: Collection[str] = ()) -> str | None:
    """What an operation can do besides computing, as the end of a sentence; None if it only computes.

    Args:
        functions: the names of the graph's own functions. To call one is fine, since its nodes are checked as well; but
            a function with the name of an operation of TensorFlow is treated as that operation.

    Raises:
        TensorFlowNeededError: it is not on the list, and this process has no TensorFlow to ask whether that knows it.
    """
    kind = kinds().get(operation)
    if kind == "computes":
        return None
    if kind:
        return _CAN[kind]
    if operation in functions and not _NAME_OF_OPERATION.match(operation):
        return None
    if _is_known(operation):
        return _NOT_LISTED
    return None if operation in functions else _UNKNOWN


def _is_known(operation: str) -> bool:
    """Whether the TensorFlow that is installed has an operation."""
    require_tensorflow()
    from tensorflow.python.framework import op_def_registry

    return op_def_registry.get(operation) is not None
