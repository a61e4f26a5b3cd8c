"""How much memory jobs are expected to take, and how much there is."""

from typing import Any

from exporter.models import variables
from exporter.models.config import ModelConfig
from exporter.processes.job import Job


def expected_memory(job: Job[Any, Any, Any], config: ModelConfig) -> int:
    """What the process of a job is expected to need for a network, in bytes; its row has what was measured."""
    assert job.memory
    return int(job.memory.base + job.memory.per_weight * 4 * variables.parameters(config, "classification"))


def free_memory() -> int:
    """Nine tenths of what this machine has left, in bytes."""
    import psutil

    return int(psutil.virtual_memory().available * 0.9)
