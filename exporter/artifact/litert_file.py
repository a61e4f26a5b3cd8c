"""Reads ``model.tflite`` without running it: its signatures, the weights in it, the kinds of its operations."""

from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from exporter.artifact.jobs import Inspection, SignatureFacts, TensorFacts, VariableFacts, VariablesFacts
from exporter.errors import ArtifactError
from exporter.models.formats import LITERT, LITERT_FILE, LITERT_MORE_FILES

#: What every file of the format has at its fifth byte.
_IDENTIFIER = b"TFL3"
_OPERATORS = {number: name for name, number in vars(schema.BuiltinOperator).items() if isinstance(number, int)}
_DTYPES = {number: name.lower() for name, number in vars(schema.TensorType).items() if isinstance(number, int)}
_FLOATS = ("float16", "float32", "float64")


@dataclass(frozen=True)
class Tensor:
    """A tensor of the graph; ``shape`` has None for what is free, ``content`` the bytes of a constant."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]
    content: NDArray[np.uint8] | None

    def value(self) -> NDArray[Any]:
        assert self.content is not None, self.name
        fixed = [size for size in self.shape if size is not None]
        return self.content.view(self.dtype).reshape(fixed)

    @property
    def facts(self) -> TensorFacts:
        return TensorFacts(self.dtype, self.shape)


class LitertModel:
    """A model, whose constants are read when they are asked for.

    ``operators`` are the kinds of its operations, those that are not built in as ``custom NAME``. ``signatures`` have
    inputs and outputs by name.

    Raises:
        ArtifactError: it is damaged.
    """

    def __init__(self, folder: Path):
        self.path = folder / LITERT_FILE
        try:
            content = self.path.read_bytes()
        except OSError as error:
            raise ArtifactError(f"cannot read {self.path}: {error.strerror}") from error
        if content[4:8] != _IDENTIFIER:
            raise ArtifactError(f"{self.path} is damaged: it is no LiteRT model")
        try:
            model = schema.Model.GetRootAs(content)
            if model.SubgraphsLength() != 1:
                raise ArtifactError(f"{self.path} has {model.SubgraphsLength()} graphs, expected one")
            graph = model.Subgraphs(0)
            self.tensors = [_tensor(model, graph.Tensors(index)) for index in range(graph.TensorsLength())]
            self.operators = sorted({_operator(model.OperatorCodes(i)) for i in range(model.OperatorCodesLength())})
            self.signatures = self._signatures(model)
        except ArtifactError:
            raise
        except Exception as error:  # what a flatbuffer raises that leads out of itself
            raise ArtifactError(f"{self.path} is damaged: {type(error).__name__} while reading it") from error

    @property
    def weights(self) -> dict[str, Tensor]:
        """The constants that are real numbers, with at least one dimension."""
        kept = (tensor for tensor in self.tensors if tensor.content is not None and tensor.shape)
        return {tensor.name: tensor for tensor in kept if tensor.dtype in _FLOATS}

    def _signatures(self, model: Any) -> dict[str, SignatureFacts]:
        found = {}
        for index in range(model.SignatureDefsLength()):
            signature = model.SignatureDefs(index)
            sides = (
                [signature.Inputs(place) for place in range(signature.InputsLength())],
                [signature.Outputs(place) for place in range(signature.OutputsLength())],
            )
            inputs, outputs = (
                {each.Name().decode(): self.tensors[each.TensorIndex()].facts for each in side} for side in sides
            )
            found[signature.SignatureKey().decode()] = SignatureFacts(inputs, outputs)
        return found


class StoredVariables:
    """The weights that ``model.tflite`` stores, as `exporter.diff.stored.Stored` wants them.

    Batch norms are folded into them, and their names are those of operations: other formats have none of them.

    Raises:
        ArtifactError: it is damaged.
    """

    def __init__(self, folder: Path, count: int):
        self._weights = LitertModel(folder).weights

    @property
    def names(self) -> list[str]:
        return sorted(self._weights)

    def read(self, name: str) -> NDArray[Any]:
        return self._weights[name].value()

    def kind(self, name: str) -> str:
        return f"{self._weights[name].dtype} {list(self._weights[name].shape)}"


def describe(folder: Path) -> Inspection:
    """What ``nasexport inspect`` shows of a LiteRT model.

    Raises:
        ArtifactError: it is damaged.
    """
    model = LitertModel(folder)
    weights = model.weights
    listed = tuple(VariableFacts(name, tensor.dtype, tensor.shape, None) for name, tensor in weights.items())
    images = [facts for signature in model.signatures.values() for facts in signature.inputs.values()]
    sizes = {facts.shape[1] for facts in images if facts.shape and len(facts.shape) == 4}
    files = (folder / name for name in (LITERT_FILE, *LITERT_MORE_FILES))
    return Inspection(
        path=str(folder),
        format=LITERT.name,
        handle=None,
        tag_sets=(),
        signatures={"": model.signatures},
        functions={},
        image_size=next(iter(sizes), None) if len(sizes) == 1 else None,
        variables=VariablesFacts(
            len(listed), 0, sum(prod(size or 0 for size in tensor.shape) for tensor in weights.values()), listed
        ),
        bytes=sum(file.stat().st_size for file in files if file.is_file()),
        oldest_tensorflow=None,
        findings=(),
        written_by=None,
        tensorflow_version="",
        source=None,
        options=None,
        verified=None,
        readers=f"LiteRT, with {', '.join(model.operators)}",
    )


def _tensor(model: Any, tensor: Any) -> Tensor:
    free = tensor.ShapeSignatureAsNumpy() if tensor.ShapeSignatureLength() else tensor.ShapeAsNumpy()
    sizes = [int(size) for size in free] if tensor.ShapeLength() else []
    buffer = model.Buffers(tensor.Buffer())
    content = buffer.DataAsNumpy() if buffer.DataLength() else None
    shape = tuple(None if size < 0 else size for size in sizes)
    return Tensor((tensor.Name() or b"").decode(), _DTYPES.get(tensor.Type(), "unknown"), shape, content)


def _operator(code: Any) -> str:
    """The name of an operation's kind; kinds above 127 are in a field of their own."""
    number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
    if number == schema.BuiltinOperator.CUSTOM:
        return f"custom {(code.CustomCode() or b'').decode()}"
    return _OPERATORS.get(number, f"operation {number}")
