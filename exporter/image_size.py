"""How large the images of a SavedModel are, from whatever in its files says so."""

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

from google.protobuf.message import DecodeError

from exporter.artifact.hub_messages import ATTACHMENTS, attached_image_size


def image_size(saved_model: Any, metadata: dict[str, Any]) -> int | None:
    """The height and width of the square images that it takes; None where nothing tells.

    Asked in this order: ``nasexport.json``, the ``image_module_info`` attached to a TF1 Hub module, the inputs of the
    signatures, those of ``__call__``.
    """
    for height, width in _sizes(saved_model, metadata):
        if height == width and height:
            return height
    return None


def _sizes(saved_model: Any, metadata: dict[str, Any]) -> Iterator[tuple[int, int]]:
    model = metadata.get("model")
    if isinstance(model, dict) and isinstance(model.get("image_size"), int):
        yield model["image_size"], model["image_size"]
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
