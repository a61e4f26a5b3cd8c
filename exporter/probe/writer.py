"""Stores the results of a probe one by one; `exporter.probe.result` reads them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from exporter.files.arrays import ArrayWriter
from exporter.probe import array_names
from exporter.probe.observations import MOMENTS, Gradients, Moment, RandomDecision, Variables
from exporter.probe.result import ProbeResult


class ProbeWriter:
    """Writes the results of a probe into a store of arrays; the attributes of `ProbeResult` describe each of them.

    Outputs of signatures are named ``SIGNATURE/OUTPUT``, their inputs ``SIGNATURE/INPUT``.
    """

    def __init__(self, arrays: ArrayWriter):
        self._arrays = arrays

    def file(self, stored_values: int, gradient_stops: Sequence[str]) -> None:
        self._arrays.write(array_names.STORED_VALUES, stored_values)
        self._list(array_names.GRADIENT_STOPS, gradient_stops)

    def concatenations(self, values: Iterable[Any]) -> None:
        self._write_below(array_names.CONCATENATIONS, {f"{index:04}": value for index, value in enumerate(values)})

    def poolings(self, differences: Mapping[str, float]) -> None:
        self._list(array_names.POOLINGS + array_names.NAMES, differences)
        self._arrays.write(array_names.POOLINGS + array_names.VALUES, np.array(list(differences.values()), np.float64))

    def unread(self, names: Iterable[str]) -> None:
        self._list(array_names.UNREAD, names)

    def properties(self, texts: Mapping[str, str]) -> None:
        self._keys(array_names.PROPERTIES, texts)

    def interface(self, lines: Iterable[str]) -> None:
        self._list(array_names.INTERFACE, lines)

    def meta_graphs(self, tag_sets: Iterable[str], collections: Iterable[str]) -> None:
        self._list(array_names.TAG_SETS, tag_sets)
        self._list(array_names.COLLECTIONS, collections)

    def attached_image_sizes(self, sizes: Sequence[tuple[int, int]]) -> None:
        self._arrays.write(array_names.IMAGE_SIZES, np.array(sizes))

    def update_operations(self, inference: int, training: int) -> None:
        self._arrays.write(array_names.INFERENCE_UPDATE_OPERATIONS, inference)
        self._arrays.write(array_names.UPDATE_OPERATIONS, training)

    def momentum_settable(self, settable: bool) -> None:
        self._arrays.write(array_names.MOMENTUM_SETTABLE, settable)

    def variables(self, names: Sequence[str], digests: Sequence[str]) -> None:
        """Those in inference, before anything ran."""
        self._list(array_names.VARIABLES + array_names.NAMES, names)
        self._list(array_names.VARIABLES + array_names.DIGESTS, digests)

    def digests_after_inference(self, digests: Sequence[str]) -> None:
        self._list(array_names.VARIABLES + array_names.DIGESTS_AFTER, digests)

    def training_variables(self, variables: Variables) -> None:
        self._list(array_names.TRAINING_VARIABLES + array_names.NAMES, variables.names)
        self._list(array_names.TRAINING_VARIABLES + array_names.DIGESTS, variables.digests)
        self._list(array_names.TRAINING_VARIABLES + array_names.DIGESTS_AFTER, variables.digests_after)

    def trainable(self, names: Iterable[str]) -> None:
        self._list(array_names.TRAINABLE, names)

    def replica_means(self, names: Iterable[str]) -> None:
        self._list(array_names.REPLICA_MEANS, names)

    def output(self, value: Any) -> None:
        self._arrays.write(array_names.OUTPUT, value)

    def single_output(self, value: Any) -> None:
        self._arrays.write(array_names.SINGLE_OUTPUT, value)

    def training_output(self, value: Any) -> None:
        self._arrays.write(array_names.TRAINING_OUTPUT, value)

    def end_points(self, values: Mapping[str, Any]) -> None:
        self._write_below(array_names.END_POINTS, values)

    def signatures(self, outputs: Mapping[str, Any], *, training: bool = False) -> None:
        self._write_below(array_names.TRAINING_SIGNATURES if training else array_names.SIGNATURES, outputs)

    def signature_inputs(self, inputs: Iterable[str], *, training: bool = False) -> None:
        self._list(array_names.TRAINING_SIGNATURE_INPUTS if training else array_names.SIGNATURE_INPUTS, inputs)

    def main_signature(self, name: str) -> None:
        """Says which of the signatures is the one to be called, after their outputs were written.

        Its output ``default`` is the main one; all others are end points, with the network's name before their own.
        """
        self._list(array_names.MAIN_SIGNATURE, [name])
        prefix, training_prefix = f"{array_names.SIGNATURES}{name}/", f"{array_names.TRAINING_SIGNATURES}{name}/"
        for place in self._arrays.names:
            end_point = place.rpartition("/")[2]
            if place == f"{prefix}default":
                self._arrays.alias(array_names.OUTPUT, place)
            elif place == f"{training_prefix}default":
                self._arrays.alias(array_names.TRAINING_OUTPUT, place)
            elif place.startswith(prefix) and end_point != "default":
                self._arrays.alias(array_names.END_POINTS + end_point, place)

    def moving_statistics(self, moment: Moment, values: Mapping[str, Any]) -> None:
        self._write_below(f"{array_names.MOVING_STATISTICS}{moment}/", values)

    def regularization_losses(self, losses: Any) -> None:
        self._arrays.write(array_names.REGULARIZATION_LOSSES, losses)

    def l2_weights(self, weights: Mapping[str, float]) -> None:
        self._list(array_names.L2_WEIGHTS + array_names.NAMES, weights)
        self._arrays.write(array_names.L2_WEIGHTS + array_names.VALUES, np.array(list(weights.values()), np.float64))

    def gradients(self, found: Gradients) -> None:
        self._list(array_names.GRADIENTS + array_names.REACHED, found.reached)
        self._list(array_names.GRADIENTS + array_names.NOT_FINITE, found.not_finite)

    def random_decisions(self, training: Sequence[RandomDecision], in_inference: int) -> None:
        prefix = array_names.DECISIONS
        self._list(prefix + array_names.NAMES, [decision.name for decision in training])
        self._list(prefix + array_names.SHAPES, [decision.shape for decision in training])
        shares, repeats = [decision.share_kept for decision in training], [decision.repeats for decision in training]
        self._arrays.write(prefix + array_names.SHARES_KEPT, np.array(shares, np.float64))
        self._arrays.write(prefix + array_names.REPEATS, np.array(repeats, bool))
        self._arrays.write(array_names.INFERENCE_DECISIONS, in_inference)

    def output_keys(self, keys: Mapping[str, str], *, training: bool = False) -> None:
        self._keys(array_names.TRAINING_OUTPUT_KEYS if training else array_names.OUTPUT_KEYS, keys)

    def update_keys(self, keys: Mapping[str, str]) -> None:
        self._keys(array_names.UPDATE_KEYS, keys)

    def gradient_keys(self, keys: Mapping[str, str]) -> None:
        self._keys(array_names.GRADIENT_KEYS, keys)

    def link_signatures(self, previous: ProbeResult, outputs: Mapping[str, str], *, training: bool = False) -> None:
        """Takes outputs over from another artifact: by the name of each here, its name there."""
        place = array_names.TRAINING_SIGNATURES if training else array_names.SIGNATURES
        for name, other in outputs.items():
            self._arrays.link(place + name, previous.store, place + other)

    def link_moving_statistics(self, previous: ProbeResult, names: Sequence[str]) -> None:
        """Takes these statistics over from another artifact, at each `Moment`."""
        for moment in MOMENTS:
            for name in names:
                place = f"{array_names.MOVING_STATISTICS}{moment}/{name}"
                self._arrays.link(place, previous.store, place)

    def link_gradients(self, previous: ProbeResult) -> None:
        """Takes gradients, L2 weights and regularization losses over from another artifact."""
        self._link(previous, array_names.OF_GRADIENTS)

    def link_network(self, previous: ProbeResult) -> None:
        """Takes over from another artifact what two of the same network have in common, where it is not there yet."""
        self._link(previous, array_names.OF_NETWORK)

    def _link(self, previous: ProbeResult, places: tuple[str, ...]) -> None:
        own = set(self._arrays.names)
        for name in previous.store:
            if name.startswith(places) and name not in own:
                self._arrays.link(name, previous.store, name)

    def _list(self, place: str, names: Iterable[str]) -> None:
        self._arrays.write(place, np.array(list(names), str))

    def _keys(self, place: str, keys: Mapping[str, str]) -> None:
        self._list(place + array_names.NAMES, keys)
        self._list(place + array_names.VALUES, keys.values())

    def _write_below(self, prefix: str, values: Mapping[str, Any]) -> None:
        for name, value in values.items():
            self._arrays.write(prefix + name, value)
