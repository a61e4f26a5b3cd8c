"""Reads ``model.pt2`` without PyTorch and without running it: its graph, the values in it, what it says of itself.

It is a zip: ``models/model.json`` is the graph, ``data/weights/`` has a file for each value beside a listing, and
``extra/`` what its writer added. This is the layout of PyTorch 2.13 (``torch/export/pt2_archive``).
"""

import json
import re
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exporter.artifact.jobs import Inspection, SignatureFacts, TensorFacts, VariableFacts, VariablesFacts
from exporter.artifact.torch_axes import axes
from exporter.errors import ArtifactError
from exporter.graph.refusal import Refusal
from exporter.models.formats import PYTORCH, PYTORCH_FILE

#: The entries of a program's file, below the name of the archive.
_GRAPH, _WEIGHTS = "models/model.json", "data/weights/"
_WEIGHTS_LISTING, _CONSTANTS_LISTING = (
    f"{_WEIGHTS}model_weights_config.json",
    "data/constants/model_constants_config.json",
)
#: The file within it that says how it is used.
USAGE_FILE = "usage.json"
_PLAIN = (_GRAPH, _WEIGHTS_LISTING, _CONSTANTS_LISTING, "archive_format", "archive_version", "byteorder")
_PLAIN_FOLDERS = (_WEIGHTS, "extra/", ".data/")

#: Types as ``torch/_export/serde/schema.py`` numbers them.
_DTYPES = {1: "uint8", 2: "int8", 3: "int16", 4: "int32", 5: "int64", 6: "float16", 7: "float32", 8: "float64"}
#: The operations that networks like these are made of: all of them only compute.
_OPERATIONS = frozenset(
    f"torch.ops.aten.{name}"
    for name in (
        *("add.Tensor", "avg_pool2d.default", "batch_norm.default", "cat.default", "conv2d.default", "linear.default"),
        *("max_pool2d.default", "mean.dim", "mul.Tensor", "pad.default", "permute.default", "relu.default"),
        *("softmax.int", "sub.Tensor"),
    )
)
#: A free size; it is evaluated as Python when the program is loaded.
_SYMBOL = re.compile(r"Symbol\('s\d+', positive=True, integer=True\)")


@dataclass(frozen=True)
class _Stored:
    """A value in the file: its entry, and how it lies there."""

    entry: str
    dtype: str
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int
    trained: bool


