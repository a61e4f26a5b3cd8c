"""Compares what an artifact does with the reference, check by check.

The reference is the TF-Slim graph run straight from the checkpoint (`exporter.reference`); the artifact was loaded as
a user would (`exporter.probe`). Each ran in a process of its own; what they wrote down meets here, in NumPy.
"""

from pathlib import Path
from typing import Any

import numpy as np

from exporter import hub_checks, saved_model_checks
from exporter.checks import TOLERANCE, Arrays, Check, Expected
from exporter.config import Format
from exporter.formats import SERVING_OUTPUTS

_COMPARISONS = {"hub": hub_checks.compare, "saved_model_2": saved_model_checks.compare}
#: Where the output for all images is, among what was found.
_OUTPUTS = {"hub": "signature/default/default", "saved_model_2": "output"}


def load(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an ``.npz`` file."""
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def compare(expected: Expected, reference: Arrays, found: Arrays, findings: list[str]) -> list[Check]:
    """Every check of an artifact, passed or not; see the modules of the two formats."""
    format_: Format = expected.config.versions[expected.version]
    return _COMPARISONS[format_](expected, reference, found, findings)


def measured(expected: Expected, reference: Arrays, found: Arrays) -> dict[str, Any]:
    """What pictures of the comparison are drawn from.

    ``tolerance`` is the largest relative difference allowed. ``outputs`` has the ``name`` of the output and, flat, its
    values in the ``reference`` and those ``found``; it is None where the artifact has no output of that shape.
    ``end_points`` lists the ``name`` and relative ``difference`` of each end point in the order of the network, None
    where nobody compared them.
    """
    values = reference["end_point/Logits" if expected.task == "classification" else "end_point/global_pool"]
    own = found.get(_OUTPUTS[expected.config.versions[expected.version]])
    outputs = None
    if own is not None and own.shape == values.shape:
        outputs = {"name": SERVING_OUTPUTS[expected.task], "reference": values.ravel(), "found": own.ravel()}
    return {"tolerance": TOLERANCE, "outputs": outputs, "end_points": None}
