"""What TF1 Hub modules gave that were probed before, for one that computes the same from the same values."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from exporter.files.arrays import LazyArrays, by_variable


def listed(keys: Mapping[str, str]) -> np.ndarray:
    """Keys and what they belong to, as an array of a probe."""
    return np.array([f"{key} {name}" for name, key in keys.items()], str)


class Earlier:
    """The arrays of probes (`exporter.probe.hub_module.probe_hub`), with their keys (`exporter.probe.reuse.tensor_keys`)."""

    def __init__(self, probes: Sequence[LazyArrays] = ()):
        self._probes = probes

    def holding(self, names: Sequence[str], digests: np.ndarray) -> "Earlier":
        """Those modules whose variables of these names have these values, bit for bit; they may have others beside."""
        wanted = set(zip(names, digests.tolist(), strict=True))
        whole = [found for found in self._probes if "digests" in found]  # not of a module without its tag sets
        return Earlier([found for found in whole if wanted <= by_variable(found, "names", "digests").items()])

    def outputs(self, tags: str, keys: Mapping[str, str]) -> tuple[LazyArrays, dict[str, Path]] | None:
        """The first probe that has outputs of all these keys, and their files; there is none where there are no keys.

        Args:
            tags: "" or "train/", what precedes the names of their arrays.
            keys: by output, as it is called in the module at hand.
        """
        for found in self._probes:
            places = dict(line.split(" ", 1) for line in found[f"{tags}keys"].tolist())
            if keys and set(keys.values()) <= set(places):
                return found, {name: found.file(f"{tags}signature/{places[key]}") for name, key in keys.items()}
        return None

    def same(self, name: str, keys: np.ndarray) -> LazyArrays | None:
        """The probe whose array ``name`` lists these keys, in any order; there is none where there are no keys."""
        wanted = sorted(keys.tolist())
        return next((found for found in self._probes if wanted and wanted == sorted(found[name].tolist())), None)