class PytorchProgram:
    """A program, whose values are read when they are asked for.

    ``graph`` is what ``models/model.json`` says of its graph, ``usage`` what the program says of itself.

    Raises:
        ArtifactError: it is damaged, or none of PyTorch 2.13's layout.
    """

    def __init__(self, folder: Path):
        self.path = folder / PYTORCH_FILE
        self.usage: dict[str, Any] = {}
        with self._opened() as file:
            self._root, self.entries = _entries(file)
            program = json.loads(file.read(self._root + _GRAPH))
            listing = json.loads(file.read(self._root + _WEIGHTS_LISTING))["config"]
            constants = json.loads(file.read(self._root + _CONSTANTS_LISTING))["config"]
            if f"extra/{USAGE_FILE}" in self.entries:
                self.usage = json.loads(file.read(f"{self._root}extra/{USAGE_FILE}"))
            self._program, self.graph = program, program["graph_module"]["graph"]
            self._pickled = [name for held in (listing, constants) for name, each in held.items() if each["use_pickle"]]
            self._constants = sorted(constants)
            self._held = {name: _stored(facts) for name, facts in listing.items()}

    @property
    def variables(self) -> dict[str, bool]:
        """The variables by their names in the checkpoint, and whether they are trained."""
        return {_variable(name): stored.trained for name, stored in self._held.items()}

    @property
    def stored_values(self) -> int:
        """How many values the file has: constants and values that no variable has are among them."""
        entries = [entry for entry in self.entries if entry.startswith(_WEIGHTS) and entry != _WEIGHTS_LISTING]
        return len(entries) + len(self._constants)

    def kind(self, variable: str) -> tuple[str, tuple[int, ...]]:
        """Type and shape of a variable in the checkpoint's axes."""
        stored = self._held[variable.replace("/", ".")]
        return stored.dtype, tuple(stored.shape[axis] for axis in _back(variable, len(stored.shape)))

    def values(self) -> Iterator[tuple[str, NDArray[Any]]]:
        """The value of each variable in the checkpoint's axes, one after the other."""
        with self._opened() as file:
            for name, stored in self._held.items():
                variable, found = _variable(name), self._value(file, stored)
                yield variable, np.ascontiguousarray(found.transpose(_back(variable, found.ndim)))

    def value(self, variable: str) -> NDArray[Any]:
        """The value of one variable in the checkpoint's axes."""
        with self._opened() as file:
            found = self._value(file, self._held[variable.replace("/", ".")])
        return np.ascontiguousarray(found.transpose(_back(variable, found.ndim)))

    def inputs(self) -> dict[str, TensorFacts]:
        """What a user gives: the inputs that are no values of the file."""
        specs = self._program["graph_module"]["signature"]["input_specs"]
        names = [spec["user_input"]["arg"]["as_tensor"]["name"] for spec in specs if "user_input" in spec]
        return {name: self._facts(name) for name in names}

    def outputs(self) -> dict[str, TensorFacts]:
        return {each["as_tensor"]["name"]: self._facts(each["as_tensor"]["name"]) for each in self.graph["outputs"]}

    def refusals(self) -> Iterator[Refusal]:
        """What in it can do more than compute, when PyTorch loads or runs it."""
        for entry, size in self.entries.items():
            # Nothing is loaded of an empty one, which PyTorch writes for a program without sample inputs.
            if size and entry not in _PLAIN and not entry.startswith(_PLAIN_FOLDERS):
                yield _refusal(f"the entry {entry}", "may be a pickle or a program, which runs when it is loaded")
        for name in self._pickled:
            yield _refusal(f"the value {name}", "is a pickle, which can run anything when it is loaded")
        for code in self._program.get("guards_code") or ():
            yield _refusal(f"the condition {code}", "is Python, which runs when the program does")
        for text in _expressions(self._program):
            if not _SYMBOL.fullmatch(text):
                yield _refusal(f"the size {text}", "is Python, which runs when the program is loaded")
        for node in self.graph["nodes"]:
            if node["target"] not in _OPERATIONS:
                name, does = str(node.get("name")), "is none of those that are known only to compute"
                yield Refusal((), "", name, str(node["target"]), does)

    def _facts(self, name: str) -> TensorFacts:
        meta = self.graph["tensor_values"][name]
        return TensorFacts(_DTYPES.get(meta["dtype"], "unknown"), tuple(size.get("as_int") for size in meta["sizes"]))

    def _value(self, file: zipfile.ZipFile, stored: _Stored) -> NDArray[Any]:
        content = np.frombuffer(file.read(self._root + stored.entry), np.dtype(stored.dtype).newbyteorder("<"))
        size = content.itemsize
        strides = [stride * size for stride in stored.strides]
        last = sum((length - 1) * stride for length, stride in zip(stored.shape, stored.strides, strict=True))
        if prod(stored.shape) and stored.offset + last >= len(content):
            raise ArtifactError(f"{self.path} is damaged: {stored.entry} is too short")
        return np.lib.stride_tricks.as_strided(content[stored.offset :], stored.shape, strides, writeable=False)

    def _opened(self) -> "_Opened":
        return _Opened(self.path)


class _Opened:
    """The zip, open in a ``with`` block; what is wrong with it is an ArtifactError."""

    def __init__(self, path: Path):
        self._path = path

    def __enter__(self) -> zipfile.ZipFile:
        try:
            self._file = zipfile.ZipFile(self._path)
        except OSError as error:
            raise ArtifactError(f"cannot read {self._path}: {error.strerror or error}") from error
        except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
            raise ArtifactError(f"{self._path} is damaged: {error}") from error
        return self._file

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        self._file.close()
        if isinstance(error, ArtifactError):
            return
        if isinstance(error, zipfile.BadZipFile | EOFError):
            raise ArtifactError(f"{self._path} is damaged: {error}") from error
        if isinstance(error, KeyError | ValueError | TypeError | AttributeError | IndexError):
            what = f"{type(error).__name__}: {error}"
            raise ArtifactError(f"{self._path} is no program in the layout of PyTorch 2.13 ({what[:200]})") from error


