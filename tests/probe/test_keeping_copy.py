"""One copy serves inference and training only where it is the artifact itself in inference."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from exporter.artifact.model_file import parsed
from exporter.probe import drop_path, keeping_copy
from tests.support.command import artifact_folder


def _functions(saved_model: Any) -> tuple[Any, Any]:
    """Those for inference and for training: the latter draws random numbers."""
    functions = saved_model.meta_graphs[0].graph_def.library.function
    (training,) = (each for each in functions if any(map(drop_path.is_draw, each.node_def)))
    inference = next(each for each in functions if "call" in each.signature.name and each is not training)
    return inference, training


def _draw(nodes: Any, training: Any) -> None:
    nodes.add().CopyFrom(next(filter(drop_path.is_draw, training.node_def)))


def _in_inference(saved_model: Any) -> None:
    inference, training = _functions(saved_model)
    _draw(inference.node_def, training)


def _in_the_graph(saved_model: Any) -> None:
    _, training = _functions(saved_model)
    _draw(saved_model.meta_graphs[0].graph_def.node, training)


def _calls_training(saved_model: Any) -> None:
    inference, training = _functions(saved_model)
    call = inference.node_def.add(name="trained", op="StatefulPartitionedCall")
    call.attr["f"].func.name = training.signature.name


def _is_training(saved_model: Any) -> None:
    inference, training = _functions(saved_model)
    inference.node_def.add(name="trained", op=training.signature.name)


def _in_one_of_several(saved_model: Any) -> None:
    _, training = _functions(saved_model)
    calls = saved_model.meta_graphs[0].graph_def.node.add(name="several", op="Case")
    calls.attr["branches"].list.func.add(name=training.signature.name)


def _elsewhere(saved_model: Any) -> None:
    """The object is not called with what was traced for training."""
    _, training = _functions(saved_model)
    concrete = saved_model.meta_graphs[0].object_graph_def.concrete_functions[training.signature.name]
    for value in concrete.canonicalized_input_signature.tuple_value.values[0].tuple_value.values:
        if value.bool_value:
            value.bool_value = False


@pytest.mark.parametrize(
    "change", [_in_inference, _in_the_graph, _calls_training, _is_training, _in_one_of_several, _elsewhere]
)
def test_whatever_else_may_draw_is_loaded_as_it_is(tiny_artifacts: Path, change: Callable[[Any], None]) -> None:
    saved_model = parsed(artifact_folder(tiny_artifacts, "tiny_nasnet", "classification", 5))
    assert keeping_copy.infers_as_it_is(saved_model)
    change(saved_model)
    assert not keeping_copy.infers_as_it_is(saved_model)


def test_in_the_copy_nothing_takes_a_random_number(tiny_artifacts: Path, tmp_path: Path) -> None:
    path = artifact_folder(tiny_artifacts, "tiny_nasnet", "classification", 5)
    before, changed = parsed(path), parsed(path)
    with keeping_copy.written(path, changed, tmp_path) as copy:
        found = parsed(copy)
        folders = {part.name for part in path.iterdir() if part.is_dir()}
        assert {part.name for part in copy.iterdir()} == {"saved_model.pb", *folders}
    assert list(tmp_path.iterdir()) == []
    inference, training = _functions(found)
    draws = {node.name for node in training.node_def if drop_path.is_draw(node)}
    taken = {name.partition(":")[0] for node in training.node_def for name in node.input} | {
        value.partition(":")[0] for value in training.ret.values()
    }
    assert draws and not draws & taken
    assert inference == _functions(before)[0]
