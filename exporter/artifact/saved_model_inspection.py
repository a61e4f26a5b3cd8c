"""What the files of a SavedModel say of it, TF1 Hub modules among them, without loading it."""

import contextlib
from collections.abc import Iterable, Iterator
from math import prod
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from exporter.artifact.folder import format_of
from exporter.artifact.hub_messages import ATTACHMENTS, attached_image_size
from exporter.artifact.jobs import Inspection, SignatureFacts, TensorFacts, VariableFacts, VariablesFacts
from exporter.artifact.model_file import parsed
from exporter.graph import compatibility, trust
from exporter.graph.data_types import name_of
from exporter.models.formats import Format

#: The collection of a TF1 graph that names what is trained.
_TRAINABLE = "trainable_variables"


def describe(folder: Path) -> Inspection:
    """What the files tell that readers look at; nothing of ``nasexport.json``.

    Raises:
        ArtifactError: it is damaged.
    """
    saved_model = parsed(folder)
    variables = _variables(folder, saved_model)
    findings = compatibility.check(saved_model)
    trainable = [variable for variable in variables if variable.trainable]
    return Inspection(
        path=str(folder),
        format=_format(folder, saved_model),
        handle=None,
        tag_sets=tuple(tuple(sorted(meta_graph.meta_info_def.tags)) for meta_graph in saved_model.meta_graphs),
        signatures={
            ",".join(sorted(meta_graph.meta_info_def.tags)): _signatures(meta_graph)
            for meta_graph in saved_model.meta_graphs
        },
        functions=_functions(saved_model),
        image_size=_image_size(saved_model),
        variables=VariablesFacts(
            count=len(variables),
            trainable=_trainable_in_collections(saved_model) or len(trainable),
            parameters=sum(prod(size or 0 for size in variable.shape) for variable in variables),
            list=tuple(variables),
        ),
        bytes=sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()),
        oldest_tensorflow="1.15" if not findings else None,
        findings=tuple(str(finding) for finding in findings),
        written_by=None,
        tensorflow_version=saved_model.meta_graphs[0].meta_info_def.tensorflow_version,
        source=None,
        options=None,
        verified=None,
        refused=tuple(trust.refusals(saved_model)),
    )


def _trainable_in_collections(saved_model: Any) -> int:
    """The number of trainable variables of a TF1 graph, 0 for one of TF2."""
    return max(len(meta_graph.collection_def[_TRAINABLE].bytes_list.value) for meta_graph in saved_model.meta_graphs)


def _format(folder: Path, saved_model: Any) -> Format:
    has_objects = any(meta_graph.object_graph_def.nodes for meta_graph in saved_model.meta_graphs)
    spec = format_of(folder, has_objects)
    assert spec, "its files were there when it was read"
    return spec.name


def _signatures(meta_graph: Any) -> dict[str, SignatureFacts]:
    return {
        name: SignatureFacts(
            inputs={key: _tensor(info) for key, info in sorted(signature.inputs.items())},
            outputs={key: _tensor(info) for key, info in sorted(signature.outputs.items())},
        )
        for name, signature in sorted(meta_graph.signature_def.items())
        if not name.startswith("__")  # TensorFlow's own, such as __saved_model_init_op
    }


def _tensor(info: Any) -> TensorFacts:
    return TensorFacts(name_of(info.dtype), _shape(info.tensor_shape))


def _shape(shape: Any) -> tuple[int | None, ...] | None:
    return None if shape.unknown_rank else tuple(None if dim.size < 0 else dim.size for dim in shape.dim)


def _functions(saved_model: Any) -> dict[str, int]:
    """The functions on the root object, and how often each is traced."""
    nodes = saved_model.meta_graphs[0].object_graph_def.nodes
    children = nodes[0].children if nodes else ()
    return {
        child.local_name: len(nodes[child.node_id].function.concrete_functions)
        for child in children
        if nodes[child.node_id].WhichOneof("kind") == "function"
    }


def _variables(folder: Path, saved_model: Any) -> list[VariableFacts]:
    found = [
        VariableFacts(
            name=node.variable.name,
            dtype=name_of(node.variable.dtype),
            shape=_shape(node.variable.shape) or (),
            trainable=node.variable.trainable,
        )
        for meta_graph in saved_model.meta_graphs
        for node in meta_graph.object_graph_def.nodes
        if node.WhichOneof("kind") == "variable"
    ]
    if found or not (folder / "variables").is_dir():
        return found
    from exporter.artifact import variables_file  # NumPy, which is not needed above

    held = variables_file.values(folder)
    return [
        VariableFacts(name=name, dtype=held.types[name], shape=shape, trainable=None)
        for name, shape in sorted(held.shapes.items())
    ]


def _image_size(saved_model: Any) -> int | None:
    """The height and width of the square images that it takes; None where nothing tells.

    Asked in this order: the ``image_module_info`` attached to a TF1 Hub module, the inputs of the signatures, those of
    ``__call__``.
    """
    for height, width in _sizes(saved_model):
        if height == width and height:
            return height
    return None


def _sizes(saved_model: Any) -> Iterator[tuple[int, int]]:
    for meta_graph in saved_model.meta_graphs:
        if ATTACHMENTS in meta_graph.collection_def:
            yield from _attached(meta_graph.collection_def[ATTACHMENTS].bytes_list.value)
    for meta_graph in saved_model.meta_graphs:
        for _, signature in sorted(meta_graph.signature_def.items()):
            yield from (_of_images(info.tensor_shape) for _, info in sorted(signature.inputs.items()))
    for meta_graph in saved_model.meta_graphs:
        yield from map(_of_images, _called_with(meta_graph.object_graph_def))


def _attached(attachments: Iterable[bytes]) -> Iterator[tuple[int, int]]:
    for attachment in attachments:
        with contextlib.suppress(DecodeError):
            if size := attached_image_size(attachment):
                yield size


def _of_images(shape: Any) -> tuple[int, int]:
    """Height and width of images [batch, height, width, 3], zeros for any other shape."""
    sizes = [dim.size for dim in shape.dim]
    return (sizes[1], sizes[2]) if len(sizes) == 4 and sizes[3] == 3 and sizes[1] > 0 else (0, 0)


def _called_with(objects: Any) -> Iterator[Any]:
    """The shapes of all tensors that ``__call__`` of the root object was traced with."""
    for child in objects.nodes[0].children if objects.nodes else ():
        if child.local_name == "__call__":
            for name in objects.nodes[child.node_id].function.concrete_functions:
                yield from _tensors(objects.concrete_functions[name].canonicalized_input_signature)


def _tensors(value: Any) -> Iterator[Any]:
    kind = value.WhichOneof("kind")
    if kind == "tensor_spec_value":
        yield value.tensor_spec_value.shape
    elif kind in ("tuple_value", "list_value"):
        for item in getattr(value, kind).values:
            yield from _tensors(item)
    elif kind == "dict_value":
        for _, item in sorted(value.dict_value.fields.items()):
            yield from _tensors(item)
