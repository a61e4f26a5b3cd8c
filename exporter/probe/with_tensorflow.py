"""The probe job in a process that has TensorFlow, which forks of it share."""

from exporter.models import formats
from exporter.probe.run import probe

__all__ = ["probe"]

formats.preload("probe")
