"""How much memory jobs are expected to take, and how much there is, of cores as well."""

import os
import sys
from typing import Any

from exporter.errors import MachineError
from exporter.models import variables
from exporter.models.config import ModelConfig
from exporter.processes.job import Job


def expected_memory(job: Job[Any, Any, Any], config: ModelConfig) -> int:
    """What the process of a job is expected to need for a network beside what it shares, in bytes: see `for_jobs`."""
    assert job.memory
    return int(job.memory.base + job.memory.per_weight * 4 * variables.parameters(config, "classification"))


def free_memory() -> int:
    """Nine tenths of what this machine has left, in bytes."""
    import psutil

    return int(psutil.virtual_memory().available * 0.9)


#: What processes share that are forks of one which has imported TensorFlow, in bytes: measured with 2.21.
_SHARED = 600_000_000


def for_jobs(memory: int) -> int:
    """What is left for jobs, each as `expected_memory` has it, of what they may need together, in bytes."""
    return max(memory - _SHARED, 0)


#: What the processes of a command need together where nobody says how much, in bytes; one that needs more runs alone.
_USUAL = 3_500_000_000


def usual_memory() -> int:
    """What the jobs of a command that makes or verifies a few artifacts may need together, in bytes."""
    return for_jobs(min(_USUAL, free_memory()))


def cores() -> int:
    """How many cores this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


#: With less address space, in bytes, TensorFlow cannot be imported, or hangs at it: measured with 2.21.
_LEAST_ADDRESS_SPACE = 2e9


def require_address_space() -> None:
    """Raises MachineError where no process may have the address space that TensorFlow takes: ``ulimit -v``."""
    limit = _address_space()
    if limit is not None and limit < _LEAST_ADDRESS_SPACE:
        raise MachineError(
            f"ulimit -v allows {limit / 1e9:.1f} GB of address space, and TensorFlow alone takes more than "
            f"{_LEAST_ADDRESS_SPACE / 1e9:.0f} GB: raise it"
        )


def address_space_note() -> str:
    """What to say of a process that could not get memory, where it may have only so much: ``ulimit -v``; else empty."""
    limit = _address_space()
    return "" if limit is None else f" (ulimit -v allows {limit / 1e9:.1f} GB of address space: raise it)"


def _address_space() -> int | None:
    """How much address space a process may have, in bytes; None where there is no limit."""
    if sys.platform == "win32":
        return None
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if limit == resource.RLIM_INFINITY else limit
