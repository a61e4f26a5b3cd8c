"""What in a SavedModel could do more than compute: found wherever it is put, and nowhere else."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow.core.framework import variable_pb2
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2
from tensorflow.python.framework import op_def_registry

from exporter.graph.operations import kinds
from exporter.graph.trust import refusals
from tests.support import graphs
from tests.support.command import CHECKOUT
from tests.support.graphs import Made

v1 = tf.compat.v1

_FILE = re.compile(r"file(name)?s?$|path|url|address|(^|_)target$", re.IGNORECASE)
SOMETHING_ELSE = st.sampled_from([*graphs.OTHERS, *graphs.UNHEARD_OF])
FILES = ("SaveV2", "RestoreV2", "MergeV2Checkpoints")


@given(graphs.saved_models())
@settings(max_examples=150, deadline=None)
def test_what_only_computes_is_let_pass(made: Made) -> None:
    assert list(refusals(made.saved_model)) == []


@pytest.mark.long
@given(graphs.saved_models(), SOMETHING_ELSE, st.data())
@settings(max_examples=300, deadline=None)
def test_what_does_more_is_found_wherever_it_is(made: Made, operation: str, data: st.DataObject) -> None:
    place = data.draw(st.sampled_from(made.places))
    how = data.draw(st.sampled_from(["operation", "attribute", "list", "inner attribute"]))
    if how == "operation":
        place.add("planted", operation)
        if operation in FILES:  # alone, it could be what nobody runs
            meta_graph = next(
                each for each in made.saved_model.meta_graphs if tuple(each.meta_info_def.tags) == place.tags
            )
            meta_graph.collection_def["update_ops"].node_list.value.append("planted")
            meta_graph.object_graph_def.concrete_functions[place.function].SetInParent()
    else:
        node = place.add("planted", "StatefulPartitionedCall")
        functions = {"attribute": [operation], "list": ["function_0_0", operation], "inner attribute": ["function_0_0"]}
        graphs.call(node, functions[how])
        if how == "inner attribute":
            node.attr["f"].func.attr["g"].list.func.add().attr["h"].func.name = operation
            made.saved_model.meta_graphs[0].graph_def.library.function.add().signature.name = "function_0_0"
    found = [refusal for refusal in refusals(made.saved_model) if refusal.operation == operation]
    assert (found[0].tags, found[0].function, found[0].node) == (place.tags, place.function, "planted")
    message = str(found[0])
    assert len(message) < 500 and message.isprintable() and "\x1b" not in message


@pytest.mark.parametrize("operation", ["WriteFile", "PyFunc", "RestoreV2"])
def test_a_function_cannot_hide_an_operation_by_its_name(operation: str) -> None:
    saved_model = saved_model_pb2.SavedModel()
    graph = saved_model.meta_graphs.add().graph_def
    graph.library.function.add().signature.name = operation
    graph.node.add(name="planted", op=operation)
    graph.node.add(name="relu", op="Relu", input=["planted"])
    assert [refusal.node for refusal in refusals(saved_model)] == ["planted"]


def test_printing_to_a_file_and_assets_outside_are_told() -> None:
    saved_model = saved_model_pb2.SavedModel()
    meta_graph = saved_model.meta_graphs.add()
    for stream in (b"stderr", b"log(info)", b"file:///tmp/x"):
        meta_graph.graph_def.node.add(name=stream.decode(), op="PrintV2").attr["output_stream"].s = stream
    meta_graph.graph_def.node.add(name="default", op="PrintV2")
    inside, outside = ("labels.txt", "below/labels.txt"), ("../labels.txt", "/etc/passwd", "gs://bucket/labels.txt")
    for name in (*inside, *outside[:2]):
        meta_graph.asset_file_def.add(filename=name)
    old = meta_graph.collection_def["saved_model_assets"].any_list.value.add()
    old.Pack(meta_graph_pb2.AssetFileDef(filename=outside[2]))
    assert [refusal.node for refusal in refusals(saved_model)] == ["file:///tmp/x", *outside]
    # Looking changes nothing: what is looked at is loaded.
    assert "output_stream" not in meta_graph.graph_def.node[3].attr


class _Model(tf.Module):
    """A model of TensorFlow 2 with a variable, a table, and a loop in a function of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = tf.Variable(2.0)
        keys = tf.lookup.KeyValueTensorInitializer([1, 2], [3, 4])
        self.table = tf.lookup.StaticHashTable(keys, -1)
        self.counts = tf.lookup.experimental.MutableHashTable(tf.int32, tf.int32, 0)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int32)])
    def __call__(self, numbers: Any) -> Any:
        found = tf.map_fn(self.table.lookup, numbers)
        return self.factor * tf.cast(found + self.counts.lookup(numbers), tf.float32)


