"""Loads a PyTorch program with PyTorch, as its users do, runs it, and records the results."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.export.pt2_archive  # half of what `torch.export.load` is to import; processes are forked from this one

from exporter.artifact.pytorch_file import PytorchProgram
from exporter.errors import ArtifactError, reason
from exporter.files.arrays import digest
from exporter.models.formats import PYTORCH_FILE
from exporter.models.signatures import END_POINTS_PROPERTY
from exporter.probe.observations import Gradients, ProbedFile
from exporter.probe.writer import ProbeWriter
from exporter.progress import Say


def probe(
    path: Path,
    images: np.ndarray,
    found: ProbeWriter,
    previous: Mapping[Path, str | None],
    say: Say,
    scratch: Path,
) -> ProbedFile:
    """Loads and runs a PyTorch program; arguments are those of `exporter.probe.saved_model.probe`.

    Raises:
        ArtifactError: it is damaged, or PyTorch does not run it with images of this size.
    """
    program = PytorchProgram(path)
    digests = {name: digest(value) for name, value in program.values()}
    found.variables(list(digests), list(digests.values()))
    found.trainable([name for name, trained in program.variables.items() if trained])
    found.file(program.stored_values, gradient_stops=())
    found.interface(_interface(program))
    said = {name: value if isinstance(value, str) else json.dumps(value) for name, value in program.usage.items()}
    found.properties(said)
    say("running the artifact")
    try:
        module = load(path)
        found.output(run(module, images))
        found.single_output(run(module, images[:1]))
        say("running the artifact for its end points")
        found.end_points(_end_points(module, images, program.usage.get(END_POINTS_PROPERTY) or {}))
        found.gradients(_gradients(module, images[:1]))
    except Exception as error:  # PyTorch's are of many classes
        raise ArtifactError(f"{path} does not load or run with PyTorch: {reason(error)}") from error
    return ProbedFile((), None)


def load(path: Path) -> Any:
    """The program as a module."""
    return torch.export.load(path / PYTORCH_FILE).module()


def run(module: Any, images: np.ndarray) -> np.ndarray:
    """The output for images [batch, size, size, 3] in [0, 1]."""
    with torch.no_grad():
        output: np.ndarray = module(torch.from_numpy(np.ascontiguousarray(images))).numpy()
    return output


class _Keeping(torch.fx.Interpreter):
    """Runs a program, and keeps what some of its nodes compute."""

    def __init__(self, module: Any, names: set[str]):
        super().__init__(module)
        self._names = names
        self.kept: dict[str, np.ndarray] = {}

    def run_node(self, node: Any) -> Any:
        value = super().run_node(node)
        if node.name in self._names:
            self.kept[node.name] = value.detach().numpy()
        return value


def _end_points(module: Any, images: np.ndarray, nodes: Mapping[str, str]) -> dict[str, np.ndarray]:
    """The values of the end points that the program names, feature maps as [batch, height, width, channels]."""
    keeping = _Keeping(module, set(nodes.values()))
    with torch.no_grad():
        keeping.run(torch.from_numpy(np.ascontiguousarray(images)))
    kept = {name: keeping.kept[node] for name, node in nodes.items() if node in keeping.kept}
    return {name: value.transpose(0, 2, 3, 1) if value.ndim == 4 else value for name, value in kept.items()}


def _gradients(module: Any, images: np.ndarray) -> Gradients:
    """What the gradient of a loss of the output reaches, by the names of the checkpoint."""
    module(torch.from_numpy(np.ascontiguousarray(images))).square().mean().backward()
    reached = {
        name.replace(".", "/"): parameter.grad
        for name, parameter in module.named_parameters()
        if parameter.grad is not None
    }
    not_finite = [name for name, gradient in reached.items() if not bool(torch.isfinite(gradient).all())]
    return Gradients(list(reached), not_finite)


def _interface(program: PytorchProgram) -> list[str]:
    """Inputs and outputs, each in a line; PyTorch calls outputs after the operations that compute them."""
    inputs = [f"input {name} {facts}" for name, facts in program.inputs().items()]
    return inputs + [f"output {facts}" for facts in program.outputs().values()]
