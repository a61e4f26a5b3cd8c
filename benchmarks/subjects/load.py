"""How long an artifact takes to load, beside Keras's export of the same network."""

from collections.abc import Iterable

from benchmarks.measuring import Contestant, megabytes, seconds
from benchmarks.peers.keras_network import NAMES
from benchmarks.results import Figure, Goal
from benchmarks.workspace import HERE, Workspace, peer
from exporter.models.config import ModelConfig

ARTIFACT, KERAS = "hub.load, nasexport version 4", "tf.saved_model.load, Keras export"
_GOAL = Goal("ratio", 0.7)


def measure(workspace: Workspace) -> list[Figure]:
    """Time of the call and of the whole process, and memory, for each model that Keras has."""
    return [figure for config in workspace.chosen(tuple(NAMES)) for figure in _figures(workspace, config)]


def _figures(workspace: Workspace, config: ModelConfig) -> Iterable[Figure]:
    artifact = workspace.artifact(config, "classification", 4)
    contestants = [
        Contestant(ARTIFACT, peer("loading", "hub.load", artifact), HERE),
        Contestant(KERAS, peer("loading", "tf.saved_model.load", workspace.keras_export(config)), HERE),
    ]
    found = workspace.take_turns("load", contestants)
    calls = {name: [float(run.facts["seconds"]) for run in runs] for name, runs in found.items()}
    key = f"load/{config.name}"
    yield Figure(f"{key}/call", f"load {config.name}", "s", calls, ARTIFACT, KERAS, _GOAL)
    yield Figure(f"{key}/process", f"load {config.name}, imports and all", "s", seconds(found), ARTIFACT, KERAS)
    yield Figure(f"{key}/memory", f"load {config.name}, peak memory", "MB", megabytes(found), ARTIFACT, KERAS)
