"""Loads a TF1 Hub module for predictions."""

from pathlib import Path

from google.protobuf.message import DecodeError

from exporter.artifact import hub_messages
from exporter.artifact.model_file import parsed
from exporter.errors import ArtifactError
from exporter.evaluation.loaded import Loaded
from exporter.evaluation.saved_model import hub_load, static_size
from exporter.models.signatures import IMAGE_INPUT


def load(path: Path) -> Loaded:
    """The classification signature of a TF1 Hub module, and the image size attached to the module.

    Raises:
        ArtifactError: it does not load, or is not an image module.
    """
    loaded = hub_load(path, tags=[])
    signature = loaded.signatures.get("image_classification") or loaded.signatures.get("default")
    if signature is None:
        raise ArtifactError(f"{path} has no signature image_classification: it is not an image classifier")
    try:
        saved_model = parsed(path)
        attached = [
            hub_messages.attached_image_size(value)
            for value in saved_model.meta_graphs[0].collection_def[hub_messages.ATTACHMENTS].bytes_list.value
        ]
    except DecodeError as error:
        raise ArtifactError(f"{path / 'saved_model.pb'} is damaged: its attachments cannot be read") from error
    size = next(filter(None, attached), None) or static_size(signature)
    return Loaded(lambda images: signature(**{IMAGE_INPUT: images})["default"], size)
