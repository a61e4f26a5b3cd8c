"""How much memory jobs are expected to take, and how much there is."""

from exporter.models import variables
from exporter.models.config import ModelConfig

#: Largest resident sets of the jobs' processes, in bytes: one part for TensorFlow and the graph, one for each byte of
#: weights. Measured with TensorFlow 2.21: 0.89 and 1.40 GB, 0.95 and 2.01 GB, 1.11 and 2.15 GB for nasnet_mobile and
#: nasnet_large.
_MEMORY = {"export": (0.9e9, 1.5), "reference": (0.9e9, 3.2), "probe": (1.1e9, 3.1)}


def expected_memory(job: str, config: ModelConfig) -> int:
    """What a process is expected to need for a network, in bytes."""
    base, factor = _MEMORY[job]
    return int(base + factor * 4 * variables.parameters(config, "classification"))


def free_memory() -> int:
    """Nine tenths of what this machine has left, in bytes."""
    import psutil

    return int(psutil.virtual_memory().available * 0.9)
