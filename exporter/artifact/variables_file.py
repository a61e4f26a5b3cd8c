"""Reads the variables of an artifact from its files, without loading the model."""

from pathlib import Path
from typing import Any

import tensorflow as tf

from exporter.errors import ArtifactError
from exporter.files.plain_path import lasting

#: What TensorFlow's reader of checkpoints raises: for a file that was cut an IndexError, for unknown data types a
#: TypeError or KeyError.
UNREADABLE = (tf.errors.OpError, ValueError, RuntimeError, IndexError, TypeError, KeyError)


def unreadable(folder: Path, error: Exception) -> ArtifactError:
    """The error for an artifact whose variables cannot be read, with the reader's own message."""
    return ArtifactError(f"{folder / 'variables'} is damaged or missing: {' '.join(str(error).split())[:200]}")


def reader(folder: Path) -> Any:
    """The reader of the variables of the artifact in ``folder``.

    Raises:
        ArtifactError: they are damaged or missing.
    """
    try:
        return tf.train.load_checkpoint(str(lasting(folder) / "variables" / "variables"))
    except UNREADABLE as error:
        raise unreadable(folder, error) from error
