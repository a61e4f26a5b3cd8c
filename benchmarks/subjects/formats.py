"""What formats for other runtimes cost to write, and how fast their runtimes are, beside TensorFlow."""

from collections.abc import Iterable, Mapping

from benchmarks.measuring import Contestant, megabytes, seconds
from benchmarks.peers.keras_network import NAMES
from benchmarks.results import Figure, Goal
from benchmarks.workspace import HERE, MODELS, Workspace, nasexport, peer
from exporter.models.config import ModelConfig
from exporter.models.formats import Format

ONNX, SAVED_MODEL = "nasexport onnx", "nasexport version 4"
KERAS, APPLICATIONS = "nasexport keras", "Keras Applications, built and saved"
TENSORFLOW, ONNX_RUNTIME = "TensorFlow, version 5", "ONNX Runtime"
BATCHES, THREADS = (1, 8), (1, 2)
#: Seconds for which each batch size is run at least, after warming up.
_SECONDS = 3
#: By model and batch, how much more images ONNX Runtime shall do than TensorFlow, for the processor time of one thread.
_GOALS: Mapping[tuple[str, int], float] = {("nasnet_mobile", 1): 1.3, ("nasnet_mobile", 8): 1.0}


def measure(workspace: Workspace) -> list[Figure]:
    """Figures of each model that was chosen; writing starts from an unpacked checkpoint."""
    configs = workspace.chosen(MODELS)
    written = [figure for config in configs for figure in _written(workspace, config)]
    written += [figure for config in configs if config.name in NAMES for figure in _saved(workspace, config)]
    return written + [figure for config in configs for figure in _run(workspace, config)]


def _written(workspace: Workspace, config: ModelConfig) -> Iterable[Figure]:
    formats: dict[str, Format] = {ONNX: "onnx", SAVED_MODEL: "saved_model_2"}
    contestants = []
    for name, format_ in formats.items():
        output = workspace.scratch(f"formats-{format_}")
        options = ("--format", format_, "--task", "classification", "--no-verify", "--output", output)
        command = nasexport("build", config.name, *options, "--checkpoint", workspace.checkpoint(config))
        contestants.append(Contestant(name, command, HERE, workspace.fresh(output)))
    runs = workspace.take_turns("formats", contestants)
    key, title = f"formats/{config.name}/onnx", f"write {config.name} as ONNX"
    goal = Goal("ratio", 0.25) if config.name == "nasnet_large" else None
    yield Figure(f"{key}/time", title, "s", seconds(runs), ONNX, SAVED_MODEL, goal)
    yield Figure(f"{key}/memory", f"{title}, memory of all processes", "MB", megabytes(runs), ONNX, SAVED_MODEL)


def _saved(workspace: Workspace, config: ModelConfig) -> Iterable[Figure]:
    """A file of Keras, beside what Keras Applications takes to build its network and to save it."""
    output, folder = workspace.scratch("formats-keras"), workspace.scratch("formats-applications")
    options = ("--format", "keras", "--task", "classification", "--no-verify", "--output", output)
    ours = nasexport("build", config.name, *options, "--checkpoint", workspace.checkpoint(config))
    theirs = peer("keras_save", workspace.network(config), folder)
    contestants = [
        Contestant(KERAS, ours, HERE, workspace.fresh(output)),
        Contestant(APPLICATIONS, theirs, HERE, workspace.fresh(folder)),
    ]
    runs = workspace.take_turns("formats", contestants)
    key, title = f"formats/{config.name}/keras", f"write {config.name} for Keras"
    goal = Goal("ratio", 0.5) if config.name == "nasnet_large" else None
    yield Figure(f"{key}/time", title, "s", seconds(runs), KERAS, APPLICATIONS, goal)
    yield Figure(f"{key}/memory", f"{title}, memory of all processes", "MB", megabytes(runs), KERAS, APPLICATIONS)


def _run(workspace: Workspace, config: ModelConfig) -> Iterable[Figure]:
    kinds = {
        TENSORFLOW: ("tensorflow", workspace.artifact(config, "classification", 5)),
        ONNX_RUNTIME: ("onnx", workspace.artifact(config, "classification", "onnx") / "model.onnx"),
    }
    batches = ",".join(map(str, BATCHES))
    for threads in THREADS:
        contestants = [
            Contestant(name, peer("runtimes", kind, what, batches, _SECONDS, threads), HERE)
            for name, (kind, what) in kinds.items()
        ]
        found = workspace.take_turns("formats", contestants)
        for batch in BATCHES:
            # On one thread, what others do on the machine enters least in processor time; on more, waiting counts.
            clock = "processor" if threads == 1 else "wall"
            rates = {
                name: [float(run.facts["images_per_second"][str(batch)][clock]) for run in runs]
                for name, runs in found.items()
            }
            least = _GOALS.get((config.name, batch)) if threads == 1 else None
            goal = Goal("ratio", least, most=False) if least else None
            key = f"formats/{config.name}/{batch}/{threads}"
            time = "processor time" if threads == 1 else "by the clock"
            title = f"inference, {config.name}, batch {batch}, {threads} thread{'s' * (threads > 1)}, {time}"
            yield Figure(key, title, "images/s", rates, ONNX_RUNTIME, TENSORFLOW, goal)