def _of_tensorflow_2(folder: Path) -> saved_model_pb2.SavedModel:
    model = _Model()
    tf.saved_model.save(model, str(folder), signatures=model.__call__.get_concrete_function())
    return _parsed(folder)


def _of_tensorflow_1(folder: Path, sharded: bool = False) -> saved_model_pb2.SavedModel:
    with tf.Graph().as_default(), v1.Session() as session:
        images = v1.placeholder(tf.float32, [None, 3])
        variables = [v1.get_variable(f"factor_{number}", [3], use_resource=bool(number)) for number in range(2)]
        session.run(v1.global_variables_initializer())
        saver = v1.train.Saver(sharded=sharded)
        builder = v1.saved_model.Builder(str(folder))
        inputs, outputs = {"images": images}, {"scaled": images * variables[0] + variables[1]}
        signature = v1.saved_model.predict_signature_def(inputs, outputs)
        builder.add_meta_graph_and_variables(session, ["serve"], {"serving_default": signature}, saver=saver)
        builder.save()
    return _parsed(folder)


def _parsed(folder: Path) -> saved_model_pb2.SavedModel:
    return saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, saved_model_pb2.SavedModel]:
    """What TensorFlow itself writes."""
    folder = tmp_path_factory.mktemp("saved")
    return {
        "2": _of_tensorflow_2(folder / "2"),
        "1": _of_tensorflow_1(folder / "1"),
        "1 sharded": _of_tensorflow_1(folder / "sharded", sharded=True),
    }


def test_the_saver_of_what_tensorflow_writes_is_let_pass(saved: dict[str, Any]) -> None:
    for name, saved_model in saved.items():
        operations = {node.op for node in _all_nodes(saved_model)}
        assert {"SaveV2", "RestoreV2"} <= operations, name
        assert list(refusals(saved_model)) == [], name


def _all_nodes(saved_model: Any) -> list[Any]:
    (meta_graph,) = saved_model.meta_graphs
    inner = [node for function in meta_graph.graph_def.library.function for node in function.node_def]
    return [*meta_graph.graph_def.node, *inner]


def _in_signature(meta_graph: Any, node: str) -> None:
    meta_graph.signature_def["serving_default"].outputs["more"].name = f"{node}:0"


def _in_initialization(meta_graph: Any, node: str) -> None:
    meta_graph.signature_def["__saved_model_init_op"].outputs["__saved_model_init_op"].name = node


def _in_collection(meta_graph: Any, node: str) -> None:
    meta_graph.collection_def["table_initializer"].node_list.value.append(node)


def _in_variable(meta_graph: Any, node: str) -> None:
    variable = variable_pb2.VariableDef(variable_name="v:0", initializer_name="v/Assign", snapshot_name=f"{node}:0")
    meta_graph.collection_def["variables"].bytes_list.value.append(variable.SerializeToString())


def _before_what_computes(meta_graph: Any, node: str) -> None:
    meta_graph.graph_def.node.add(name="before", op="Identity", input=[f"^{node}"])
    meta_graph.graph_def.node.add(name="computes", op="Relu", input=["before:0"])


def _before_restoring(meta_graph: Any, node: str) -> None:
    meta_graph.graph_def.node.add(name="again", op="NoOp", input=[f"^{node}"])
    meta_graph.saver_def.restore_op_name = "again"


def _file_of_its_own(meta_graph: Any, node: str) -> None:
    own = meta_graph.graph_def.node.add(name="own", op="Const")
    own.attr["value"].tensor.string_val.append(b"/home/user/another")
    next(each for each in meta_graph.graph_def.node if each.name == node).input[0] = "own"


#: By what makes a loader or a user run it, the operations of a saver that this is wrong for.
RUNS: dict[Callable[[Any, str], None], tuple[str, ...]] = {
    _in_signature: FILES,
    _in_initialization: FILES,
    _in_collection: FILES,
    _in_variable: FILES,
    _before_what_computes: FILES,
    _before_restoring: ("SaveV2", "MergeV2Checkpoints"),
    _file_of_its_own: ("RestoreV2",),
}


