"""Reads the variables of an artifact from its files, without loading the model."""

from pathlib import Path

from exporter.checkpoint.values import READ_ERRORS, Values
from exporter.errors import ArtifactError

#: What is raised for files that are damaged or missing.
UNREADABLE = READ_ERRORS


def unreadable(folder: Path, error: Exception) -> ArtifactError:
    """The error for an artifact whose variables cannot be read, with the reader's own message."""
    reason = " ".join(str(error).split()).replace(f"{folder}/", "")
    return ArtifactError(f"{folder / 'variables'} is damaged or missing: {reason[:200]}")


def values(folder: Path) -> Values:
    """The variables of the artifact in ``folder``.

    Raises:
        ArtifactError: they are damaged or missing.
    """
    try:
        return Values(folder / "variables" / "variables")
    except UNREADABLE as error:
        raise unreadable(folder, error) from error
