"""Keras's file format (``.keras``), of functional networks, written without Keras.

A file is a zip file of three members: ``config.json``, the layers and what each reads; ``model.weights.h5``, their
weights, which have no names but those of their layers' classes, numbered; ``metadata.json``, which Keras does not read.
Source: ``keras/src/saving/saving_lib.py``, ``models/functional.py`` and ``ops/function.py`` of Keras 3.6 and 3.15.

Written by Keras itself, a file has the time in it, and what only that release of Keras knows: an older one refuses it.
What is written here has the same bytes every time, and loads from Keras 3.6 on.
"""

import json
import re
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
from numpy.typing import NDArray

#: The oldest Keras that knows all that is written.
OLDEST_KERAS = "3.6.0"

WEIGHTS_FILE = "model.weights.h5"

_INPUT = "InputLayer"
#: Where Keras puts a line into the name of a class: ``max_pooling2d``, ``re_lu``.
_WORD = re.compile(r"(?<=.)(?=[A-Z][a-z])|(?<=[a-z])(?=[A-Z])")


@dataclass(frozen=True, eq=False)
class Layer:
    """A stock layer of Keras, called once.

    Args:
        kind: its class in ``keras.layers``.
        shape: that of its output, without the batch.
        inputs: the layers that it reads; one that takes a list has several.
        options: the arguments of its class that are no defaults.
        weights: in Keras's order.
    """

    kind: str
    name: str
    shape: tuple[int, ...]
    inputs: tuple["Layer", ...] = ()
    options: Mapping[str, Any] | None = None
    weights: Sequence[NDArray[Any]] = ()


def registered(module: str, kind: str, **options: Any) -> dict[str, Any]:
    """An object of Keras as a configuration has it."""
    return {"module": module, "class_name": kind, "config": options, "registered_name": None}


def group_name(kind: str, numbers: Counter[str]) -> str:
    """The group of the next layer of a kind in ``model.weights.h5``; ``numbers`` has how many of each there were."""
    word = _WORD.sub("_", kind).lower()
    number = numbers[word]
    numbers[word] += 1
    return f"layers/{word}_{number}" if number else f"layers/{word}"


def write(path: Path, name: str, output: Layer, metadata: Mapping[str, Any]) -> None:
    """Writes the network that ends in ``output``.

    Args:
        path: it ends in ``.keras``, which Keras asks for.
        metadata: JSON values that are put beside Keras's own.
    """
    layers = in_order(output)
    # With a date, which is that of all zip files' first day.
    head = {"keras_version": OLDEST_KERAS, "date_saved": "1980-01-01@00:00:00", **metadata}
    weights = path.with_name(WEIGHTS_FILE)
    _write_weights(weights, layers)
    with zipfile.ZipFile(path, "w") as archive:
        # A `ZipInfo` without a date has that one.
        archive.writestr(zipfile.ZipInfo("metadata.json"), json.dumps(head))
        archive.writestr(zipfile.ZipInfo("config.json"), json.dumps(_network(name, layers)))
        member = zipfile.ZipInfo(WEIGHTS_FILE)
        member.file_size = weights.stat().st_size
        with open(weights, "rb") as source, archive.open(member, "w") as stored:
            while block := source.read(2**20):
                stored.write(block)
    weights.unlink()


def in_order(output: Layer) -> list[Layer]:
    """All layers that a network has, in Keras's order, on which the names of weights depend.

    The farther a layer is from the output, on the longest way, the earlier; of those equally far, the one that is first
    come upon on the way back from the output.
    """
    met: dict[Layer, int] = {}
    finished: list[Layer] = []
    waiting = [(output, False)]
    while waiting:
        layer, done = waiting.pop()
        if done:
            finished.append(layer)
        elif layer not in met:
            met[layer] = len(met)
            waiting.append((layer, True))
            waiting += [(read, False) for read in reversed(layer.inputs)]
    distance = dict.fromkeys(met, 0)
    for layer in reversed(finished):
        for read in layer.inputs:
            distance[read] = max(distance[read], distance[layer] + 1)
    return sorted(met, key=lambda layer: (-distance[layer], met[layer]))


def _network(name: str, layers: Sequence[Layer]) -> dict[str, Any]:
    (start,) = (layer for layer in layers if layer.kind == _INPUT)
    network = registered(
        "keras.src.models.functional",  # Keras itself writes this one by where it lies
        "Functional",
        name=name,
        trainable=True,
        layers=list(map(_configuration, layers)),
        input_layers=_place(start),
        output_layers=_place(layers[-1]),
    )
    return {**network, "registered_name": "Functional"}


def _configuration(layer: Layer) -> dict[str, Any]:
    options: dict[str, Any]
    if layer.kind == _INPUT:
        options = {"batch_shape": [None, *layer.shape], "dtype": "float32", "name": layer.name}
    else:
        policy = registered("keras", "DTypePolicy", name="float32")
        options = {"name": layer.name, "trainable": True, "dtype": policy, **(layer.options or {})}
    read = [_tensor(each) for each in layer.inputs]
    nodes: list[Any] = [{"args": [read] if len(read) > 1 else read, "kwargs": {}}] if read else []
    return {**registered("keras.layers", layer.kind, **options), "name": layer.name, "inbound_nodes": nodes}


def _tensor(layer: Layer) -> dict[str, Any]:
    options = {"shape": [None, *layer.shape], "dtype": "float32", "keras_history": _place(layer)}
    return {"class_name": "__keras_tensor__", "config": options}


def _place(layer: Layer) -> list[Any]:
    """A layer's output, as a configuration names it: of its first call, the first tensor."""
    return [layer.name, 0, 0]


def _write_weights(path: Path, layers: Sequence[Layer]) -> None:
    numbers: Counter[str] = Counter()
    with h5py.File(path, "w") as file:
        for layer in layers:
            group = group_name(layer.kind, numbers)
            if layer.weights:
                held = file.create_group(f"{group}/vars")
                held.attrs["name"] = layer.name
                for index, value in enumerate(layer.weights):
                    held.create_dataset(str(index), data=value)
