"""Finds what two artifacts have in common, byte for byte, so that it is run for one of them only.

Version 5 of an artifact is version 4 with a signature more; its functions have other names, for readers to load both.
The graphs of versions 1 and 3 differ in what a momentum can be set for.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from exporter.files.arrays import ArrayStore
from exporter.probe.result import ProbeResult


def network_key(saved_model: Any) -> str | None:
    """The sha256 of the functions that calls and losses stand for, with the names of the variables that they capture.

    Args:
        saved_model: a ``SavedModel`` protobuf.

    Returns:
        It is the same for two files only if these functions are the same but for their names; None where there are
        none, or where they call others.
    """
    if len(saved_model.meta_graphs) != 1:
        return None
    (meta_graph,) = saved_model.meta_graphs
    objects = meta_graph.object_graph_def
    definitions = {function.signature.name: function for function in meta_graph.graph_def.library.function}
    whole = hashlib.sha256()
    for attribute, node in _functions(objects):
        whole.update(attribute.encode() + node.function.function_spec.SerializeToString(deterministic=True))
        for name in node.function.concrete_functions:
            if name not in definitions or _calls_others(definitions[name]):
                return None
            definition = type(definitions[name])()
            definition.CopyFrom(definitions[name])
            definition.signature.name = ""
            concrete = objects.concrete_functions[name]
            captured = [objects.nodes[number].variable.name for number in concrete.bound_inputs]
            for part in (definition, concrete.canonicalized_input_signature, concrete.output_signature):
                whole.update(hashlib.sha256(part.SerializeToString(deterministic=True)).digest())
            whole.update("\0".join(captured).encode())
    return whole.hexdigest() if any(True for _ in _functions(objects)) else None


def _functions(objects: Any) -> Iterator[tuple[str, Any]]:
    """The functions of the root's ``__call__`` and ``regularization_losses``, by the attribute that they belong to."""
    if not objects.nodes:
        return
    children = {child.local_name: objects.nodes[child.node_id] for child in objects.nodes[0].children}
    if "__call__" in children:
        yield "__call__", children["__call__"]
    if "regularization_losses" in children:
        for child in children["regularization_losses"].children:
            yield f"regularization_losses/{child.local_name}", objects.nodes[child.node_id]


def _calls_others(definition: Any) -> bool:
    values = (value for node in definition.node_def for value in node.attr.values())
    return any(value.HasField("func") or value.list.func for value in values)


def tensor_keys(graph_def: Any, tensors: Iterable[str], fed: Mapping[str, str] | None = None) -> dict[str, str]:
    """For each tensor of a graph, a sha256 of all operations that it depends on, without their names.

    With the same values of variables and of what is fed, two tensors of the same key are equal; operations that draw
    random numbers apart. Of operations that depend on nothing, constants apart, the name belongs to what they are.
    Where the graph has a loop, there are no keys.

    Args:
        tensors: names, as ``scope/operation:0``.
        fed: by the name of a tensor that is fed, what with. A placeholder that is not is known by its name.
    """
    nodes = {node.name: node for node in graph_def.node}
    library = hashlib.sha256(graph_def.library.SerializeToString(deterministic=True)).digest()
    keys = {source(tensor): what for tensor, what in (fed or {}).items()}
    begun: set[str] = set()
    waiting = [source(tensor) for tensor in tensors]
    while waiting:
        name = waiting[-1]
        missing = {source(before) for before in nodes[name].input} - keys.keys()
        if not missing or name in keys:
            waiting.pop()
            if name not in keys:
                keys[name] = _node_key(nodes[name], keys, library)
        elif missing & begun:
            return {}  # a loop, as graphs of TensorFlow 1 may have
        else:
            begun.add(name)
            waiting += missing
    return {tensor: f"{keys[source(tensor)]}:{tensor.partition(':')[2] or 0}" for tensor in tensors}


def source(name: str) -> str:
    """The name of the operation that a tensor is of, or that an input waits for."""
    return name.removeprefix("^").partition(":")[0]


def _node_key(node: Any, keys: dict[str, str], library: bytes) -> str:
    alone = type(node)()
    alone.CopyFrom(node)
    if node.input or node.op == "Const":
        alone.name = ""
    alone.input[:] = [name.replace(source(name), keys[source(name)], 1) for name in node.input]
    return hashlib.sha256(alone.SerializeToString(deterministic=True) + library).hexdigest()


class PreviousProbes:
    """The results of previous probes whose artifacts may have something in common with the current one."""

    def __init__(self, probes: Sequence[ProbeResult] = ()):
        # Of a TF1 Hub module without one of its tag sets, nothing is known.
        self._probes = [probe for probe in probes if probe.is_complete]

    @classmethod
    def of_network(cls, folders: Mapping[Path, str | None], network: str | None) -> "PreviousProbes":
        """The results in those folders that belong to this network; none if it is None."""
        same = (folder for folder, other in folders.items() if network is not None and other == network)
        return cls([ProbeResult(ArrayStore(folder)) for folder in same])

    def with_variables(self, names: Sequence[str], digests: Sequence[str]) -> "PreviousProbes":
        """Those whose variables of these names have these values, bit for bit; they may have others beside."""
        wanted = set(zip(names, digests, strict=True))
        return PreviousProbes([probe for probe in self._probes if wanted <= probe.variables.by_name.items()])

    def with_same_variables(self, names: Sequence[str], digests: Sequence[str]) -> ProbeResult | None:
        """The first whose variables have these names, in this order, and these values, bit for bit."""
        wanted = (list(names), list(digests))
        found = ((probe.variables, probe) for probe in self._probes)
        return next((probe for own, probe in found if (own.names, own.digests) == wanted), None)

    def with_outputs(
        self, keys: Mapping[str, str], *, training: bool = False
    ) -> tuple[ProbeResult, dict[str, str]] | None:
        """The first that has outputs of all these keys, and the names that they have there.

        There is none where there are no keys.

        Args:
            keys: by output, as it is called in the artifact at hand; see `tensor_keys`.
        """
        for probe in self._probes:
            own = probe.training_output_keys if training else probe.output_keys
            names = {key: name for name, key in own.items()}
            if keys and set(keys.values()) <= set(names):
                return probe, {name: names[key] for name, key in keys.items()}
        return None

    def with_updates(self, keys: Mapping[str, str]) -> ProbeResult | None:
        """The first whose moving statistics depend on the same tensors; there is none where there are no keys."""
        return next((probe for probe in self._probes if keys and keys == probe.update_keys), None)

    def with_gradients(self, keys: Mapping[str, str]) -> ProbeResult | None:
        """The first whose gradients start from the same tensors; there is none where there are no keys."""
        return next((probe for probe in self._probes if keys and keys == probe.gradient_keys), None)
