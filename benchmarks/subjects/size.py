"""Bytes on disk of every published kind of artifact, beside those of its parameters and beside peers."""

from collections.abc import Iterable

from benchmarks.peers.keras_network import NAMES
from benchmarks.results import Figure, Goal
from benchmarks.workspace import MODELS, Workspace, size_below
from exporter.models.config import TASKS, ModelConfig
from exporter.models.variables import parameters

ARTIFACT, LIMIT = "nasexport", "parameters x 4 bytes + 8 MB"
KERAS, ORIGINAL = "Keras Applications, export", "TF-Slim and hub.Module, export"
#: One version of each format, and 5, which has one more signature.
VERSIONS = (3, 4, 5)
_ALLOWED = 8 * 10**6
_GRAPH = 4.0


def measure(workspace: Workspace) -> list[Figure]:
    """One value for each artifact: the same code writes the same bytes."""
    return [figure for config in workspace.chosen(MODELS) for figure in _figures(workspace, config)]


def _figures(workspace: Workspace, config: ModelConfig) -> Iterable[Figure]:
    for task in TASKS:
        for version in VERSIONS:
            artifact = workspace.artifact(config, task, version)
            sizes = {ARTIFACT: size_below(artifact), LIMIT: 4 * parameters(config, task) + _ALLOWED}
            if task == "classification":
                if version == 3:
                    sizes[ORIGINAL] = size_below(workspace.original_export(config))
                elif config.name in NAMES:
                    sizes[KERAS] = size_below(workspace.keras_export(config))
            runs = {name: [size / 1e6] for name, size in sizes.items()}
            key, title = f"size/{config.name}/{task}/{version}", f"{config.name} {task} version {version}, on disk"
            yield Figure(key, title, "MB", runs, ARTIFACT, LIMIT, Goal("ratio", 1.0))
    if config.name == "nasnet_mobile":
        for version in VERSIONS:
            graph = workspace.artifact(config, "classification", version) / "saved_model.pb"
            runs = {ARTIFACT: [graph.stat().st_size / 1e6]}
            peer = None
            if version >= 4:
                peer = KERAS
                runs[KERAS] = [(workspace.keras_export(config) / "saved_model.pb").stat().st_size / 1e6]
            else:
                peer = ORIGINAL
                runs[ORIGINAL] = [(workspace.original_export(config) / "saved_model.pb").stat().st_size / 1e6]
            title = f"{config.name} classification version {version}, graph part"
            yield Figure(
                f"size/{config.name}/graph/{version}", title, "MB", runs, ARTIFACT, peer, Goal("value", _GRAPH)
            )
