"""The worker job that compares two artifacts by their files: what each is, and every value of their variables."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import trackable_object_graph_pb2

from exporter.artifact import inspection, variable_names, variables_file
from exporter.artifact.jobs import InspectRequest
from exporter.diff.jobs import (
    ComparedFiles,
    CompareFilesRequest,
    KindDifference,
    ValueDifference,
    VariableDifferences,
)
from exporter.files.json_values import finite_or_none
from exporter.progress import Say
from exporter.validation import shown
from exporter.verification.differences import differences

_OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"


def compare_files(request: CompareFilesRequest, say: Say) -> ComparedFiles:
    """The job `exporter.diff.jobs.COMPARE_FILES`; one variable of each artifact is in memory at a time.

    Raises:
        ArtifactError: one of them is no SavedModel, or a damaged one.
    """
    folders = (request.a, request.b)
    a, b = (inspection.describe(InspectRequest(folder), say) for folder in folders)
    bundles = [_Bundle(folder, facts.variables.count) for folder, facts in zip(folders, (a, b), strict=True)]
    prefixes = variable_names.prefixes(bundles[0].keys, bundles[1].keys)
    differences = None
    if request.values:
        say("comparing the variables")
        differences = _compared(bundles, prefixes)
    return ComparedFiles(a, b, prefixes, differences)


class _Bundle:
    """The variables of a SavedModel by name; ``keys`` has where in its files each is."""

    def __init__(self, folder: Path, count: int):
        self._folder = folder
        self.keys: dict[str, str] = {}
        if not count and not (folder / "variables").is_dir():
            return
        self._reader = variables_file.reader(folder)
        try:
            self._types = self._reader.get_variable_to_dtype_map()
            self._shapes = self._reader.get_variable_to_shape_map()
            self.keys = _keys(self._reader, self._shapes)
        except (*variables_file.UNREADABLE, DecodeError) as error:
            raise variables_file.unreadable(folder, error) from error

    def read(self, name: str) -> np.ndarray:
        try:
            return np.asarray(self._reader.get_tensor(self.keys[name]))
        except variables_file.UNREADABLE as error:
            raise variables_file.unreadable(self._folder, error) from error

    def kind(self, name: str) -> str:
        """Type and shape, for example ``float32 [3, 3, 8, 1]``."""
        key = self.keys[name]
        return f"{self._types[key].name} {list(self._shapes[key])}"


def _keys(reader: Any, stored: Collection[str]) -> dict[str, str]:
    """Names and keys: one and the same in a TF1 graph's checkpoint, told by the object graph in that of TF2 objects.

    Args:
        stored: the keys that the file has.

    Raises:
        ValueError: the object graph has a key that the file does not have.
    """
    if _OBJECT_GRAPH not in stored:
        return {key: key for key in sorted(stored)}
    graph = trackable_object_graph_pb2.TrackableObjectGraph.FromString(reader.get_tensor(_OBJECT_GRAPH))
    named: dict[str, set[str]] = {}
    for node in graph.nodes:
        for attribute in node.attributes:
            if attribute.name == "VARIABLE_VALUE":
                if attribute.checkpoint_key not in stored:
                    raise ValueError(f"its objects have a value {shown(attribute.checkpoint_key)} that is not there")
                named.setdefault(attribute.full_name, set()).add(attribute.checkpoint_key)
    return {
        # Objects may share a name; their places in the object graph tell them apart.
        name if name and len(held) == 1 else key: key
        for name, held in sorted(named.items())
        for key in sorted(held)
    }


def _compared(bundles: list[_Bundle], prefixes: tuple[str, str]) -> VariableDifferences:
    first, second = (
        {variable_names.without(name, prefix): name for name in bundle.keys}
        for bundle, prefix in zip(bundles, prefixes, strict=True)
    )
    other_kinds, other_values = [], []
    both = [name for name in first if name in second]
    for name in both:
        kinds = [bundles[0].kind(first[name]), bundles[1].kind(second[name])]
        if kinds[0] != kinds[1]:
            other_kinds.append(KindDifference(name, *kinds))
            continue
        a, b = bundles[0].read(first[name]), bundles[1].read(second[name])
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
