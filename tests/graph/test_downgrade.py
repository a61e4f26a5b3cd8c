"""The rewriting and the compatibility check for any operation, not only for those that today's networks have."""

from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from tensorflow.core.framework import attr_value_pb2
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.framework import op_def_registry

from exporter.graph import compatibility
from exporter.graph.downgrade import downgrade

KNOWN = compatibility.known_operations()
#: Operations of 1.15 that today's TensorFlow has too, with the same defaults of what both know.
SHARED = sorted(name for name in KNOWN if op_def_registry.get(name) is not None)


def _saved_model(op: str, *, in_function: bool) -> tuple[saved_model_pb2.SavedModel, Any]:
    saved_model = saved_model_pb2.SavedModel()
    graph = saved_model.meta_graphs.add().graph_def
    if in_function:
        function = graph.library.function.add()
        function.signature.name = "a_function"
        node = function.node_def.add()
    else:
        node = graph.node.add()
    node.name, node.op = "a_node", op
    return saved_model, node


def _own_defaults(op: str) -> dict[str, attr_value_pb2.AttrValue]:
    return {own.name: own.default_value for own in op_def_registry.get(op).attr if own.HasField("default_value")}


def test_what_is_left_at_a_default_means_the_same_in_both() -> None:
    """So an attribute may be left out, whatever its operation: the check of a file relies on it."""
    compared = [
        (op, name, default.SerializeToString(deterministic=True).hex(), KNOWN[op][name]["default"])
        for op in SHARED
        for name, default in _own_defaults(op).items()
        if "default" in KNOWN[op].get(name, {})
    ]
    assert len(compared) > 1000
    assert [(op, name) for op, name, own, recorded in compared if own != recorded] == []


@given(op=st.sampled_from(SHARED), in_function=st.booleans())
@settings(max_examples=300, deadline=None)
def test_all_defaults_are_left_out_everywhere_and_nothing_else_is(op: str, in_function: bool) -> None:
    saved_model, node = _saved_model(op, in_function=in_function)
    for name, default in _own_defaults(op).items():
        node.attr[name].CopyFrom(default)
    node.attr["_kept"].b = True
    downgrade(saved_model)
    assert list(node.attr) == ["_kept"]
    assert saved_model.meta_graphs[0].meta_info_def.stripped_default_attrs
    again = saved_model_pb2.SavedModel.FromString(saved_model.SerializeToString())
    downgrade(again)
    assert again == saved_model


@given(op=st.sampled_from(SHARED), in_function=st.booleans())
@settings(max_examples=300, deadline=None)
def test_values_other_than_the_default_stay(op: str, in_function: bool) -> None:
    saved_model, node = _saved_model(op, in_function=in_function)
    changed = {name: default.b for name, default in _own_defaults(op).items() if default.WhichOneof("value") == "b"}
    for name, default in changed.items():
        node.attr[name].b = not default
    downgrade(saved_model)
    removed = {"AssignVariableOp": {"validate_shape"}}.get(op, set())
    assert {name: node.attr[name].b for name in node.attr} == {
        name: not default for name, default in changed.items() if name not in removed
    }


@given(
    op=st.sampled_from(sorted(KNOWN)),
    name=st.from_regex(r"[a-z_][a-z_0-9]{0,30}", fullmatch=True),
    inside=st.booleans(),
)
@settings(max_examples=300, deadline=None)
def test_any_attribute_is_found_that_the_operation_did_not_have(op: str, name: str, inside: bool) -> None:
    saved_model, node = _saved_model(op, in_function=inside)
    without = set(compatibility.check(saved_model))
    node.attr[name].i = 1
    found = {finding.problem for finding in set(compatibility.check(saved_model)) - without}
    # A name with an underscore in front is a note to a runtime, which every reader may pass over.
    foreign = not name.startswith("_") and name not in KNOWN[op]
    assert any(repr(name) in problem for problem in found) == foreign


@given(name=st.from_regex(r"[A-Z][A-Za-z0-9]{0,30}", fullmatch=True), inside=st.booleans())
@settings(max_examples=200, deadline=None)
def test_an_operation_is_found_unless_it_was_there_or_is_a_function_of_the_file(name: str, inside: bool) -> None:
    saved_model, _ = _saved_model(name, in_function=inside)
    found = [finding for finding in compatibility.check(saved_model) if "the operation" in finding.problem]
    assert [finding.node for finding in found] == ([] if name in KNOWN else ["a_node"])
    saved_model.meta_graphs[0].graph_def.library.function.add().signature.name = name
    assert compatibility.check(saved_model) == []


@pytest.mark.parametrize("op", ["DisableCopyOnRead"])
def test_operations_of_today_only_become_ones_that_do_nothing(op: str) -> None:
    saved_model, node = _saved_model(op, in_function=True)
    node.input.extend(["a_variable:resource:0", "^before"])
    node.attr["_kept"].b = True
    downgrade(saved_model)
    assert node.op == "NoOp"
    assert list(node.input) == ["^before"]
    assert compatibility.check(saved_model) == []
