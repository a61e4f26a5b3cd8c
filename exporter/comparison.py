"""Compares what an artifact does with the reference, check by check.

The reference is the TF-Slim graph run straight from the checkpoint (`exporter.reference`); the artifact was loaded as
a user would (`exporter.probe`). Each ran in a process of its own; what they wrote down meets here, in NumPy.
"""

from pathlib import Path

import numpy as np

from exporter import hub_checks, saved_model_checks
from exporter.checks import Arrays, Check, Expected
from exporter.config import Format

_COMPARISONS = {"hub": hub_checks.compare, "saved_model_2": saved_model_checks.compare}


def load(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an ``.npz`` file."""
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def compare(expected: Expected, reference: Arrays, found: Arrays, findings: list[str]) -> list[Check]:
    """Every check of an artifact, passed or not; see the modules of the two formats."""
    format_: Format = expected.config.versions[expected.version]
    return _COMPARISONS[format_](expected, reference, found, findings)
