"""Time and memory of building an artifact: beside Keras's export, and beside the toolchain of the published modules."""

from collections.abc import Iterable

from benchmarks.measuring import Contestant, megabytes, seconds
from benchmarks.peers.keras_network import NAMES
from benchmarks.results import Figure, Goal
from benchmarks.workspace import HERE, MODELS, Workspace, nasexport, peer
from exporter.models.config import ModelConfig
from exporter.models.formats import FORMATS, Format, written

DEFAULT_MODELS = ("nasnet_large",)
KERAS, ORIGINAL, FLOOR = "Keras Applications, export", "TF-Slim and hub.Module, export", "TensorFlow and the weights"
ARCHIVE, UNPACKED = "nasexport, from the archive", "nasexport, unpacked"
_TIME, _MEMORY = Goal("ratio", 0.5), Goal("ratio", 0.7)


def measure(workspace: Workspace) -> list[Figure]:
    """Figures of each model that was chosen; those of another model than nasnet_large have no goal."""
    models = workspace.chosen(MODELS if workspace.models else DEFAULT_MODELS)
    return [figure for config in models for figure in _figures(workspace, config)]


def _figures(workspace: Workspace, config: ModelConfig) -> Iterable[Figure]:
    has_keras = config.name in NAMES
    contestants = [*_ours(workspace, config, "saved_model_2"), *_ours(workspace, config, "hub")]
    if has_keras:
        folder = workspace.scratch("keras")
        command = peer("keras_export", workspace.network(config), folder)
        contestants.insert(1, Contestant(KERAS, command, HERE, workspace.fresh(folder)))
    folder = workspace.scratch("original")
    command = workspace.original_toolchain(config, folder)
    contestants.append(Contestant(ORIGINAL, command, {}, workspace.fresh(folder)))
    command = peer("floor", workspace.checkpoint(config), workspace.names(config))
    contestants.append(Contestant(FLOOR, command, HERE))
    runs = workspace.take_turns("build", contestants)
    goals = config.name in DEFAULT_MODELS
    for format_ in (name for name in written() if FORMATS[name].numbered):
        version = FORMATS[format_].default_version
        rival = KERAS if format_ == "saved_model_2" and has_keras else ORIGINAL
        known = {ARCHIVE: _name(ARCHIVE, format_), UNPACKED: _name(UNPACKED, format_), rival: rival}
        key, title = f"build/{config.name}/{format_}", f"build {config.name} version {version}"
        found = {name: runs[ran] for name, ran in known.items()}
        yield Figure(f"{key}/time", title, "s", seconds(found), ARCHIVE, rival, _TIME if goals else None)
        floor = {**found, FLOOR: runs[FLOOR]}
        if has_keras:
            floor[KERAS] = runs[KERAS]
        rival = KERAS if has_keras else ORIGINAL
        goal = _MEMORY if goals else None
        yield Figure(f"{key}/memory", f"{title}, memory of all processes", "MB", megabytes(floor), ARCHIVE, rival, goal)
        largest = f"{title}, memory of the largest process"
        yield Figure(f"{key}/memory-largest", largest, "MB", megabytes(floor, largest=True), ARCHIVE, rival, goal)
        extra = {"distance": True}
        yield Figure(
            f"{key}/memory-floor",
            f"{largest}, over the floor",
            "MB",
            megabytes(floor, largest=True),
            ARCHIVE,
            FLOOR,
            extra=extra,
        )


def _ours(workspace: Workspace, config: ModelConfig, format_: Format) -> Iterable[Contestant]:
    version = FORMATS[format_].default_version
    given = {ARCHIVE: workspace.archive(config), UNPACKED: workspace.checkpoint(config)}
    for name, checkpoint in given.items():
        output = workspace.scratch(f"nasexport-{format_}")
        options = ("--format", format_, "--version", version, "--task", "classification", "--no-verify")
        command = nasexport("build", config.name, *options, "--checkpoint", checkpoint, "--output", output)
        yield Contestant(_name(name, format_), command, HERE, workspace.fresh(output))


def _name(name: str, format_: Format) -> str:
    return f"{name}, version {FORMATS[format_].default_version}"
