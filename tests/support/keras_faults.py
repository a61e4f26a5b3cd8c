"""Ways to make a Keras network wrong: changes of its file, after it was written right."""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from exporter.artifact.keras_file import WEIGHTS_FILE

#: A change of the members of a file, by their names.
Edit = Callable[[dict[str, bytes]], None]


def change(path: Path, edit: Edit) -> None:
    """Changes the file of a network."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    edit(members)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)


def json_changed(member: str, edit: Callable[[Any], None]) -> Edit:
    """Changes the JSON values of a member."""

    def changed(members: dict[str, bytes]) -> None:
        said = json.loads(members[member])
        edit(said)
        members[member] = json.dumps(said).encode()

    return changed


def layers(edit: Callable[[dict[str, Any]], None], *kinds: str, name: str = "") -> Edit:
    """Changes the layers of these classes, or the one of that name."""

    def changed(config: Any) -> None:
        found = [each for each in config["config"]["layers"] if each["class_name"] in kinds or each["name"] == name]
        assert found, (kinds, name)
        for layer in found:
            edit(layer)

    return json_changed("config.json", changed)


def arguments(*kinds: str, name: str = "", **given: Any) -> Edit:
    """Gives layers other arguments."""
    return layers(lambda layer: layer["config"].update(given), *kinds, name=name)


def kind(other: str, *kinds: str, name: str = "", **given: Any) -> Edit:
    """Makes layers ones of another class, with these arguments beside those that all have."""

    def edit(layer: dict[str, Any]) -> None:
        layer["class_name"] = other
        kept = {key: layer["config"][key] for key in ("name", "trainable", "dtype")}
        layer["config"] = {**kept, **given}

    return layers(edit, *kinds, name=name)


def padded_by_keras(config: Any) -> None:
    """Takes Keras's own padding, and no scale, for the average pools of even maps: they count the padding."""
    for layer in config["config"]["layers"]:
        if layer["name"].endswith("avg_pool__scale"):
            layer["config"]["scale"] = 1.0


def value(group: str, edit: Callable[[np.ndarray], Any]) -> Edit:
    """Changes a value, by its place in the file of weights."""

    def changed(members: dict[str, bytes]) -> None:
        content = io.BytesIO(members[WEIGHTS_FILE])
        with h5py.File(content, "r+") as file:
            own = np.asarray(edit(file[group][()]))
            attributes = dict(file[group].attrs)
            del file[group]
            file[group] = own
            file[group].attrs.update(attributes)
        members[WEIGHTS_FILE] = content.getvalue()

    return changed


def added(group: str) -> Edit:
    """Stores a value that no layer has."""

    def changed(members: dict[str, bytes]) -> None:
        content = io.BytesIO(members[WEIGHTS_FILE])
        with h5py.File(content, "r+") as file:
            file[group] = np.zeros(3, np.float32)
        members[WEIGHTS_FILE] = content.getvalue()

    return changed


def without_background(members: dict[str, bytes]) -> None:
    """Drops class 0, as ports do that are made for 1000 classes."""
    value("layers/dense/vars/0", lambda weights: weights[:, 1:])(members)
    value("layers/dense/vars/1", lambda biases: biases[1:])(members)

    def fewer(config: Any) -> None:
        for layer in config["config"]["layers"]:
            if layer["class_name"] == "Dense":
                layer["config"]["units"] -= 1
            for node in layer["inbound_nodes"]:
                for tensor in node["args"]:
                    if isinstance(tensor, dict) and tensor["config"]["keras_history"][0] == "final_layer__FC":
                        tensor["config"]["shape"][1] -= 1

    json_changed("config.json", fewer)(members)