class StoredVariables:
    """The variables that ``model.pt2`` stores, as `exporter.diff.stored.Stored` wants them.

    Raises:
        ArtifactError: it is damaged.
    """

    def __init__(self, folder: Path, count: int):
        self._program = PytorchProgram(folder)

    @property
    def names(self) -> list[str]:
        return sorted(self._program.variables)

    def read(self, name: str) -> NDArray[Any]:
        return self._program.value(name)

    def kind(self, name: str) -> str:
        dtype, shape = self._program.kind(name)
        return f"{dtype} {list(shape)}"


def refused(folder: Path) -> Sequence[Refusal]:
    """Everything in a program that can do more than compute.

    Raises:
        ArtifactError: it is damaged.
    """
    return tuple(PytorchProgram(folder).refusals())


def describe(folder: Path) -> Inspection:
    """What ``nasexport inspect`` shows of a PyTorch program.

    Raises:
        ArtifactError: it is damaged.
    """
    program = PytorchProgram(folder)
    kinds = {name: program.kind(name) for name in program.variables}
    trained = program.variables
    listed = tuple(VariableFacts(name, dtype, shape, trained[name]) for name, (dtype, shape) in kinds.items())
    inputs = program.inputs()
    sizes = {facts.shape[1] for facts in inputs.values() if facts.shape and len(facts.shape) == 4}
    parameters = sum(prod(shape) for _, shape in kinds.values())
    return Inspection(
        path=str(folder),
        format=PYTORCH.name,
        handle=None,
        tag_sets=(),
        signatures={"": {"module": SignatureFacts(inputs, program.outputs())}},
        functions={},
        image_size=next(iter(sizes), None) if len(sizes) == 1 else None,
        variables=VariablesFacts(len(listed), sum(trained.values()), parameters, listed),
        bytes=(folder / PYTORCH_FILE).stat().st_size,
        oldest_tensorflow=None,
        findings=(),
        written_by=None,
        tensorflow_version="",
        source=None,
        options=None,
        verified=None,
        refused=tuple(program.refusals()),
        readers=f"PyTorch that reads programs of {program._program.get('torch_version', 'an unknown version')}",
    )


def _entries(file: zipfile.ZipFile) -> tuple[str, dict[str, int]]:
    """The name that all entries lie below, and their sizes by the rest of their names."""
    sizes = {info.filename: info.file_size for info in file.infolist()}
    root = next(iter(sizes)).partition("/")[0] + "/"
    if any(not name.startswith(root) for name in sizes):
        raise ValueError("its entries do not lie in one folder")
    return root, {name.removeprefix(root): size for name, size in sizes.items()}


def _stored(facts: dict[str, Any]) -> _Stored:
    meta = facts["tensor_meta"]
    return _Stored(
        _WEIGHTS + facts["path_name"],
        _DTYPES[meta["dtype"]],
        tuple(size["as_int"] for size in meta["sizes"]),
        tuple(stride["as_int"] for stride in meta["strides"]),
        meta["storage_offset"]["as_int"],
        facts["is_param"],
    )


def _expressions(value: Any) -> Iterator[str]:
    """The texts in a program that are evaluated when it is loaded, each once in a place."""
    if isinstance(value, dict):
        for key, held in value.items():
            if key == "expr_str":
                yield str(held)
            else:
                yield from _expressions(held)
    elif isinstance(value, list):
        for held in value:
            yield from _expressions(held)


def _variable(name: str) -> str:
    return name.replace(".", "/")


def _back(variable: str, dimensions: int) -> tuple[int, ...]:
    """What takes the axes of a stored value to the checkpoint's."""
    order = axes(variable)
    if order is None or len(order) != dimensions:
        return tuple(range(dimensions))
    return tuple(int(axis) for axis in np.argsort(order))


def _refusal(node: str, does: str) -> Refusal:
    return Refusal((), "", node, "", does)
