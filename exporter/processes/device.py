"""What computes: the processor, unless the user names a graphics card or a job takes one where there is one.

What decides whether an artifact is right is computed on the processor: a card's own arithmetic (TF32) is some 1e-3 off,
and processes side by side would share the card's memory. Where the user names the card all the same, one process at a
time has it.
"""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any, Literal, TypeAlias, get_args

from exporter.processes.job import Device, Job

#: What a worker is told: a device, or "any" for a card where there is one, else the processor.
Wanted: TypeAlias = Literal[Device, "any"]

DEVICES: tuple[Device, ...] = get_args(Device)
#: The variable that tells a worker its `Wanted`.
VARIABLE = "NASEXPORT_WORKER_DEVICE"

#: Variables by which CUDA and ROCm are told which cards there are. None has the number -1.
_VISIBLE = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")


class _Chosen:
    """The device that the user named, while a command runs, and who computes on the card."""

    device: Device | None = None
    card = threading.Lock()


@contextlib.contextmanager
def using(device: Device | None) -> Iterator[None]:
    """Within it, jobs that may run on ``device`` do; None leaves it to their rows."""
    before, _Chosen.device = _Chosen.device, device
    try:
        yield
    finally:
        _Chosen.device = before


def notes() -> tuple[str, ...]:
    """What a report says of where was computed; that it was the processor goes without saying."""
    return ("computed on a graphics card, in float32",) if _Chosen.device == "gpu" else ()


def wanted(job: Job[Any, Any, Any]) -> Wanted:
    """Where the process of a job is to compute."""
    if _Chosen.device in job.devices:
        return _Chosen.device
    return "any" if job.devices[0] == "gpu" else "cpu"


@contextlib.contextmanager
def taken(device: Wanted) -> Iterator[None]:
    """Within it, no other process of this command computes on a card; the processor is for all."""
    if device == "cpu":
        yield
    else:
        with _Chosen.card:
            yield


def variables(device: Wanted) -> dict[str, str]:
    """The environment variables of a process that computes there; which cards it sees is the user's choice."""
    told: dict[str, str] = {VARIABLE: device}
    if device == "cpu":
        return told | dict.fromkeys(_VISIBLE, "-1")
    # TensorFlow would take all of the card's memory.
    return told | {"TF_FORCE_GPU_ALLOW_GROWTH": "true"}
