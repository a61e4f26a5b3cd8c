"""Ways to make a PyTorch program, or weights for timm, wrong: changes of their files after they were written right."""

import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from exporter.models.formats import PYTORCH_FILE, TIMM_FILES

Change = Callable[[Path], None]
Node = dict[str, Any]
_GRAPH, _LISTING, _USAGE = "models/model.json", "data/weights/model_weights_config.json", "extra/usage.json"


def entries(path: Path) -> dict[str, bytes]:
    """The entries of a program's file, by their names within the archive."""
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}


def rewritten(change: Callable[[dict[str, bytes], str], None]) -> Change:
    """Changes the entries, which all begin with the same name."""

    def changed(folder: Path) -> None:
        path = folder / PYTORCH_FILE
        held = entries(path)
        change(held, next(iter(held)).partition("/")[0] + "/")
        with zipfile.ZipFile(path, "w") as file:
            for name, content in held.items():
                file.writestr(name, content)

    return changed


def _of_json(entry: str, change: Callable[[Any], None]) -> Change:
    def changed(held: dict[str, bytes], root: str) -> None:
        value = json.loads(held[root + entry])
        change(value)
        held[root + entry] = json.dumps(value).encode()

    return rewritten(changed)


def program(change: Callable[[Any], None]) -> Change:
    """Changes what the file says of the program."""
    return _of_json(_GRAPH, change)


def listing(variable: str, **facts: Any) -> Change:
    """Changes what the file says of a variable."""
    return _of_json(_LISTING, lambda said: said["config"][variable.replace("/", ".")].update(facts))


def usage(change: Callable[[Any], None]) -> Change:
    """Changes what the program says of itself."""
    return _of_json(_USAGE, change)


def value(variable: str, change: Callable[[np.ndarray], np.ndarray]) -> Change:
    """Changes the value of a variable, which lies there as float32."""

    def changed(held: dict[str, bytes], root: str) -> None:
        facts = json.loads(held[root + _LISTING])["config"][variable.replace("/", ".")]
        shape = [size["as_int"] for size in facts["tensor_meta"]["sizes"]]
        place = f"{root}data/weights/{facts['path_name']}"
        held[place] = np.ascontiguousarray(change(np.frombuffer(held[place], np.float32).reshape(shape))).tobytes()

    return rewritten(changed)


def argument(operation: str, name: str, **value: Any) -> Change:
    """Gives an argument of all nodes of an operation another value."""

    def changed(said: Any) -> None:
        for node in said["graph_module"]["graph"]["nodes"]:
            for each in node["inputs"]:
                if node["target"] == f"torch.ops.aten.{operation}" and each["name"] == name:
                    each["arg"] = value

    return program(changed)


def early_padding(said: Any) -> None:
    """Puts the odd pixel of padding before instead of after."""
    for node in said["graph_module"]["graph"]["nodes"]:
        for each in node["inputs"]:
            if each["name"] == "pad" and (pads := each["arg"]["as_ints"])[0] >= 0:
                each["arg"] = {"as_ints": [pads[1], pads[0], pads[3], pads[2]]}


def entry(name: str, content: bytes) -> Change:
    """Adds an entry."""
    return rewritten(lambda held, root: held.update({root + name: content}))


def weights(change: Callable[[dict[str, Any]], object]) -> Change:
    """Changes the values in weights for timm, by timm's names."""

    def changed(folder: Path) -> None:
        path = folder / TIMM_FILES[0]
        with safe_open(path, "numpy") as file:
            said: Mapping[str, str] = file.metadata()
        held = load_file(path)
        change(held)
        save_file({name: np.array(each, order="C") for name, each in held.items()}, path, dict(said))

    return changed


def config(change: Callable[[Any], object]) -> Change:
    """Changes ``config.json`` of weights for timm."""

    def changed(folder: Path) -> None:
        path = folder / TIMM_FILES[1]
        said = json.loads(path.read_text(encoding="utf-8"))
        change(said)
        path.write_text(json.dumps(said), encoding="utf-8")

    return changed
