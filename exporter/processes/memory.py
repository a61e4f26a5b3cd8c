"""How much memory jobs are expected to take, and how much there is."""

import sys
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


def address_space_note() -> str:
    """What to say of a process that could not get memory, where it may have only so much: ``ulimit -v``; else empty."""
    if sys.platform == "win32":
        return ""
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return ""
    return f" (ulimit -v allows {limit / 1e9:.1f} GB of address space, more than TensorFlow alone may take: raise it)"
