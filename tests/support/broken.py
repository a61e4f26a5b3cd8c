"""What a row of a table of broken artifacts has."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporter.models.config import Task
from exporter.models.formats import DEFAULT_MOMENTUM, Version
from tests.support.faults import Held, Patch


@dataclass(frozen=True)
class Break:
    """One thing that is wrong, and what must come of it.

    Attributes:
        what: what is wrong, in a few words.
        check: the check that must fail.
        said: what the check's detail must say: the name of a variable, for example.
        begins: the end point that must be named as the first divergent one; "" where inference must be all right.
        also: the kinds of other checks that may fail in consequence; see `kind`.
        artifact: its task and version.
        patch: makes the writers wrong, given the variables that they are given; or else ``values`` changes those of a
            good artifact, arrays by name; or else ``momentum`` is the wrong default.
        along: the break, if any, whose artifact has this one, too. They must have nothing to do with each other.
        averages: whether the checkpoint's averages are taken, as they should be.
        edit: changes an artifact that was written right, in the way of its format: an ONNX model, the file of Keras.
        change: changes the folder of an artifact that was written right.
    """

    what: str
    check: str
    said: str = ""
    begins: str = ""
    also: tuple[str, ...] = ()
    artifact: tuple[Task, Version] = ("classification", 4)
    patch: Patch | None = None
    values: Callable[[Held], None] | None = None
    momentum: float = DEFAULT_MOMENTUM
    averages: bool = True
    along: str = ""
    edit: Callable[[Any], None] | None = None
    change: Callable[[Path], None] | None = None


def kind(check: str) -> str:
    """What a check is about: "inference", "training", "values", "L2", or its own name."""
    kinds = {
        "inference": ("output, ", "output for one image", "end points", "signature/", "outputs of {} ", "{} "),
        "training": ("output in training mode", "outputs of {train}", "moving averages"),
        "values": ("variables with other values",),
        "L2": ("regularization losses", "variables under L2", "L2 weights"),
        "gradients": ("gradients", "operations that stop gradients"),
        "shares": ("shares kept",),
    }
    return next((kind for kind, begins in kinds.items() if check.startswith(begins)), check)
