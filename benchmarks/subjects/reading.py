"""What it takes to look at files: a checkpoint and an artifact, beside TensorFlow's own tools for that."""

from collections.abc import Iterable

from benchmarks.measuring import Contestant, megabytes, processor_seconds, seconds
from benchmarks.results import Figure, Goal
from benchmarks.workspace import HERE, PYTHON, Workspace, nasexport, peer
from exporter.models.config import ModelConfig

CHECKPOINT, CHECKPOINT_PEER = "nasexport inspect, checkpoint", "tf.train.load_checkpoint"
ARTIFACT, ARTIFACT_PEER = "nasexport inspect, version 5", "saved_model_cli show --all"
_GOAL = Goal("value", 0.6)


def measure(workspace: Workspace) -> list[Figure]:
    """Processor and wall time, and memory, for each of the chosen models."""
    return [figure for config in workspace.chosen(("nasnet_large",)) for figure in _figures(workspace, config)]


def _figures(workspace: Workspace, config: ModelConfig) -> Iterable[Figure]:
    checkpoint, artifact = workspace.checkpoint(config), workspace.artifact(config, "classification", 5)
    tool = [PYTHON, "-m", "tensorflow.python.tools.saved_model_cli", "show", "--all", "--dir", artifact]
    contestants = [
        Contestant(CHECKPOINT, nasexport("inspect", checkpoint), HERE),
        Contestant(CHECKPOINT_PEER, peer("reading", checkpoint), HERE),
        Contestant(ARTIFACT, nasexport("inspect", artifact), HERE),
        Contestant(ARTIFACT_PEER, tool),
    ]
    found = workspace.take_turns("reading", contestants)
    for key, what, ours, other in (
        ("checkpoint", f"look at a checkpoint of {config.name}", CHECKPOINT, CHECKPOINT_PEER),
        ("artifact", f"look at {config.name} version 5", ARTIFACT, ARTIFACT_PEER),
    ):
        runs = {name: found[name] for name in (ours, other)}
        key = f"reading/{config.name}/{key}"
        yield Figure(f"{key}/processor", f"{what}, processor time", "s", processor_seconds(runs), ours, other, _GOAL)
        yield Figure(f"{key}/time", what, "s", seconds(runs), ours, other)
        yield Figure(f"{key}/memory", f"{what}, peak memory", "MB", megabytes(runs), ours, other)
