"""`nasexport.inspect`."""

import contextlib
import dataclasses

from exporter.artifact import packed
from exporter.artifact.folder import format_of
from exporter.artifact.jobs import INSPECT, InspectRequest
from exporter.checkpoint import source
from exporter.checkpoint.files import means_checkpoint
from exporter.checkpoint.jobs import DESCRIBE_CHECKPOINT, DescribeCheckpointRequest
from exporter.errors import ConfigError
from exporter.models.config import models as known_models
from exporter.processes import run
from nasexport._arguments import StrPath, config_of, path_of
from nasexport.results import ArtifactDescription, CheckpointDescription


def inspect(
    path: StrPath, *, model: StrPath | None = None, debug: bool = False
) -> ArtifactDescription | CheckpointDescription:
    """Describes an artifact or a checkpoint, of nasexport or not, from its files, as ``nasexport inspect`` does.

        >>> import nasexport
        >>> found = nasexport.inspect("dist/google/imagenet/nasnet_large/classification/4")  # doctest: +SKIP
        >>> found.format, found.variables.parameters  # doctest: +SKIP
        ('saved_model_2', 88953851)

    Args:
        path: the folder of an artifact, or a ``.tar.gz`` of it; or the prefix of a checkpoint, one of its files, or the
            folder that holds it.
        model: the network that a checkpoint should be of: a name, or the path of a ``.yaml`` file.
        debug: shows all that the process prints that reads it.

    Raises:
        ArtifactError, CheckpointError: there is none, or it is damaged.
        ConfigError: ``model`` was given with an artifact, or there is no such model.
    """
    place = path_of(path)
    is_checkpoint = False
    with contextlib.suppress(OSError):  # whoever opens it says what is wrong
        is_checkpoint = format_of(place) is None and means_checkpoint(place)
    if is_checkpoint:
        configs = (config_of(model),) if model is not None else tuple(known_models().values())
        with source.named(place):
            request = DescribeCheckpointRequest(source.find_prefix(place), configs)
            checkpoint = run.run(DESCRIBE_CHECKPOINT, request, debug=debug).result
        return CheckpointDescription.of(dataclasses.replace(checkpoint, path=str(place)))
    if model is not None:
        raise ConfigError("model can be given with a checkpoint only")
    with packed.opened(place) as folder:
        found = run.run(INSPECT, InspectRequest(folder), debug=debug).result
    return ArtifactDescription.of(dataclasses.replace(found, path=str(place)))
