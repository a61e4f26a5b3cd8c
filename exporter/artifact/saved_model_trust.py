"""What a SavedModel has that can do more than compute."""

from collections.abc import Sequence
from pathlib import Path

from exporter.artifact.model_file import parsed
from exporter.graph import trust
from exporter.graph.refusal import Refusal


def refused(folder: Path) -> Sequence[Refusal]:
    """Everything in a SavedModel that can do more than compute.

    Raises:
        ArtifactError: it is damaged.
    """
    return tuple(trust.refusals(parsed(folder)))
