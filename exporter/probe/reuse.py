"""What tells that two artifacts are the same network, byte for byte: what one of them does need not run twice.

Version 5 of an artifact is version 4 with a signature more; its functions have other names, for readers to load both.
The graphs of versions 1 and 3 differ in what a momentum can be set for.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from exporter.files.arrays import LazyArrays, by_variable


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
    """For each tensor of a graph, a sha256 of all operations that it depends on, whatever those are called.

    With the same values of variables and of what is fed, two tensors of the same key are equal; operations that draw
    random numbers apart. Of operations that depend on nothing, constants apart, the name belongs to what they are.
    Where the graph has a loop, there are no keys.

    Args:
        tensors: names, as ``scope/operation:0``.
        fed: by the name of a tensor that is fed, what with. A placeholder that is not is known by its name.
    """
    nodes = {node.name: node for node in graph_def.node}
    library = graph_def.library.SerializeToString(deterministic=True)
    keys = {_source(tensor): what for tensor, what in (fed or {}).items()}
    begun: set[str] = set()
    waiting = [_source(tensor) for tensor in tensors]
    while waiting:
        name = waiting[-1]
        missing = {_source(before) for before in nodes[name].input} - keys.keys()
        if not missing or name in keys:
            waiting.pop()
            if name not in keys:
                keys[name] = _node_key(nodes[name], keys, library)
        elif missing & begun:
            return {}  # a loop, as graphs of TensorFlow 1 may have
        else:
            begun.add(name)
            waiting += missing
    return {tensor: f"{keys[_source(tensor)]}:{tensor.partition(':')[2] or 0}" for tensor in tensors}


def _source(name: str) -> str:
    return name.removeprefix("^").partition(":")[0]


def _node_key(node: Any, keys: dict[str, str], library: bytes) -> str:
    alone = type(node)()
    alone.CopyFrom(node)
    if node.input or node.op == "Const":
        alone.name = ""
    alone.input[:] = [name.replace(_source(name), keys[_source(name)], 1) for name in node.input]
    return hashlib.sha256(alone.SerializeToString(deterministic=True) + library).hexdigest()


def listed(keys: Mapping[str, str]) -> np.ndarray:
    """Keys and what they belong to, as an array of a probe."""
    return np.array([f"{key} {name}" for name, key in keys.items()], str)


class Earlier:
    """The arrays of probes (`exporter.probe.hub_module.probe_hub`), with their keys
    (`exporter.probe.reuse.tensor_keys`).
    """

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
