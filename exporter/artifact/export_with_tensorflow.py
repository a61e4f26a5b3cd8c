"""The export job in a process that has TensorFlow, which forks of it share."""

from exporter.artifact.export import export
from exporter.models import formats

__all__ = ["export"]

formats.preload("writer")
