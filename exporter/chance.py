"""Takes chance out of training: graphs whose every random number is one.

Drop path and dropout then keep everything, rescaled, and a training step is a matter of the weights and the images.
"""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

_ONE = "nasexport_one"


def draws(meta_graph: Any) -> list[Any]:
    """The nodes of a MetaGraph's own graph that draw random numbers."""
    return _draws(meta_graph.graph_def.node)


def without_chance(meta_graph: Any) -> Any:
    """A copy of a MetaGraph in which every uniform random number is one, in the graph and in its functions."""
    copy = type(meta_graph)()
    copy.CopyFrom(meta_graph)
    _replace(copy.graph_def.node, _ONE)
    for function in copy.graph_def.library.function:
        _replace(function.node_def, f"{_ONE}:output:0")
    return copy


@contextlib.contextmanager
def loadable_without_chance(folder: Path, parent: Path) -> Iterator[Path]:
    """A folder that loads like the SavedModel in ``folder``, `without_chance`, for the time of the ``with`` block.

    It is made in ``parent``, whose owner removes it should this process be killed.
    """
    saved_model = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    for meta_graph in saved_model.meta_graphs:
        meta_graph.CopyFrom(without_chance(meta_graph))
    with tempfile.TemporaryDirectory(dir=parent) as temporary:
        (Path(temporary) / "saved_model.pb").write_bytes(saved_model.SerializeToString())
        for name in ("variables", "assets"):
            if (folder / name).exists():
                (Path(temporary) / name).symlink_to((folder / name).resolve())
        yield Path(temporary)


def _draws(nodes: Any) -> list[Any]:
    return [node for node in nodes if node.op.startswith("RandomUniform")]


def _replace(nodes: Any, one: str) -> None:
    """Turns each draw among ``nodes`` into ones of the same shape; ``one`` is what a node there calls the constant."""
    drawing = _draws(nodes)
    if not drawing:
        return
    constant = nodes.add(name=_ONE, op="Const")
    constant.attr["dtype"].type = tf.float32.as_datatype_enum
    constant.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(1.0))
    for node in drawing:
        shape_type = node.attr["T"].type
        shape, *control = node.input
        node.op = "Fill"
        node.ClearField("input")
        node.input.extend([shape, one, *control])
        node.ClearField("attr")
        node.attr["T"].type = tf.float32.as_datatype_enum
        node.attr["index_type"].type = shape_type
