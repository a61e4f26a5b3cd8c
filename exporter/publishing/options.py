"""What users choose when they publish, beside the target."""

from dataclasses import dataclass
from typing import Literal

Visibility = Literal["private", "public"]


@dataclass(frozen=True)
class TargetOptions:
    """What users choose beside the target.

    ``create`` allows to make a repository that is not there, and says who sees it; ``tag`` is the name of this state of
    it; ``read_back`` asks to read every byte that is there, whatever hashes the target states.
    """

    create: Visibility | None = None
    tag: str | None = None
    read_back: bool = False
