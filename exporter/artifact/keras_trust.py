"""What a Keras network has that can do more than compute.

Keras makes each object that a configuration names, by module and class. Its own check (``safe_mode``) refuses the code
in a `Lambda` and little else; so only what is known to compute is let pass.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from exporter.artifact.keras_archive import read
from exporter.graph.refusal import Refusal
from exporter.validation import shown

#: The modules whose classes compute and do nothing else, but for those of `_DO_MORE`.
_COMPUTING = (
    *("keras", "keras.layers", "keras.initializers", "keras.regularizers", "keras.constraints"),
    *("keras.src.models.functional", "keras.src.models.sequential"),
)
#: The same for those below it.
_OPERATIONS = "keras.src.ops."
_RUNS_CODE = "runs code of its own"
_DO_MORE = {
    "Lambda": _RUNS_CODE,
    "JaxLayer": _RUNS_CODE,
    "FlaxLayer": _RUNS_CODE,
    "TorchModuleWrapper": _RUNS_CODE,
    "TFSMLayer": "reads files",
    "StringLookup": "reads files",
    "IntegerLookup": "reads files",
    "TextVectorization": "reads files",
}


def refused(folder: Path) -> Sequence[Refusal]:
    """Everything in a Keras network that can do more than compute.

    Raises:
        ArtifactError: it is damaged.
    """
    return tuple(refusals(read(folder).config))


def refusals(config: Any) -> Iterator[Refusal]:
    """The same of a network's configuration."""
    waiting = [("", config)]
    while waiting:
        # The layer that a part of the configuration belongs to, and that part.
        layer, value = waiting.pop()
        if isinstance(value, dict):
            if isinstance(value.get("class_name"), str) and not _is_tensor(value):
                layer = value["name"] if isinstance(value.get("name"), str) else layer
                if does := _does(value.get("module"), value["class_name"]):
                    yield Refusal((), "", layer, value["class_name"], does)
            value = list(value.values())
        if isinstance(value, list):
            waiting += [(layer, item) for item in reversed(value)]


def _does(module: Any, kind: str) -> str | None:
    """What an object of a class can do besides computing, as the end of a sentence; None if it only computes."""
    if kind in _DO_MORE:
        return _DO_MORE[kind]
    if module in _COMPUTING or (isinstance(module, str) and module.startswith(_OPERATIONS)):
        return None
    return f"is of the module {shown(module)}, not of Keras's layers: it can do anything"


def _is_tensor(value: dict[str, Any]) -> bool:
    """Whether it only names or holds values, which make nothing."""
    return value["class_name"] in ("__keras_tensor__", "__numpy__", "__tensor__") and "module" not in value
