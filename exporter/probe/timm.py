"""Loads weights for timm with timm, as its users do, runs timm's own network, and records the results."""

import json
import runpy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from exporter.artifact.timm_file import TimmFolder
from exporter.artifact.timm_names import CORRECTED, SHIPPED, USUAL
from exporter.errors import ArtifactError, reason
from exporter.files.arrays import digest
from exporter.probe.observations import ProbedFile
from exporter.probe.timm_library import timm
from exporter.probe.writer import ProbeWriter
from exporter.progress import Say
from exporter.reference.result import statistics
from exporter.resources import resource


def probe(
    path: Path,
    images: np.ndarray,
    found: ProbeWriter,
    previous: Mapping[Path, str | None],
    say: Say,
    scratch: Path,
) -> ProbedFile:
    """Loads and runs timm's network; arguments are those of `exporter.probe.saved_model.probe`.

    The main output has all rows of the classifier, and its average pools corrected (``data/timm_pools.py``).

    Raises:
        ArtifactError: it is damaged, or timm does not load or run it.
    """
    folder = TimmFolder(path)
    values = folder.values(list(folder.stored))
    found.variables(list(values), [digest(value) for value in values.values()])
    del values
    found.unread(folder.others)
    said = {name: json.dumps(value) for name, value in folder.described.items()}
    said["num_batches_tracked"] = str(folder.counted_batches())
    say("running the artifact")
    try:
        model = created(path)
        # Of feature maps, what a recorded reference has is enough.
        shipped = {name: statistics(value) for name, value in _end_points(model, images).items()}
        outputs = {f"{SHIPPED}/{name}": value for name, value in shipped.items()}
        outputs[f"{SHIPPED}/output"] = run(model, images)
        corrected = correct_average_pools(model)
        found.signatures(outputs | {f"{USUAL}/output": run(model, images)})
        found.properties(said | {CORRECTED: ", ".join(corrected)})
        whole = whole_model(path, folder) if model.num_classes else model
        found.output(run(whole, images))
        found.single_output(run(whole, images[:1]))
        say("running the artifact for its end points")
        found.end_points(_end_points(whole, images))
    except ArtifactError:
        raise
    except Exception as error:  # timm's are of many classes
        raise ArtifactError(f"{path} does not load or run with timm: {reason(error)}") from error
    return ProbedFile((), None)


def created(path: Path, **options: Any) -> Any:
    """The network that ``timm.create_model`` makes of a folder."""
    return timm.create_model(f"local-dir:{path}", pretrained=True, **options).eval()


def whole_model(path: Path, folder: TimmFolder) -> Any:
    """The same with all rows of its classifier, and its average pools corrected."""
    _, (classes, *_) = folder.kind("final_layer/FC/biases")
    model = created(path, num_classes=classes, pretrained_cfg_overlay={"num_classes": classes, "label_offset": 0})
    correct_average_pools(model)
    return model


def correct_average_pools(model: Any) -> list[str]:
    """Runs the program that model pages show; the names of the pools."""
    source = resource("data/timm_pools.py")
    program = runpy.run_path(str(source))
    replaced: list[str] = program["correct_average_pools"](model)
    return replaced


def run(model: Any, images: np.ndarray) -> np.ndarray:
    """The outputs for images [batch, size, size, 3] in [0, 1], normalized as the model's configuration says."""
    config = timm.data.resolve_model_data_config(model)
    mean, deviation = (np.array(config[name], np.float32) for name in ("mean", "std"))
    normalized = np.ascontiguousarray(((images - mean) / deviation).transpose(0, 3, 1, 2))
    with torch.inference_mode():
        output: np.ndarray = model(torch.from_numpy(normalized)).numpy()
    return output


def _end_points(model: Any, images: np.ndarray) -> dict[str, np.ndarray]:
    """Feature maps as [batch, height, width, channels]."""
    kept: dict[str, np.ndarray] = {}

    def keep(name: str) -> Any:
        def hook(_module: Any, _inputs: Any, output: torch.Tensor) -> None:
            # A ReLU in place follows some.
            value = output.detach().clone().numpy()
            kept[name] = value.transpose(0, 2, 3, 1) if value.ndim == 4 else value

        return hook

    hooks = [module.register_forward_hook(keep(name)) for name, module in _named(model)]
    try:
        kept["Logits"] = run(model, images)
    finally:
        for hook in hooks:
            hook.remove()
    if not model.num_classes:
        del kept["Logits"]
    return kept


def _named(model: Any) -> Iterator[tuple[str, Any]]:
    """The modules that compute end points, by the names of these."""
    for name, module in model.named_children():
        if name == "cell_stem_1":
            yield "Stem", module
        elif name.startswith(("cell_", "reduction_cell_")) and "stem" not in name:
            yield name.title(), module
        elif name == "global_pool":
            yield name, module
