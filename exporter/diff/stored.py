"""The worker job that compares two artifacts by their files: what each is, and every value of their variables."""

import pkgutil
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from exporter.artifact import inspection, variable_names
from exporter.artifact.jobs import InspectRequest
from exporter.diff.jobs import (
    ComparedFiles,
    CompareFilesRequest,
    KindDifference,
    ValueDifference,
    VariableDifferences,
)
from exporter.files.json_values import finite_or_none
from exporter.models.formats import FORMATS
from exporter.progress import Say
from exporter.verification.differences import differences


def compare_files(request: CompareFilesRequest, say: Say) -> ComparedFiles:
    """The job `exporter.diff.jobs.COMPARE_FILES`; one variable of each artifact is in memory at a time.

    Raises:
        ArtifactError: one of them is no SavedModel, or a damaged one.
    """
    folders = (request.a, request.b)
    a, b = (inspection.describe(InspectRequest(folder), say) for folder in folders)
    stored: list[Stored] = [
        pkgutil.resolve_name(FORMATS[facts.format].stored)(folder, facts.variables.count)
        for folder, facts in zip(folders, (a, b), strict=True)
    ]
    prefixes = variable_names.prefixes(stored[0].names, stored[1].names)
    differences = None
    if request.values:
        say("comparing the variables")
        differences = _compared(stored, prefixes)
    return ComparedFiles(a, b, prefixes, differences)


class Stored(Protocol):
    """The variables that an artifact stores, in the axes of the checkpoint, whatever its format."""

    @property
    def names(self) -> list[str]:
        """All of them."""

    def kind(self, name: str) -> str:
        """Type and shape, for example ``float32 [3, 3, 8, 1]``."""

    def read(self, name: str) -> np.ndarray:
        """The value of one."""


def _compared(stored: Sequence[Stored], prefixes: tuple[str, str]) -> VariableDifferences:
    first, second = (
        {variable_names.without(name, prefix): name for name in each.names}
        for each, prefix in zip(stored, prefixes, strict=True)
    )
    other_kinds, other_values = [], []
    both = [name for name in first if name in second]
    for name in both:
        kinds = [stored[0].kind(first[name]), stored[1].kind(second[name])]
        if kinds[0] != kinds[1]:
            other_kinds.append(KindDifference(name, *kinds))
            continue
        a, b = stored[0].read(first[name]), stored[1].read(second[name])
        # Bit for bit: a NaN is itself, and 0 is not -0. Strings are objects.
        if not (np.array_equal(a, b) if a.dtype == object else a.tobytes() == b.tobytes()):
            other_values.append(ValueDifference(name, kinds[0], *_sizes(a, b)))
    return VariableDifferences(
        only_in_a=tuple(name for name in first if name not in second),
        only_in_b=tuple(name for name in second if name not in first),
        in_both=len(both),
        kinds=tuple(other_kinds),
        values=tuple(other_values),
    )


def _sizes(a: np.ndarray, b: np.ndarray) -> tuple[float | None, float | None]:
    """How large a difference is, absolute and relative; None where there is no number for that."""
    try:
        found = differences(a.astype(np.float64), b.astype(np.float64))
    except (TypeError, ValueError):
        found = (float("nan"), float("nan"))
    absolute, relative = map(finite_or_none, found)
    return absolute, relative
