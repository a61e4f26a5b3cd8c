"""What may be chosen about a verification; without NumPy, as the command line imports it."""

from dataclasses import dataclass
from pathlib import Path

from exporter.models.config import ModelConfig
from exporter.reference.jobs import Kind


@dataclass(frozen=True)
class VerificationOptions:
    """How to verify.

    ``model`` and ``version`` say what an artifact is that nasexport did not write. ``against`` names other
    implementations to compare with, too. ``reference`` is a recorded one to use. ``time_limit`` is how long each
    process may take, in seconds. ``measure`` is whether a `Report` is to have ``measured``, which reads all end points
    once more. With ``trust``, artifacts may do more than compute.
    """

    model: ModelConfig | None = None
    version: int | None = None
    against: tuple[Kind, ...] = ()
    reference: Path | None = None
    time_limit: float = 1800.0
    measure: bool = False
    trust: bool = False
