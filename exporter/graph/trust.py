"""Finds everything in a SavedModel that can do more than compute, by reading its graphs; nothing is loaded or run.

All nodes of all MetaGraphs and of all functions in their libraries are checked, including those that nothing calls. The
one exception are the operations of TensorFlow's own saver, which read and write the file of variables: they are allowed
if nothing but the saver can run them (`exporter.graph.savers`).
"""

from collections.abc import Collection, Iterable, Iterator
from pathlib import PurePosixPath
from typing import Any

from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

from exporter.graph import savers
from exporter.graph.operations import can_do
from exporter.graph.refusal import Refusal

#: The collection of assets before MetaGraphs had a field for them.
_ASSETS = "saved_model_assets"


def refusals(saved_model: saved_model_pb2.SavedModel) -> Iterator[Refusal]:
    """Everything in a SavedModel that can do more than compute, in the order of the file."""
    for meta_graph in saved_model.meta_graphs:
        tags = tuple(sorted(meta_graph.meta_info_def.tags))
        library = meta_graph.graph_def.library.function
        functions = {function.signature.name for function in library}
        called = [[tuple(savers.calls(node)) for node in function.node_def] for function in library]
        own = savers.of(meta_graph, {name for function in called for names in function for name in names})
        for node in meta_graph.graph_def.node:
            for operation, does in _can_do(node, savers.calls(node), functions, node.name in own.nodes):
                yield Refusal(tags, "", node.name, operation, does)
        for function, names_of_nodes in zip(library, called, strict=True):
            name = function.signature.name
            for node, names in zip(function.node_def, names_of_nodes, strict=True):
                for operation, does in _can_do(node, names, functions, name in own.functions):
                    yield Refusal(tags, name, node.name, operation, does)
        for asset in _assets(meta_graph):
            if _leads_outside(asset):
                yield Refusal(tags, "", asset, "", "is an asset that lies outside of the artifact")


def _can_do(node: Any, called: Iterable[str], functions: Collection[str], of_saver: bool) -> Iterator[tuple[str, str]]:
    """The operations that a node runs and that can do more than compute, each with what it can do.

    They are its own operation, and those that its attributes name in the place of a function to call.
    """
    for name in called:
        # The attribute of a function may be left empty.
        if name and not (of_saver and name in savers.OPERATIONS) and (does := can_do(name, functions)):
            yield name, does
    if node.op == "PrintV2" and "output_stream" in node.attr and _is_file(node.attr["output_stream"].s):
        yield node.op, "writes files"


def _is_file(stream: bytes) -> bool:
    """Whether ``PrintV2`` writes to a file; its other streams are those of the process, or its log."""
    return stream.startswith(b"file:")


def _assets(meta_graph: Any) -> Iterator[str]:
    for asset in meta_graph.asset_file_def:
        yield asset.filename
    for packed in meta_graph.collection_def[_ASSETS].any_list.value if _ASSETS in meta_graph.collection_def else ():
        asset = meta_graph_pb2.AssetFileDef()
        if packed.Unpack(asset):
            yield asset.filename


def _leads_outside(asset: str) -> bool:
    path = PurePosixPath(asset)
    return path.is_absolute() or ".." in path.parts or "\\" in asset or "://" in asset
