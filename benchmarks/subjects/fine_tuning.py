"""Images per second of fine-tuning all variables of an artifact, beside the same step with Keras's network."""

from collections.abc import Iterable

from benchmarks.measuring import Contestant, megabytes
from benchmarks.peers.keras_network import NAMES
from benchmarks.results import Figure, Goal
from benchmarks.workspace import HERE, Workspace, peer
from exporter.models.config import ModelConfig

ARTIFACT, KERAS = "nasexport version 4", "Keras Applications"
BATCH = 8
_SECONDS = 5


def measure(workspace: Workspace) -> list[Figure]:
    """Speed and memory; a step of the large network takes most of a machine's memory."""
    return [figure for config in workspace.chosen(tuple(NAMES)) for figure in _figures(workspace, config)]


def _figures(workspace: Workspace, config: ModelConfig) -> Iterable[Figure]:
    artifact = workspace.artifact(config, "classification", 4)
    contestants = [
        Contestant(ARTIFACT, peer("fine_tuning", "object", artifact, BATCH, _SECONDS), HERE),
        Contestant(KERAS, peer("fine_tuning", "keras", workspace.network(config), BATCH, _SECONDS), HERE),
    ]
    found = workspace.take_turns("fine_tuning", contestants)
    rates = {name: [float(run.facts["images_per_second"]) for run in runs] for name, runs in found.items()}
    key, title = f"fine_tuning/{config.name}/{BATCH}", f"fine-tuning, {config.name}, batch {BATCH}"
    yield Figure(f"{key}/step", title, "images/s", rates, ARTIFACT, KERAS, Goal("ratio", 1.0, most=False))
    yield Figure(f"{key}/memory", f"{title}, peak memory", "MB", megabytes(found), ARTIFACT, KERAS)
