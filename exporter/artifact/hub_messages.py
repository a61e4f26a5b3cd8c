"""The three protocol buffers of a TF1 Hub module, whose Python classes tensorflow-hub no longer ships.

Field numbers are those of tensorflow-hub's ``module_def.proto``, ``module_attachment.proto`` and
``image_module_info.proto``.
"""

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_Field = descriptor_pb2.FieldDescriptorProto
#: ModuleDef.Format: a folder with a SavedModel, ``variables/`` and ``assets/``.
FORMAT_V3 = 3
_IMAGE_MODULE_INFO = "image_module_info"
#: The collection that holds attachments.
ATTACHMENTS = "hub_module_attachments"

_MESSAGES: dict[str, dict[str, tuple[int, int, str | None]]] = {
    "ModuleDef": {"format": (1, _Field.TYPE_INT32, None)},
    "ModuleAttachment": {"key": (1, _Field.TYPE_STRING, None), "value": (2, _Field.TYPE_BYTES, None)},
    "ImageSize": {"height": (1, _Field.TYPE_INT32, None), "width": (2, _Field.TYPE_INT32, None)},
    "ImageModuleInfo": {"default_image_size": (1, _Field.TYPE_MESSAGE, "ImageSize")},
}


def _pool() -> descriptor_pool.DescriptorPool:
    file = descriptor_pb2.FileDescriptorProto(name="nasexport_hub.proto", package="nasexport", syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field_name, (number, type_, message_type) in fields.items():
            field = message.field.add(name=field_name, number=number, type=type_, label=_Field.LABEL_OPTIONAL)
            if message_type:
                field.type_name = f".{file.package}.{message_type}"
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return pool


_POOL = _pool()


def _message(name: str, **fields: Any) -> Any:
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"nasexport.{name}"))(**fields)


def module_def() -> bytes:
    """The content of ``tfhub_module.pb``."""
    return _message("ModuleDef", format=FORMAT_V3).SerializeToString()


def image_size_attachment(size: int) -> bytes:
    """What tells ``hub.get_expected_image_size`` that images are ``size`` pixels high and wide."""
    info = _message("ImageModuleInfo", default_image_size=_message("ImageSize", height=size, width=size))
    attachment = _message("ModuleAttachment", key=_IMAGE_MODULE_INFO, value=info.SerializeToString())
    return attachment.SerializeToString()


def attached_image_size(attachment: bytes) -> tuple[int, int] | None:
    """Height and width in pixels, where an attachment of a module tells them.

    Raises:
        DecodeError: it is no attachment.
    """
    parsed = _message("ModuleAttachment").FromString(attachment)
    if parsed.key != _IMAGE_MODULE_INFO:
        return None
    size = _message("ImageModuleInfo").FromString(parsed.value).default_image_size
    return (size.height, size.width) if size.height > 0 and size.width > 0 else None
