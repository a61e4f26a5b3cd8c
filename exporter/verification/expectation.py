"""What an artifact of ours must be, by what it says of itself; without NumPy, for commands that only run it."""

from pathlib import Path

from exporter.artifact.metadata import METADATA_FILE, Metadata
from exporter.errors import ArtifactError
from exporter.models.config import models
from exporter.verification.results import Expected


def said_by(path: Path, metadata: Metadata) -> Expected:
    """What the artifact at ``path`` must be.

    Raises:
        ArtifactError: its model has no such version, or the version no such options.
    """
    config = models().get(metadata.model.name, metadata.model)
    if metadata.version not in config.all_versions:
        raise ArtifactError(
            f"{path / METADATA_FILE} is damaged: version is {metadata.version}, expected one of "
            f"{', '.join(map(str, config.all_versions))}, which {config.name} has"
        )
    momentum = metadata.options.batch_norm_momentum
    if (momentum is None) != (config.version_spec(metadata.version).momentum is None):
        raise ArtifactError(f"{path / METADATA_FILE} is damaged: batch_norm_momentum is {momentum}")
    return Expected(config, metadata.task, metadata.version, metadata.options)
