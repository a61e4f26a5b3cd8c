"""A copy of a SavedModel in which drop path and dropout keep everything, so that what it gives can be compared."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from exporter.graph.downgrade import nodes
from exporter.probe import drop_path, linked_copy


@contextlib.contextmanager
def written(path: Path, saved_model: Any, scratch: Path) -> Iterator[Path]:
    """A `exporter.probe.linked_copy` of the artifact in ``path`` in which nothing takes a random number but a one.

    Args:
        saved_model: the ``SavedModel`` protobuf of the artifact; it is changed.
    """
    for meta_graph in saved_model.meta_graphs:
        drop_path.keep_all([meta_graph.graph_def], in_function=False)
        drop_path.keep_all(meta_graph.graph_def.library.function, in_function=True)
    with linked_copy.written(path, saved_model, scratch) as copy:
        yield copy


def infers_as_it_is(saved_model: Any) -> bool:
    """Whether a copy is the artifact itself but for the functions that the object calls with ``training=True``.

    So it is where these alone draw random numbers, and nothing else in the file calls them.
    """
    graphs = [meta_graph.graph_def for meta_graph in saved_model.meta_graphs]
    functions = [function for graph in graphs for function in graph.library.function]
    drawing = {function.signature.name for function in functions if any(map(drop_path.is_draw, function.node_def))}
    if any(drop_path.is_draw(node) for graph in graphs for node in graph.node):
        return False
    return drawing <= _in_training(saved_model) and not any(drawing & _called(node) for node in nodes(saved_model))


def _in_training(saved_model: Any) -> set[str]:
    """The functions of the root's ``__call__`` that were traced with a True among their arguments."""
    found = set()
    for meta_graph in saved_model.meta_graphs:
        objects = meta_graph.object_graph_def
        for child in objects.nodes[0].children if objects.nodes else ():
            if child.local_name == "__call__":
                found.update(objects.nodes[child.node_id].function.concrete_functions)
        found &= {name for name, function in objects.concrete_functions.items() if _has_true(function)}
    return found


def _has_true(function: Any) -> bool:
    arguments = function.canonicalized_input_signature.tuple_value.values[:1]
    return any(value.bool_value for positional in arguments for value in positional.tuple_value.values)


def _called(node: Any) -> set[str]:
    """The functions that an operation may call."""
    attributes = node.attr.values()
    return {node.op} | {called.name for value in attributes for called in (value.func, *value.list.func)}
