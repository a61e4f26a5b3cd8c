"""Files of SavedModels whose parts do not fit together: told in a line, whatever is wrong with them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow.core.protobuf import saved_model_pb2

from exporter.artifact import saved_model_inspection
from exporter.errors import ArtifactError
from exporter.validation import to_plain
from tests.support.command import Command, artifact_folder, refusal

MEBIBYTE = 2**20


@pytest.fixture(scope="module")
def whole(tiny_artifacts: Path) -> saved_model_pb2.SavedModel:
    """That of an artifact with objects, functions and a signature, without most of its nodes, to be quick."""
    folder = artifact_folder(tiny_artifacts, "tiny_nasnet", "feature_vector", 5)
    saved_model = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    (meta_graph,) = saved_model.meta_graphs
    for nodes in (meta_graph.graph_def.node, *(each.node_def for each in meta_graph.graph_def.library.function)):
        del nodes[20:]
    return saved_model


def _described(folder: Path, content: bytes) -> str:
    """What is said of a file: the error, or the description."""
    (folder / "saved_model.pb").write_bytes(content)
    try:
        return json.dumps(to_plain(saved_model_inspection.describe(folder)))
    except ArtifactError as error:
        message = str(error)
        assert 1 <= len(message.splitlines()) <= 2 and len(message) < 1000
        assert message.replace("\n", "").isprintable()
        return message


_NUMBERS = st.one_of(st.integers(-3, 200), st.integers(-(2**31), 2**31 - 1))
_SIZES = st.lists(st.one_of(st.integers(-3, 5), st.integers(-(2**63), 2**63 - 1)), max_size=12)
_NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)


def _nodes(saved_model: Any, kind: str) -> list[Any]:
    return [node for node in saved_model.meta_graphs[0].object_graph_def.nodes if node.WhichOneof("kind") == kind]


def _change(saved_model: Any, data: st.DataObject) -> None:
    """One thing or another that no writer would do."""
    (meta_graph,) = saved_model.meta_graphs
    objects = meta_graph.object_graph_def
    info = meta_graph.signature_def["serving_default"].inputs["inputs"]
    variable = data.draw(st.sampled_from(_nodes(saved_model, "variable"))).variable
    function = data.draw(st.sampled_from(_nodes(saved_model, "function"))).function
    node = data.draw(st.sampled_from(list(objects.nodes)))

    def shape(of: Any) -> None:
        del of.dim[:]
        for size in data.draw(_SIZES):
            of.dim.add(size=size)

    changes: dict[str, Callable[[], Any]] = {
        "type of a variable": lambda: setattr(variable, "dtype", data.draw(_NUMBERS)),
        "type of an input": lambda: setattr(info, "dtype", data.draw(_NUMBERS)),
        "shape of a variable": lambda: shape(variable.shape),
        "shape of an input": lambda: shape(info.tensor_shape),
        "unknown rank": lambda: setattr(variable.shape, "unknown_rank", True),
        "name of a variable": lambda: setattr(variable, "name", data.draw(_NAMES)),
        "child": lambda: node.children.add(node_id=data.draw(_NUMBERS), local_name=data.draw(_NAMES)),
        "call": lambda: objects.nodes[0].children.add(node_id=data.draw(_NUMBERS), local_name="__call__"),
        "function": lambda: function.concrete_functions.append(data.draw(_NAMES)),
        "no function": lambda: objects.concrete_functions.clear(),
        "kind of an object": lambda: node.ClearField(node.WhichOneof("kind") or "children"),
        "capture": lambda: objects.concrete_functions[data.draw(_NAMES)].bound_inputs.append(data.draw(_NUMBERS)),
        "no object": lambda: objects.ClearField("nodes"),
        "tags": lambda: meta_graph.meta_info_def.tags.append(data.draw(_NAMES)),
        "operation": lambda: meta_graph.graph_def.node.add(name=data.draw(_NAMES), op=data.draw(_NAMES)),
        "attachment": lambda: meta_graph.collection_def["hub_module_attachments"].bytes_list.value.append(
            data.draw(st.binary(max_size=40))
        ),
        "another graph": lambda: saved_model.meta_graphs.add(),
    }
    changes[data.draw(st.sampled_from(sorted(changes)))]()


@pytest.mark.long
@given(st.data())
@settings(max_examples=200, deadline=None)
def test_whatever_does_not_fit_together_is_described_or_refused_in_a_line(
    whole: saved_model_pb2.SavedModel, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    saved_model = saved_model_pb2.SavedModel()
    saved_model.CopyFrom(whole)
    for _ in range(data.draw(st.integers(1, 2))):
        if saved_model.meta_graphs[0].object_graph_def.nodes and len(saved_model.meta_graphs) == 1:
            _change(saved_model, data)
    _described(tmp_path_factory.getbasetemp(), saved_model.SerializeToString())


@pytest.mark.long
@given(st.data())
@settings(max_examples=200, deadline=None)
def test_whatever_bytes_there_are_is_described_or_refused_in_a_line(
    whole: saved_model_pb2.SavedModel, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = bytearray(whole.SerializeToString())
    for place, byte in data.draw(
        st.lists(st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255)), min_size=1, max_size=4)
    ):
        content[place] = byte
    cut = data.draw(st.one_of(st.none(), st.integers(0, len(content))))
    _described(tmp_path_factory.getbasetemp(), bytes(content[:cut]))


def test_a_user_is_told_what_is_wrong(cli: Command, whole: saved_model_pb2.SavedModel, tmp_path: Path) -> None:
    def changed(change: Callable[[Any], Any]) -> str:
        saved_model = saved_model_pb2.SavedModel()
        saved_model.CopyFrom(whole)
        change(saved_model.meta_graphs[0])
        (tmp_path / "saved_model.pb").write_bytes(saved_model.SerializeToString())
        return refusal(cli("inspect", tmp_path))

    file = tmp_path / "saved_model.pb"
    said = changed(lambda meta_graph: meta_graph.object_graph_def.nodes[0].children.add(node_id=10**6))
    assert said.startswith(f"{file} is damaged: object 0 refers to object 1000000 of ")
    said = changed(lambda meta_graph: setattr(meta_graph.object_graph_def.nodes[1].variable, "dtype", 999))
    assert said.startswith(f"{file} is damaged: variable 'conv0/weights' has the data type 999, which ")
    said = changed(lambda meta_graph: meta_graph.signature_def["a\x1b[31mb"].inputs["x"].tensor_shape.dim.add(size=-7))
    assert "'x' of signature 'a\\x1b[31mb'" in said