@given(st.data())
@settings(max_examples=120, deadline=None)
def test_a_saver_that_something_else_runs_is_refused(saved: dict[str, Any], data: st.DataObject) -> None:
    saved_model = saved_model_pb2.SavedModel()
    saved_model.CopyFrom(saved[data.draw(st.sampled_from(["1", "1 sharded", "2"]))])
    (meta_graph,) = saved_model.meta_graphs
    library = {function.signature.name: function for function in meta_graph.graph_def.library.function}
    own = {
        node.name: {node.op, *(inner.op for called in _called(node) for inner in library[called].node_def)}
        for node in meta_graph.graph_def.node
    }
    run = data.draw(st.sampled_from(list(RUNS)))
    nodes = [name for name, operations in own.items() if operations & set(RUNS[run]) & set(FILES)]
    if not nodes:
        return  # a saver that is not sharded has no MergeV2Checkpoints
    node = data.draw(st.sampled_from(nodes))
    run(meta_graph, node)
    assert own[node] & {refusal.operation for refusal in refusals(saved_model)}


def _called(node: Any) -> list[str]:
    return [value.func.name for value in node.attr.values() if value.HasField("func")]


def _from_a_function(meta_graph: Any, function: str) -> None:
    other = meta_graph.graph_def.library.function.add()
    other.signature.name = "other"
    graphs.call(other.node_def.add(name="call", op="PartitionedCall"), [function])


def _from_a_while_loop(meta_graph: Any, function: str) -> None:
    node = meta_graph.graph_def.node.add(name="loop", op="While")
    graphs.call(node, ["anything"], "cond")
    graphs.call(node, [function], "body")
    meta_graph.graph_def.library.function.add().signature.name = "anything"
    _in_collection(meta_graph, "loop")


def _from_an_object(meta_graph: Any, function: str) -> None:
    meta_graph.object_graph_def.concrete_functions[function].SetInParent()


def _as_a_signature(meta_graph: Any, function: str) -> None:
    meta_graph.object_graph_def.nodes.add().bare_concrete_function.concrete_function_name = function


def _as_a_gradient(meta_graph: Any, function: str) -> None:
    meta_graph.graph_def.library.gradient.add(function_name="other", gradient_func=function)


def _as_a_registered_gradient(meta_graph: Any, function: str) -> None:
    meta_graph.graph_def.library.registered_gradients.add(gradient_func=function, registered_op_type="CustomGradient-1")


def _in_place_of_another(meta_graph: Any, function: str) -> None:
    (held,) = (each for each in meta_graph.graph_def.library.function if each.signature.name == function)
    held.attr["api_implements"].s = b"anything"


@pytest.mark.parametrize("operation", ["SaveV2", "RestoreV2"])
@pytest.mark.parametrize(
    "use",
    [
        *(_from_a_function, _from_a_while_loop, _from_an_object, _as_a_signature),
        *(_as_a_gradient, _as_a_registered_gradient, _in_place_of_another),
    ],
)
def test_a_function_of_the_saver_that_something_else_calls_is_refused(
    saved: dict[str, Any], use: Callable[[Any, str], None], operation: str
) -> None:
    saved_model = saved_model_pb2.SavedModel()
    saved_model.CopyFrom(saved["2"])
    (meta_graph,) = saved_model.meta_graphs
    (function,) = (
        function.signature.name
        for function in meta_graph.graph_def.library.function
        if operation in {node.op for node in function.node_def}
    )
    use(meta_graph, function)
    found = list(refusals(saved_model))
    assert operation in {refusal.operation for refusal in found}
    assert {refusal.function for refusal in found} == {function}


def test_the_list_is_what_its_script_writes() -> None:
    held = json.loads((CHECKOUT / "exporter" / "data" / "operations.json").read_text(encoding="utf-8"))
    if held["tensorflow"] != tf.__version__:
        pytest.skip(f"it was written with TensorFlow {held['tensorflow']}")
    script = [sys.executable, "scripts/record_operation_kinds.py"]
    written = subprocess.run(script, cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout
    assert json.loads(written) == held


def test_no_operation_that_computes_takes_the_name_of_a_file() -> None:
    """TensorFlow's definitions tell some of what its operations do: by the names of what they take."""
    named = []
    for name, kind in kinds().items():
        definition = op_def_registry.get(name)
        if kind == "computes" and definition is not None:
            parts = (*definition.attr, *definition.input_arg)
            named += [f"{name}.{part.name}" for part in parts if _FILE.search(part.name)]
    # A share of elements, and a number of paths through a tree.
    assert named == ["ApproxTopK.recall_target", "CTCBeamSearchDecoder.top_paths"]
