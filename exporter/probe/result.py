"""Reads the results of a probe: how an artifact behaves when it is loaded and run, in the same terms for every format.

`exporter.probe.writer.ProbeWriter` writes them; verifications and comparisons read them.
"""

import functools
from collections.abc import Iterable

import numpy as np

from exporter.artifact import variable_names
from exporter.files.arrays import ArrayGroup, ArrayStore, below
from exporter.probe import array_names
from exporter.probe.observations import MOMENTS, Gradients, Moment, MovingStatistics, RandomDecision, Variables


class ProbeResult:
    """What a probe found of an artifact; arrays are read when they are asked for.

    Outputs are those for `exporter.checkpoint.synthetic.VERIFICATION_IMAGES`. In training, drop path and dropout keep
    everything, rescaled.

    Args:
        store: what the probe wrote.
        prefix: what to take off the names of variables, where a foreign writer put a scope before them.
    """

    def __init__(self, store: ArrayStore, prefix: str = ""):
        self.store, self.prefix = store, prefix

    def matched_to(self, names: Iterable[str]) -> "ProbeResult":
        """The same results without the prefix that the names of all variables have, if ``names`` do not have it."""
        if not self.is_complete:
            return self
        own, wanted = variable_names.prefixes(self._list(array_names.VARIABLES + array_names.NAMES), names)
        return ProbeResult(self.store, "" if wanted else own)

    # What the files tell.

    @property
    def stored_values(self) -> int:
        """How many values the checkpoint in the artifact has."""
        return int(self.store[array_names.STORED_VALUES])

    @property
    def gradient_stops(self) -> list[str]:
        """The operations that keep a gradient from what comes before them."""
        return self._list(array_names.GRADIENT_STOPS)

    @property
    def tag_sets(self) -> list[str]:
        """Those of a TF1 Hub module, tags joined by commas; of other formats none are looked at."""
        return self._list(array_names.TAG_SETS) if array_names.TAG_SETS in self.store else []

    @property
    def collections(self) -> list[str]:
        """The collections of a TF1 Hub module."""
        return self._list(array_names.COLLECTIONS)

    @property
    def attached_image_sizes(self) -> list[list[int]]:
        """Height and width attached to each MetaGraph of a TF1 Hub module, zeros where nothing is."""
        sizes: list[list[int]] = self.store[array_names.IMAGE_SIZES].tolist()
        return sizes

    @property
    def update_operations(self) -> int:
        """How many update operations a TF1 Hub module has for training."""
        return int(self.store[array_names.UPDATE_OPERATIONS])

    @property
    def inference_update_operations(self) -> int:
        """How many update operations a TF1 Hub module has for inference."""
        return int(self.store[array_names.INFERENCE_UPDATE_OPERATIONS])

    @property
    def momentum_settable(self) -> bool:
        """Whether a reader can choose the momentum of batch norm in training."""
        return bool(self.store[array_names.MOMENTUM_SETTABLE])

    @property
    def main_signature(self) -> str | None:
        """The signature whose outputs are the main output and the end points; None where the artifact is called."""
        place = array_names.MAIN_SIGNATURE
        return self._list(place)[0] if place in self.store else None

    @property
    def concatenations(self) -> list[np.ndarray]:
        """The outputs of concatenations in the order of the graph, where it does not name its end points."""
        return [self.store[name] for name in self.store if name.startswith(array_names.CONCATENATIONS)]

    @property
    def poolings(self) -> dict[str, float]:
        """How far each pooling of somebody else's network is from TensorFlow's, see `exporter.probe.poolings`."""
        place = array_names.POOLINGS
        if place + array_names.NAMES not in self.store:
            return {}
        values: list[float] = self.store[place + array_names.VALUES].tolist()
        return dict(zip(self._list(place + array_names.NAMES), values, strict=True))

    @property
    def unread(self) -> list[str]:
        """The names of stored values that nothing in the graph reads; of formats with a graph of their own."""
        return self._list(array_names.UNREAD)

    @property
    def properties(self) -> dict[str, str]:
        """What the file says of the model in a place for that, as text by name."""
        return self._keys(array_names.PROPERTIES)

    @property
    def interface(self) -> list[str]:
        """Its inputs and outputs, as ``input inputs float32 [?, 224, 224, 3]``."""
        return self._list(array_names.INTERFACE)

    # Variables.

    @property
    def is_complete(self) -> bool:
        """Whether the artifact was run: a TF1 Hub module without one of its tag sets is not."""
        return array_names.VARIABLES + array_names.DIGESTS in self.store

    @property
    def variables(self) -> Variables:
        """The variables before and after inference."""
        return self._variables(array_names.VARIABLES)

    @property
    def training_variables(self) -> Variables:
        """The variables before and after both training steps."""
        return self._variables(array_names.TRAINING_VARIABLES)

    @property
    def trainable(self) -> list[str]:
        """The names of the variables that the artifact says are trainable."""
        return self._variable_names(array_names.TRAINABLE)

    @property
    def replica_means(self) -> list[str] | None:
        """The names of the variables that each replica of a distributed training has of its own, whose mean is read.

        None for a TF1 Hub module, whose reader knows no replicas.
        """
        place = array_names.REPLICA_MEANS
        return self._variable_names(place) if place in self.store else None

    # Outputs.

    @property
    def output(self) -> np.ndarray | None:
        """The main output in inference, [batch, classes or features]; None where there is none."""
        return self.store.get(array_names.OUTPUT)

    @property
    def single_output(self) -> np.ndarray | None:
        """The main output for the first image alone, [1, classes or features]."""
        return self.store.get(array_names.SINGLE_OUTPUT)

    @property
    def training_output(self) -> np.ndarray | None:
        """The main output in training, [batch, classes or features]."""
        return self.store.get(array_names.TRAINING_OUTPUT)

    @functools.cached_property
    def end_points(self) -> ArrayGroup:
        """The end points in inference, those that the artifact gives or that its graph shows."""
        return below(self.store, array_names.END_POINTS)

    @functools.cached_property
    def signatures(self) -> dict[str, ArrayGroup]:
        """The outputs of each signature in inference."""
        return self._by_signature(array_names.SIGNATURES)

    @functools.cached_property
    def training_signatures(self) -> dict[str, ArrayGroup]:
        """The outputs of each signature for training, of formats that have such."""
        return self._by_signature(array_names.TRAINING_SIGNATURES)

    @property
    def signature_inputs(self) -> set[str]:
        """The inputs of signatures in inference, as ``SIGNATURE/INPUT``."""
        return set(self._list(array_names.SIGNATURE_INPUTS))

    @property
    def training_signature_inputs(self) -> set[str]:
        """The inputs of signatures for training, as ``SIGNATURE/INPUT``."""
        return set(self._list(array_names.TRAINING_SIGNATURE_INPUTS))

    # Training.

    @functools.cached_property
    def moving_statistics(self) -> MovingStatistics:
        """The moving statistics, before and after two steps on the same images."""
        return MovingStatistics(*map(self._moving_statistics, MOMENTS))

    @property
    def regularization_losses(self) -> np.ndarray:
        """The value of each regularization loss."""
        return self.store[array_names.REGULARIZATION_LOSSES]

    @property
    def l2_weights(self) -> dict[str, float]:
        """For each variable, the factor between it and the gradient of the regularization losses."""
        weights = self.store[array_names.L2_WEIGHTS + array_names.VALUES].tolist()
        return dict(zip(self._variable_names(array_names.L2_WEIGHTS + array_names.NAMES), weights, strict=True))

    @property
    def gradients(self) -> Gradients:
        """The variables that the gradient of a loss of the main output in training reaches."""
        reached, not_finite = (array_names.GRADIENTS + name for name in (array_names.REACHED, array_names.NOT_FINITE))
        return Gradients(self._variable_names(reached), self._variable_names(not_finite))

    @property
    def random_decisions(self) -> list[RandomDecision]:
        """What drop path and dropout decide in training."""
        columns = (array_names.NAMES, array_names.SHAPES, array_names.SHARES_KEPT, array_names.REPEATS)
        rows = zip(*(self.store[array_names.DECISIONS + column].tolist() for column in columns), strict=True)
        return [RandomDecision(*row) for row in rows]

    @property
    def inference_decisions(self) -> int:
        """How many operations draw random numbers in inference."""
        return int(self.store[array_names.INFERENCE_DECISIONS])

    # What outputs depend on, for `exporter.probe.reuse`: the keys of tensors by their names.

    @property
    def output_keys(self) -> dict[str, str]:
        return self._keys(array_names.OUTPUT_KEYS)

    @property
    def training_output_keys(self) -> dict[str, str]:
        return self._keys(array_names.TRAINING_OUTPUT_KEYS)

    @property
    def update_keys(self) -> dict[str, str]:
        return self._keys(array_names.UPDATE_KEYS)

    @property
    def gradient_keys(self) -> dict[str, str]:
        return self._keys(array_names.GRADIENT_KEYS)

    def _list(self, place: str) -> list[str]:
        names: list[str] = self.store[place].tolist()
        return names

    def _without_prefix(self, name: str) -> str:
        return variable_names.without(name, self.prefix)

    def _variable_names(self, place: str) -> list[str]:
        return list(map(self._without_prefix, self._list(place)))

    def _variables(self, prefix: str) -> Variables:
        digests, after = self._list(prefix + array_names.DIGESTS), prefix + array_names.DIGESTS_AFTER
        # Constants of a format that is not trained stay what they are.
        changed = self._list(after) if after in self.store else digests
        return Variables(self._variable_names(prefix + array_names.NAMES), digests, changed)

    def _moving_statistics(self, moment: Moment) -> ArrayGroup:
        prefix = f"{array_names.MOVING_STATISTICS}{moment}/"
        names = (name.removeprefix(prefix) for name in self.store if name.startswith(prefix))
        return ArrayGroup(self.store, {self._without_prefix(name): prefix + name for name in names})

    def _by_signature(self, prefix: str) -> dict[str, ArrayGroup]:
        names: dict[str, dict[str, str]] = {}
        for place in self.store:
            if place.startswith(prefix):
                signature, output = place.removeprefix(prefix).split("/", 1)
                names.setdefault(signature, {})[output] = place
        return {signature: ArrayGroup(self.store, outputs) for signature, outputs in names.items()}

    def _keys(self, place: str) -> dict[str, str]:
        names, keys = (self._list(place + column) for column in (array_names.NAMES, array_names.VALUES))
        return dict(zip(names, keys, strict=True))
