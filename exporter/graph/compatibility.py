"""Finds what keeps the oldest reader, TensorFlow 1.15, from loading or running a SavedModel, whoever wrote it.

Every graph and function is compared with the operations that TensorFlow 1.15.5 has (``data/ops_tensorflow_1.15.json``,
recorded by ``scripts/record_op_list.py``), and with the few uses of them that it refuses at run time.
"""

import functools
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tensorflow.core.protobuf import saved_model_pb2

from exporter.errors import CompatibilityError
from exporter.resources import resource

#: The oldest reader that written files must be compatible with.
OLDEST_READER = "TensorFlow 1.15"

#: GraphDef version of TensorFlow 1.15.5 (``tf.version.GRAPH_DEF_VERSION``).
_GRAPH_DEF_VERSION = 134
#: The last DataType that TensorFlow 1.15 knows is DT_UINT64; reference types are 100 more.
_LAST_DATA_TYPE = 23
_OBJECT_KINDS = {
    "user_object",
    "asset",
    "function",
    "variable",
    "bare_concrete_function",
    "constant",
    "resource",
}


@dataclass(frozen=True)
class Finding:
    """One problem of the oldest reader with a file: where it is and what it is.

    ``function`` is the function's name, or "" for the main graph; ``node`` and ``op`` are empty where the finding is
    not about a node.
    """

    function: str
    node: str
    op: str
    problem: str

    def __str__(self) -> str:
        place = f"node {self.node!r} " if self.node else ""
        if self.function:
            place += f"in function {self.function!r} "
        return f"{place}{self.problem}: {OLDEST_READER} would not load it".lstrip()


@functools.cache
def known_operations() -> dict[str, dict[str, dict[str, Any]]]:
    """The operations of TensorFlow 1.15.5: for each attribute its type, default and allowed values."""
    path = resource("data/ops_tensorflow_1.15.json")
    return json.loads(path.read_text(encoding="utf-8"))["operations"]


def check(saved_model: saved_model_pb2.SavedModel) -> list[Finding]:
    """Everything in a SavedModel that TensorFlow 1.15 cannot load or run; empty if it can read the file."""
    return list(_findings(saved_model))


def require(saved_model: saved_model_pb2.SavedModel) -> None:
    """Refuses a SavedModel that TensorFlow 1.15 cannot read.

    Raises:
        CompatibilityError: names the first problem: node, operation, and the reader that would break.
    """
    found = check(saved_model)
    if found:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise CompatibilityError(f"the written file is not compatible with {OLDEST_READER}{more}:\n{found[0]}")


def _findings(saved_model: saved_model_pb2.SavedModel) -> Iterator[Finding]:
    for meta_graph in saved_model.meta_graphs:
        graph = meta_graph.graph_def
        if graph.versions.min_consumer > _GRAPH_DEF_VERSION:
            yield Finding("", "", "", f"graph asks for readers of version {graph.versions.min_consumer} or newer")
        functions = {function.signature.name for function in graph.library.function}
        yield from _nodes("", graph.node, functions)
        for function in graph.library.function:
            yield from _nodes(function.signature.name, function.node_def, functions)
        for index, node in enumerate(meta_graph.object_graph_def.nodes):
            kind = node.WhichOneof("kind")
            if kind not in _OBJECT_KINDS:
                yield Finding("", "", "", f"object {index} is of the unknown kind {kind!r}")


def _nodes(function: str, nodes: Iterable[Any], functions: set[str]) -> Iterator[Finding]:
    by_name = {node.name: node for node in nodes}
    for node in by_name.values():
        for problem in _node_problems(node, by_name, functions):
            yield Finding(function, node.name, node.op, problem)


def _node_problems(node: Any, by_name: dict[str, Any], functions: set[str]) -> Iterator[str]:
    if node.op in functions:
        return
    known = known_operations().get(node.op)
    if known is None:
        yield f"uses the operation {node.op}, which it does not have"
        return
    for name, value in node.attr.items():
        if name.startswith("_"):
            continue
        if name not in known:
            yield f"({node.op}) has the attribute {name!r}, which it does not have"
        else:
            yield from _value_problems(node.op, name, value, known[name].get("allowed"))
    for name, attribute in known.items():
        # One with a default may be left out: no operation has another default today (a test holds that).
        if name not in node.attr and "default" not in attribute:
            yield f"({node.op}) lacks the attribute {name!r}, which it requires"
    if node.op.startswith("FusedBatchNorm") and _trains(node) and not _has_empty_statistics(node, by_name):
        yield f"({node.op}) gets moving statistics in training mode, which it refuses at run time"


def _value_problems(op: str, name: str, value: Any, allowed: Sequence[Any] | None) -> Iterator[str]:
    kind = value.WhichOneof("value")
    types = [value.type] if kind == "type" else list(value.list.type) if kind == "list" else []
    strings = [value.s] if kind == "s" else list(value.list.s) if kind == "list" else []
    for type_ in types:
        if type_ % 100 > _LAST_DATA_TYPE or (allowed and type_ not in allowed):
            yield f"({op}) has the data type {type_} in {name!r}, which it does not take"
    for string in strings:
        if allowed and string.decode(errors="replace") not in allowed:
            yield f"({op}) has {string.decode(errors='replace')!r} in {name!r}, which it does not take"


def _trains(node: Any) -> bool:
    return node.attr["is_training"].b if "is_training" in node.attr else True


def _has_empty_statistics(node: Any, by_name: dict[str, Any]) -> bool:
    """Whether the inputs ``mean`` and ``variance`` (the fourth and fifth) are constants of no elements."""
    for name in node.input[3:5]:
        source = by_name.get(name.lstrip("^").split(":", 1)[0])
        if source is None or source.op != "Const":
            return False
        shape = source.attr["value"].tensor.tensor_shape
        if not any(dimension.size == 0 for dimension in shape.dim):
            return False
    return True
